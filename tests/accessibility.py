"""axe-core in the browser of the tests: injected by the tests only, never served by our pages.

axe-core comes inside the Python package axe-playwright-python; of that package only the script is
used. Every rule that axe switches on by itself counts: WCAG 2.2 A and AA, and its best practices.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

_COLOUR_RULES = ("color-contrast", "link-in-text-block")
_RUN = """async only => {
  const options = {resultTypes: ['violations']};
  if (only.length) options.runOnly = {type: 'rule', values: only};
  const result = await axe.run(document, options);
  return {passes: result.passes.length, violations: result.violations.map(one => ({
    id: one.id, impact: one.impact, nodes: one.nodes.map(n => n.target.join(' ') + ': '
      + n.any.concat(n.all, n.none).map(c => c.message).join('; '))}))};
}"""
_FOCUS = """() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const style = getComputedStyle(element), box = element.getBoundingClientRect();
  return {
    name: (element.getAttribute('aria-label') || element.textContent || element.labels?.[0]
      ?.textContent || element.name || '').trim().slice(0, 60),
    tag: element.tagName,
    outline: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
    inside: box.width > 0 && box.right <= innerWidth + 1 && box.left >= -1,
  };
}"""


def _script() -> Path | None:
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "axe.min.js"


needs_axe = pytest.mark.skipif(
    _script() is None, reason="axe-core (package axe-playwright-python) is not installed"
)


@cache
def _source() -> str:
    path = _script()
    assert path is not None, "axe-core is not installed"
    return path.read_text(encoding="utf-8")


def axe_result(page: Page, only: Sequence[str] = ()) -> dict[str, Any]:
    """Run axe on the page as it is now: rules passed, and violations with their elements."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(_source())
    result: dict[str, Any] = page.evaluate(_RUN, list(only))
    return result


def violations(page: Page, only: Sequence[str] = ()) -> list[str]:
    """Return a line for each element that breaks a rule. Raises AssertionError if none was run."""
    result = axe_result(page, only)
    assert only or result["passes"] > 5, "axe found next to nothing to check"
    return [
        f"{one['id']} ({one['impact']}): {node}"
        for one in result["violations"]
        for node in one["nodes"]
    ]


def violations_in_both_schemes(page: Page) -> list[str]:
    """Check all rules in light, and in dark those about colours: nothing else can differ."""
    found = violations(page)
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {one}" for one in violations(page, only=_COLOUR_RULES)]
    page.emulate_media(color_scheme="light")
    return found


def open_everything(page: Page) -> None:
    """Open what is folded, so that it is looked at too."""
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")


def walk(page: Page, most: int = 200) -> list[dict[str, Any]]:
    """Press Tab until the focus leaves the page; return each stop."""
    stops = []
    for _ in range(most):
        page.keyboard.press("Tab")
        stop = page.evaluate(_FOCUS)
        if stop is None:
            break
        stops.append(stop)
    return stops
