"""``python -m tests.benchmarks.page_figures``: weight and speed of the pages for three patients.

Weight is what went over the wire; first paint, and when the page could be used, are the browser's
own Performance API; a long task is one that holds the page for more than 50 ms. Pages have no
script, so they can be used as soon as they are parsed: "interactive" is domInteractive. ``server``
is the wait for the first byte, ``axe`` the number of accessibility violations.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import click
from playwright.sync_api import Browser, Page

from tests.accessibility import axe_result
from tests.browser import chromium
from tests.practice_demo import PATIENTS, demo, open_chart

LARGEST_KB = 500.0
_OBSERVE = """
  window.longTasks = [];
  new PerformanceObserver(list => list.getEntries().forEach(e => longTasks.push(e.duration)))
    .observe({type: 'longtask', buffered: true});
"""
_PAINTED = "performance.getEntriesByName('first-contentful-paint').length > 0"
_MEASURE = """() => {
  const [page] = performance.getEntriesByType('navigation');
  const others = performance.getEntriesByType('resource');
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  return {
    kb: (page.transferSize + others.reduce((sum, one) => sum + one.transferSize, 0)) / 1000,
    requests: 1 + others.length,
    server_ms: page.responseStart - page.requestStart,
    paint_ms: (paint ? paint.startTime : NaN) - page.responseStart,
    interactive_ms: page.domInteractive - page.responseStart,
    loaded_ms: page.loadEventEnd - page.responseStart,
    longest_task_ms: Math.max(0, ...window.longTasks),
    elements: document.querySelectorAll('*').length,
  };
}"""


@click.command()
@click.option("--ehr", help="Address of a running demo's practice EHR; without it one is started.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--axe/--no-axe", "with_axe", default=True, help="Count violations with axe-core.")
def main(ehr: str | None, *, as_json: bool, with_axe: bool) -> None:
    """Measure explanation page and practice EHR."""
    if ehr:
        rows = figures(ehr, with_axe=with_axe)
    else:
        with tempfile.TemporaryDirectory() as folder, demo(Path(folder)) as started:
            rows = figures(started, with_axe=with_axe)
    click.echo(json.dumps(rows, indent=2) if as_json else table(rows))
    heavy = [row["page"] for row in rows if row["kb"] >= LARGEST_KB]
    if heavy:
        raise click.ClickException(f"{', '.join(heavy)}: not under {LARGEST_KB:.0f} kB.")


def figures(ehr: str, *, with_axe: bool) -> list[dict[str, Any]]:
    """Return a row for each page."""
    rows = []
    with chromium() as browser:
        for patient in PATIENTS:
            page = browser.new_page()
            explanation = open_chart(page, ehr, patient)
            page.close()
            for name, url in (
                ("practice EHR", f"{ehr}1/patients/{patient}"),
                ("explanation", explanation),
            ):
                row = measured(browser, url, with_axe=with_axe)
                rows.append({"page": f"{name}, {patient}", **row})
    return rows


def measured(browser: Browser, url: str, *, with_axe: bool) -> dict[str, Any]:
    """Return the figures of one page, opened with an empty cache."""
    page: Page = browser.new_context().new_page()
    page.add_init_script(_OBSERVE)
    page.goto(url, wait_until="load", timeout=120_000)
    for _ in range(50):  # the load event has to have ended, and something to have been painted
        page.wait_for_timeout(100)
        if page.evaluate(_PAINTED):
            break
    row: dict[str, Any] = page.evaluate(_MEASURE)
    if with_axe:
        row["axe"] = sum(len(one["nodes"]) for one in axe_result(page)["violations"])
    page.context.close()
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    columns = (
        ("page", "page"),
        *(("kb", "kB"), ("requests", "requests"), ("server_ms", "server ms")),
        *(("paint_ms", "first paint ms"), ("interactive_ms", "interactive ms")),
        *(("longest_task_ms", "longest task ms"), ("elements", "elements"), ("axe", "axe")),
    )
    lines = [
        "| " + " | ".join(title for _, title in columns) + " |",
        "|" + "---|" * len(columns),
    ]
    for row in rows:
        cells = [row.get(key, "") for key, _ in columns]
        shown = [f"{cell:.0f}" if isinstance(cell, float) else str(cell) for cell in cells]
        lines.append("| " + " | ".join(shown) + " |")
    load = os.getloadavg()[0]
    return "\n".join([*lines, f"Load of the machine: {load:.1f} on {os.cpu_count()} cores."])


if __name__ == "__main__":
    main()
