"""``python -m tests.pictures``: draw card, explanation and practice EHR for three sample patients.

Each page in light, dark, on a phone and on paper, into build/pictures. With --docs the pictures
that README and docs use are drawn anew.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Literal

import click
from playwright.sync_api import Browser, Page

from tests.browser import chromium
from tests.practice_demo import PATIENTS, demo, open_chart

ROOT = Path(__file__).parents[1]
_SCREEN, _PHONE = {"width": 1200, "height": 900}, {"width": 390, "height": 844}
_WAYS: tuple[tuple[str, Literal["light", "dark"], Any], ...] = (
    ("light", "light", _SCREEN),
    ("dark", "dark", _SCREEN),
    ("phone", "light", _PHONE),
)
_DOCS = {"explanation": "explanation.png", "ehr": "practice-ehr.png"}
_DOCS_EHR, _DOCS_EXPLANATION = {"width": 1100, "height": 850}, {"width": 960, "height": 1400}


@click.command()
@click.option("--ehr", help="Address of a running demo's practice EHR; without it one is started.")
@click.option("--docs", is_flag=True, help="Draw the pictures of docs/ too.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / "build" / "pictures",
    show_default=True,
)
def main(ehr: str | None, output: Path, *, docs: bool) -> None:
    """Draw all pictures."""
    output.mkdir(parents=True, exist_ok=True)
    if ehr:
        _draw(ehr, output, docs=docs)
        return
    with tempfile.TemporaryDirectory() as folder, demo(Path(folder)) as started:
        _draw(started, output, docs=docs)


def _draw(ehr: str, output: Path, *, docs: bool) -> None:
    with chromium() as browser:
        for patient in PATIENTS:
            page = browser.new_page(viewport=_SCREEN)  # type: ignore[arg-type]
            explanation = open_chart(page, ehr, patient)
            _in_all_ways(page, output / f"{patient}-ehr", card=True)
            page.goto(explanation)
            _in_all_ways(page, output / f"{patient}-explanation", card=False)
            page.close()
        if docs:
            _draw_docs(browser, ehr)


def _in_all_ways(page: Page, stem: Path, *, card: bool) -> None:
    for name, scheme, viewport in _WAYS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(viewport)
        _shoot(page, stem.with_name(f"{stem.name}-{name}.png"), full_page=True)
        if card:
            place = stem.with_name(f"{stem.name.removesuffix('-ehr')}-card-{name}.png")
            page.locator("article.card").first.screenshot(path=place)
            click.echo(f"{place}")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(_SCREEN)  # type: ignore[arg-type]
    page.pdf(path=stem.with_suffix(".pdf"), format="A4", prefer_css_page_size=True)
    click.echo(f"{stem.with_suffix('.pdf')}")


def _draw_docs(browser: Browser, ehr: str) -> None:
    page = browser.new_page(viewport=_DOCS_EHR)  # type: ignore[arg-type]
    explanation = open_chart(page, ehr, PATIENTS[0])
    _shoot(page, ROOT / "docs" / _DOCS["ehr"])
    page.set_viewport_size(_DOCS_EXPLANATION)  # type: ignore[arg-type]
    page.goto(explanation)
    _shoot(page, ROOT / "docs" / _DOCS["explanation"])
    page.close()


def _shoot(page: Page, place: Path, *, full_page: bool = False) -> None:
    page.screenshot(path=place, full_page=full_page)
    click.echo(f"{place}: {place.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
