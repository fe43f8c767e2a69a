"""The report in a terminal: progress while it runs, then what is worth reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from conformance.report_files import by_level
from conformance.runner import VERDICTS, Result, Run

_STYLES = {"pass": "green", "fail": "bold red", "skip": "yellow", "omit": "dim", "error": "magenta"}


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
        for result in sorted(shown, key=lambda one: VERDICTS.index(one.verdict)):
            word = Text(result.verdict, style=_STYLES[result.verdict])
            findings = Text("\n".join(result.findings))
            rule = Text(result.case.description)
            numbers = ", ".join(result.case.requirements)
            rule.append(f"\n{result.case.id}, requirement {numbers}", style="dim")
            table.add_row(word, result.case.level, rule, findings)
        console.print(table)
    counts = Table("Level", *VERDICTS)
    for level, verdicts in by_level(run).items():
        counts.add_row(level, *(_count(verdict, verdicts[verdict]) for verdict in VERDICTS))
    counts.add_row("all", *(_count(verdict, run.count(verdict)) for verdict in VERDICTS))
    console.print(counts)
    console.print(
        f"{run.service}: {len(run.results)} cases of CDS Hooks {run.version}, "
        f"{run.requests} requests, {run.seconds:.1f} s",
        highlight=False,
    )


def _count(verdict: str, count: int) -> Text:
    return Text(str(count), style=_STYLES[verdict] if count else "dim", justify="right")
