"""The report as one HTML page that needs nothing else: no script, no font, no picture."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment

from conformance.case import LEVELS
from conformance.report_files import by_level
from conformance.runner import VERDICTS, Run

_ORDER = {"fail": 0, "error": 1, "skip": 2, "omit": 3, "pass": 4}


def to_page(run: Run) -> str:
    """Return the page; what failed stands first."""
    source = files("conformance").joinpath("report_page.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        source
    )
    counts = by_level(run)
    return template.render(
        run=run,
        verdicts=VERDICTS,
        levels=[(level, counts[level]) for level in LEVELS if level in counts],
        results=sorted(run.results, key=lambda one: (_ORDER[one.verdict], one.case.id)),
    )
