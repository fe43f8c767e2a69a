"""The reports of a run: terminal, JSON, JUnit XML and one HTML page without a script."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from conformance.plain_text import plain
from conformance.sandbox.checks import LEVELS, VERDICTS
from conformance.sandbox.run import Result, Run

_NAMED = 3  # checks of one row; more are counted
_NUMBER = re.compile(r"-?[\d.,]+( ?(h|s|ms|%))?|-|")
_ROWS = 12  # of a reader's table in the terminal
_STYLES = {"pass": "green", "fail": "bold red", "skip": "yellow", "omit": "dim", "error": "magenta"}


def to_json(run: Run) -> str:
    """Return the whole run as JSON."""
    whole: dict[str, Any] = {
        "fhir": run.fhir,
        "software": run.software,
        "startedAt": run.started_at.isoformat(timespec="seconds"),
        "seconds": round(run.seconds, 3),
        "requests": run.requests,
        "patients": list(run.patients),
        "counts": _counts(run),
        "results": [_as_object(one) for one in run.results],
        "facts": dict(run.facts),
    }
    if run.known:
        whole["known"] = [dict(one) for one in run.known]
    if run.reading:
        whole["reading"] = dict(run.reading)
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def to_junit(run: Run) -> str:
    """Return the run as JUnit XML: one test suite, one test case for each check."""
    suite = ElementTree.Element(
        "testsuite",
        name=f"FHIR server {run.fhir}",
        timestamp=run.started_at.isoformat(timespec="seconds"),
        tests=str(len(run.results)),
        failures=str(run.count("fail")),
        errors=str(run.count("error")),
        skipped=str(run.count("skip") + run.count("omit")),
        time=f"{run.seconds:.3f}",
    )
    for result in run.results:
        _test_case(suite, result)
    ElementTree.indent(suite)
    text = ElementTree.tostring(suite, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def to_page(run: Run) -> str:
    """Return one HTML page; within an area the checks keep their order."""
    source = files("conformance.sandbox").joinpath("page.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        source
    )
    areas: dict[str, list[Result]] = {}
    for result in run.results:
        areas.setdefault(result.check.area, []).append(result)
    worst = [one for one in run.results if one.verdict in ("fail", "error", "skip")]
    return template.render(
        run=run,
        verdicts=VERDICTS,
        counts=_counts(run),
        areas=areas,
        worst=_by_weight(worst),
        headline=_headline(run),
        numbers=_numbers,
    )


def _headline(run: Run) -> str:
    """Return the outcome in one sentence."""
    if run.silence:
        return f"The server gave no answer: {run.silence}."
    lacking = [(level, run.count("fail", level) + run.count("error", level)) for level in LEVELS]
    named = " and ".join(f"{count} {level}" for level, count in lacking if count)
    several = sum(count for _, count in lacking) > 1
    failing = f"{named} check{'s do' if several else ' does'} not hold."
    if run.failed("needed"):
        return failing
    if not run.count("pass", "needed"):
        return "Nothing that is needed could be tried."
    return f"All that is needed is there; {failing}" if named else "All checks that apply hold."


def _numbers(table: Mapping[str, Any]) -> set[int]:
    """Return which columns of a reader's table hold numbers, with a unit or without."""
    rows = table["rows"]
    return {
        index
        for index in range(len(table["columns"]))
        if rows and all(_NUMBER.fullmatch(str(row[index])) for row in rows if index < len(row))
    }


def print_run(console: Console, run: Run, *, everything: bool = False) -> None:
    """Print what did not pass, the counts, and what a reader made of it."""
    shown = [one for one in run.results if everything or one.verdict in ("fail", "error", "skip")]
    if shown:
        table = Table("Verdict", "Level", "Check", "Findings", expand=False)
        for alike in _alike(shown, apart=everything):
            first = alike[0]
            word = Text(first.verdict, style=_STYLES[first.verdict])
            said = Text("\n".join(first.findings))
            said.append("\n".join(("", *first.notes) if said else first.notes), style="dim")
            levels = "\n".join(dict.fromkeys(one.check.level for one in alike))
            table.add_row(word, levels, _check_names(alike), said)
        console.print(table)
    counts = Table("Level", *VERDICTS)
    for level, verdicts in _counts(run).items():
        counts.add_row(level, *(str(verdicts[verdict]) for verdict in VERDICTS))
    console.print(counts)
    sent = f"{run.requests} requests" if run.requests else f"no answer: {run.silence}"
    console.print(
        f"{run.fhir} ({run.software or 'software not named'}): {len(run.results)} checks, {sent}, "
        f"{run.seconds:.1f} s",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    _print_reading(console, run.reading)


def _alike(results: list[Result], *, apart: bool) -> list[list[Result]]:
    """Put together what was not tried for the same reason: it is one thing to read."""
    groups: dict[object, list[Result]] = {}
    for one in results if apart else _by_weight(results):
        together = one.verdict in ("skip", "error") and not apart
        why = (one.verdict, one.findings, one.notes)
        groups.setdefault(why if together else one.check.id, []).append(one)
    return list(groups.values())


def _check_names(alike: list[Result]) -> Text:
    if len(alike) > _NAMED:
        return Text(f"{len(alike)} checks, which --all names")
    named = Text()
    for result in alike:
        named.append(f"{result.check.description}\n").append(f"{result.check.id}\n", style="dim")
    named.rstrip()
    return named


def _print_reading(console: Console, reading: Mapping[str, Any]) -> None:
    for one in reading.get("tables", ()):
        columns = (escape(plain(str(column))) for column in one["columns"])
        table = Table(*columns, title=Text(str(one["title"])), title_justify="left")
        for column in table.columns:
            column.overflow = "fold"
        for row in one["rows"][:_ROWS]:
            table.add_row(*(Text(plain(str(cell))) for cell in row))
        if more := one["rows"][_ROWS:]:
            table.caption = f"and {len(more)} more, in the reports"
        console.print(table)
    for note in reading.get("notes", ()):
        console.print(Text(str(note)), soft_wrap=True)
    for file in reading.get("files", ()):
        console.print(Text(f"\n{file['name']}", style="bold"))
        console.print(Text(str(file["text"])), soft_wrap=True)


def _counts(run: Run) -> dict[str, dict[str, int]]:
    return {
        **{level: {one: run.count(one, level) for one in VERDICTS} for level in LEVELS},
        "all": {one: run.count(one) for one in VERDICTS},
    }


def _by_weight(results: list[Result]) -> list[Result]:
    return sorted(
        results,
        key=lambda one: (LEVELS.index(one.check.level), VERDICTS.index(one.verdict)),
    )


def _as_object(result: Result) -> dict[str, Any]:
    check = result.check
    whole: dict[str, Any] = {
        "check": check.id,
        "area": check.area,
        "level": check.level,
        "description": check.description,
        "verdict": result.verdict,
        "seconds": round(result.seconds, 3),
    }
    for name in ("findings", "notes"):
        if said := getattr(result, name):
            whole[name] = list(said)
    return whole


def _test_case(suite: ElementTree.Element, result: Result) -> None:
    check = result.check
    test = ElementTree.SubElement(
        suite,
        "testcase",
        name=check.id,
        classname=f"fhir-server.{check.level}",
        time=f"{result.seconds:.3f}",
    )
    if result.verdict == "pass":
        return
    name = {"fail": "failure", "error": "error"}.get(result.verdict, "skipped")
    said = " ".join((*result.findings, *result.notes))
    node = ElementTree.SubElement(test, name, message=said)
    if name != "skipped":
        node.text = f"{check.description}\n{said}\n{check.why}"
