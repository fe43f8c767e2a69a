"""Collects what was read, used and left out while a chart becomes a record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from operator import attrgetter

from model.record import ReadingReport, ReportLine

LONGEST_QUOTE = 40  # characters of a code or unit that a sentence repeats


class ReadingLog:
    """Grows into a ReadingReport. Sentences hold ids, codes and units, never values or texts."""

    def __init__(self, incomplete: Iterable[ReportLine] = ()) -> None:
        self.resources_read: Counter[str] = Counter()
        self.values_used: Counter[str] = Counter()
        self.left_out: list[ReportLine] = []
        self.incomplete: list[ReportLine] = list(incomplete)
        self.remarks: list[ReportLine] = []
        self.unknown_codes: set[str] = set()  # sources whose results are in a site's own codes only
        self._unmapped: dict[str, tuple[str, int]] = {}

    def leave_out(self, source: str, reason: str, sentence: str) -> None:
        """Note an item that does not reach the record; the sentence begins after the source."""
        self.left_out.append(ReportLine(source, reason, f"{source}: {sentence}"))

    def remark(self, source: str, reason: str, sentence: str) -> None:
        """Note a reservation about an item that does reach the record."""
        self.remarks.append(ReportLine(source, reason, f"{source}: {sentence}"))

    def add_incomplete(self, source: str, reason: str, sentence: str) -> None:
        """Note a source that may hold more than was seen."""
        self.incomplete.append(ReportLine(source, reason, f"{source}: {sentence}"))

    def leave_out_unmapped(self, source: str, code: str) -> None:
        """Count an Observation whose code is no variable; one line a code is reported."""
        first, count = self._unmapped.get(code, (source, 0))
        self._unmapped[code] = (min(first, source), count + 1)

    def report(self) -> ReadingReport:
        """Return the report; its lines are sorted, so that the chart's order does not matter."""
        unmapped = [
            ReportLine(first, "code", _unmapped_sentence(first, code, count))
            for code, (first, count) in self._unmapped.items()
        ]
        return ReadingReport(
            resources_read=dict(self.resources_read),
            values_used=dict(self.values_used),
            left_out=_sorted([*self.left_out, *unmapped]),
            incomplete=_sorted(self.incomplete),
            remarks=_sorted(self.remarks),
        )


def _sorted(lines: list[ReportLine]) -> tuple[ReportLine, ...]:
    return tuple(sorted(lines, key=attrgetter("source", "reason", "sentence")))


def _unmapped_sentence(first: str, code: str, count: int) -> str:
    others = f" and {count - 1} more" if count > 1 else ""
    return f"{first}{others}: code {code} is no variable of the table"


def quoted(text: object) -> str:
    """Return a code or unit as a sentence may show it: one line, quoted, shortened."""
    if not isinstance(text, str):
        return f"of type {type(text).__name__}"
    shown = text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."
    return repr(shown)
