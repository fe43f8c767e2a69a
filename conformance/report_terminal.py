"""The report in a terminal: progress while it runs, then what is worth reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from conformance.case import LEVELS, Level
from conformance.expectations import REFUSALS
from conformance.report_files import by_level
from conformance.runner import VERDICTS, Result, Run

_STYLES = {"pass": "green", "fail": "bold red", "skip": "yellow", "omit": "dim", "error": "magenta"}
_NAMED = 3  # rules of one row; more are counted


def progress_bar(console: Console) -> Progress:
    """Return a bar of steps; it shows itself in terminals only."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@contextmanager
def verdict_progress(console: Console, total: int) -> Iterator[Callable[[Result], None]]:
    """Show a bar with the verdicts so far, in terminals only; yield what is told each result."""
    counts = dict.fromkeys(VERDICTS, 0)
    bar = Progress(
        TextColumn("{task.fields[verdicts]}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", style="dim"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=total, verdicts="")

        def tell(result: Result) -> None:
            counts[result.verdict] += 1
            said = [
                f"[{_STYLES[verdict]}]{count} {verdict}[/]"
                for verdict, count in counts.items()
                if count
            ]
            bar.update(task, advance=1, description=result.case.id, verdicts=" ".join(said))

        yield tell


def print_run(console: Console, run: Run, *, everything: bool = False) -> None:
    """Print what did not pass, then the counts. ``everything``: what passed too."""
    shown = [one for one in run.results if everything or one.verdict in ("fail", "error", "skip")]
    if shown:
        table = Table("Verdict", "Level", "Rule", "Findings", title_justify="left", expand=False)
        for alike in _alike(shown, apart=everything):
            first = alike[0]
            word = Text(first.verdict, style=_STYLES[first.verdict])
            levels = "\n".join(level for level in LEVELS if _any_of(alike, level))
            table.add_row(word, levels, _rule(alike), Text("\n".join(first.findings)))
        console.print(table)
    counts = Table("Level", *VERDICTS)
    for level, verdicts in by_level(run).items():
        counts.add_row(level, *(_count(verdict, verdicts[verdict]) for verdict in VERDICTS))
    counts.add_row("all", *(_count(verdict, run.count(verdict)) for verdict in VERDICTS))
    console.print(counts)
    said = f"{run.requests} requests" if run.requests else f"no answer: {run.silence}"
    console.print(
        f"{run.service}: {len(run.results)} cases of CDS Hooks {run.version}, {said}, "
        f"{run.seconds:.1f} s",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if failed := run.facts.get("Not prefetched"):
        said = f"The FHIR server gave nothing for some templates of the service: {failed}."
        console.print(said, highlight=False, markup=False, soft_wrap=True)
    if run.without_cards:
        said = "No card was seen: the rules about cards were not tried. Does the patient give any?"
        console.print(said, highlight=False, soft_wrap=True)
    if refused := _refused_unseen(run):
        console.print(refused, highlight=False, soft_wrap=True)


def _alike(results: list[Result], *, apart: bool) -> list[list[Result]]:
    """Put together what was not tried for the same reason: it is one thing to read."""
    groups: dict[object, list[Result]] = {}
    for one in sorted(results, key=lambda one: VERDICTS.index(one.verdict)):
        together = one.verdict in ("skip", "error") and not apart
        groups.setdefault((one.verdict, one.findings) if together else one.case.id, []).append(one)
    return list(groups.values())


def _any_of(results: list[Result], level: Level) -> bool:
    return any(one.case.level == level for one in results)


def _rule(alike: list[Result]) -> Text:
    if len(alike) > _NAMED:
        return Text(f"{len(alike)} rules, which --all names")
    rule = Text()
    for result in alike:
        numbers = ", ".join(result.case.requirements)
        rule.append(f"{result.case.description}\n")
        rule.append(f"{result.case.id}, requirement {numbers}\n", style="dim")
    rule.rstrip()
    return rule


def _refused_unseen(run: Run) -> str:
    """Say what a service that refuses our calls has not seen, as far as we know."""
    refusals = [f"answered with status {status}" for status in (*REFUSALS, 503)]
    said = [sentence for one in run.results for sentence in one.findings]
    refused = any(refusal in sentence for refusal in refusals for sentence in said)
    if not refused or run.facts.get("JWK Set") != "never asked for":
        return ""
    return (
        "The service refused our call and never asked for our JWK Set: it may not trust the iss or "
        "the jku, not reach our address, or have asked so lately that it waits. A key that stays "
        "the same (--key, --kid) need not be fetched again."
    )


def _count(verdict: str, count: int) -> Text:
    return Text(str(count), style=_STYLES[verdict] if count else "dim", justify="right")
