"""The report as one HTML page that needs nothing else: no script, no font, no picture."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment

from conformance.case import LEVELS, Level
from conformance.report_files import by_level
from conformance.runner import VERDICTS, Result, Run

_ORDER = {"fail": 0, "error": 1, "skip": 2, "omit": 3, "pass": 4}
_MEANINGS = {
    "pass": "tried, and as the rule says",
    "fail": "tried, and not as the rule says",
    "skip": "could not be tried, because something before it failed",
    "omit": "does not apply to this service or to this run",
    "error": "the connection or the suite broke",
}


@dataclass(frozen=True, slots=True)
class Area:
    """The results about one part of the specification; what failed stands first."""

    name: str
    results: tuple[Result, ...]

    def has(self, verdict: str) -> int:
        """Return how many results have the verdict."""
        return sum(one.verdict == verdict for one in self.results)

    @property
    def classes(self) -> str:
        """Which verdicts and levels are in it, so that an area without any can be hidden."""
        verdicts = {f"has-{one.verdict}" for one in self.results}
        levels = {f"has-{one.case.level.lower()}" for one in self.results}
        return " ".join(sorted(verdicts | levels))


def to_page(run: Run) -> str:
    """Return the page."""
    source = files("conformance").joinpath("report_page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    counts = by_level(run)
    levels = [(level, counts[level]) for level in LEVELS if level in counts]
    return environment.from_string(source).render(
        run=run,
        verdicts=VERDICTS,
        meanings=_MEANINGS,
        levels=levels,
        nothing=[
            (verdict, level.lower())
            for level, verdicts in levels
            for verdict in VERDICTS
            if not verdicts[verdict]
        ],
        areas=_areas(run),
        headline=_headline(run),
        tone=_tone(run),
        total=len(run.results),
    )


def _areas(run: Run) -> list[Area]:
    by_requirement = sorted(run.results, key=lambda one: int(one.case.requirements[0]))
    ordered = sorted(run.results, key=_rank)
    return [
        Area(name, tuple(one for one in ordered if one.case.area == name))
        for name in dict.fromkeys(one.case.area for one in by_requirement)
    ]


def _rank(one: Result) -> tuple[int, int, str]:
    return _ORDER[one.verdict], LEVELS.index(one.case.level), one.case.id


def _headline(run: Run) -> str:
    """Return the outcome in one sentence."""
    if run.silence:
        return f"The service gave no answer: {run.silence}."
    broken = {level: _count(run, level, "fail") for level in LEVELS}
    untried = _count(run, "SHALL", "error")
    if run.untried and not broken["SHALL"] and not untried:
        return f"No hook was fired: {run.untried}"
    if broken["SHALL"]:
        more = f", and {untried} could not be tried" if untried else ""
        return f"{_rules(broken['SHALL'], 'SHALL')} not kept{more}."
    if untried:
        return f"{untried} SHALL rule{'s' * (untried > 1)} could not be tried to the end."
    tried = sum(one.verdict == "pass" and one.case.level == "SHALL" for one in run.results)
    if not tried:
        return "No SHALL rule could be tried."
    weaker = [f"{count} of level {level}" for level, count in broken.items() if count]
    unseen = " No card was seen, and no rule about cards was tried." if run.without_cards else ""
    return (
        f"All {tried} SHALL rules that apply are kept"
        + (f"; not kept: {', '.join(weaker)}." if weaker else ", and every weaker rule too.")
        + unseen
    )


def _tone(run: Run) -> str:
    """Return the colour of the outcome as a class of the page."""
    if run.failed("SHALL") or run.untried:
        return "bad"
    return "partial" if run.without_cards else "good"


def _count(run: Run, level: Level, verdict: str) -> int:
    return sum(one.verdict == verdict and one.case.level == level for one in run.results)


def _rules(count: int, level: str) -> str:
    return f"{count} {level} rule is" if count == 1 else f"{count} {level} rules are"
