"""Progress over a Bulk Data export: first through its bytes, then through its patients.

A terminal gets two bars; a log file, a scheduler or a pipe gets a line now and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from fhir_adapters.bulk import BulkProgress

LINE_EVERY_S = 15.0
Show = Callable[[BulkProgress], None]
_INDEXING = "reading the export"


@contextmanager
def export_progress(console: Console, work: str) -> Iterator[Show]:
    """Yield what shows progress; ``work`` says what is done with patients: "scoring patients"."""
    if console.is_terminal:
        with export_bars(console) as bars:
            yield shown_by(bars, work)
    else:
        yield ProgressLines(console, work).show


class _Rate(ProgressColumn):
    """Patients a second, once it is known."""

    def render(self, task: Task) -> Text:
        known = task.speed is not None and task.fields["counted"]
        return Text(f"{task.speed:,.1f}/s" if known else "")


def export_bars(console: Console) -> Progress:
    """Return bars for ``shown_by``; they need the field ``counted``."""
    return Progress(
        TextColumn("{task.description:24}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[counted]}"),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def shown_by(bars: Progress, work: str) -> Show:
    """Return what moves two bars, each of which appears when its stage begins.

    ``work`` says what is done with the patients: "scoring patients".
    """
    descriptions = {"indexing": _INDEXING, "reading": work}
    tasks: dict[str, TaskID] = {}

    def show(progress: BulkProgress) -> None:
        stage = progress.stage
        if stage not in tasks:  # what is done already, by an earlier run, makes no speed
            tasks[stage] = bars.add_task(
                descriptions[stage], total=progress.total, completed=progress.done, counted=""
            )
        counted = f"{progress.done:,}/{progress.total:,}" if stage == "reading" else ""
        bars.update(tasks[stage], completed=progress.done, total=progress.total, counted=counted)

    return show


class ProgressLines:
    """A line at the beginning and the end of each stage, and at intervals between them."""

    def __init__(
        self,
        console: Console,
        work: str,
        *,
        every_s: float = LINE_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._work, self._every_s, self._clock = console, work, every_s, clock
        self._stage = ""
        self._first = self._last = (0.0, 0)  # (time, done)

    def show(self, progress: BulkProgress) -> None:
        """Print if it is time."""
        now = self._clock()
        if progress.stage != self._stage:
            self._stage = progress.stage
            self._first = self._last = (now, progress.done)
        elif progress.done == self._last[1] or (
            now - self._last[0] < self._every_s and progress.done < progress.total
        ):
            return
        self._last = (now, progress.done)
        self._console.print(self._line(progress, now), soft_wrap=True, highlight=False)

    def _line(self, progress: BulkProgress, now: float) -> str:
        share = progress.done / progress.total if progress.total else 1.0
        if progress.stage == "indexing":
            return f"{_INDEXING}: {share:.0%} of {progress.total / 1e6:,.1f} MB"
        line = f"{self._work}: {progress.done:,} of {progress.total:,} ({share:.0%})"
        began, done_before = self._first
        done, seconds = progress.done - done_before, now - began
        if not done or seconds <= 0:
            return line
        left = (progress.total - progress.done) * seconds / done
        return f"{line}, {done / seconds:,.1f}/s, {_duration(left)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
