"""Progress over a Bulk Data export: first through its bytes, then through its patients."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fhir_adapters.bulk import BulkProgress


def export_bars(console: Console) -> Progress:
    """Return bars for ``shown_by``; they need the field ``counted``."""
    return Progress(
        TextColumn("{task.description:24}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[counted]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def shown_by(bars: Progress, work: str) -> Callable[[BulkProgress], None]:
    """Return what moves two bars, each of which appears when its stage begins.

    ``work`` says what is done with the patients: "scoring patients".
    """
    descriptions = {"indexing": "reading the export", "reading": work}
    tasks: dict[str, TaskID] = {}

    def show(progress: BulkProgress) -> None:
        stage = progress.stage
        if stage not in tasks:
            tasks[stage] = bars.add_task(descriptions[stage], total=progress.total, counted="")
        counted = f"{progress.done:,}/{progress.total:,}" if stage == "reading" else ""
        bars.update(tasks[stage], completed=progress.done, total=progress.total, counted=counted)

    return show
