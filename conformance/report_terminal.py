"""The report in a terminal: progress while it runs, then what is worth reading."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from conformance.report_files import by_level
from conformance.runner import VERDICTS, Run

_STYLES = {"pass": "green", "fail": "bold red", "skip": "yellow", "omit": "dim", "error": "magenta"}


def progress_bar(console: Console) -> Progress:
    """Return a bar of cases; it shows itself in terminals only."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def print_run(console: Console, run: Run, *, everything: bool = False) -> None:
    """Print what did not pass, then the counts. ``everything``: what passed too."""
    shown = [one for one in run.results if everything or one.verdict in ("fail", "error", "skip")]
    if shown:
        table = Table("Verdict", "Level", "Rule", "Findings", title_justify="left", expand=False)
        for result in shown:
            word = Text(result.verdict, style=_STYLES[result.verdict])
            findings = Text("\n".join(result.findings))
            rule = Text(result.case.description)
            rule.append(f"\n{result.case.id}", style="dim")
            table.add_row(word, result.case.level, rule, findings)
        console.print(table)
    counts = Table("Level", *VERDICTS)
    for level, verdicts in by_level(run).items():
        counts.add_row(level, *(str(verdicts[verdict]) for verdict in VERDICTS))
    counts.add_row("all", *(str(run.count(verdict)) for verdict in VERDICTS))
    console.print(counts)
    console.print(
        f"{run.service}: {len(run.results)} cases of CDS Hooks {run.version}, "
        f"{run.requests} requests, {run.seconds:.1f} s",
        highlight=False,
    )
