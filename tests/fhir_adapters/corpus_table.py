"""Prints what the reader makes of every archive of the FHIR corpus.

Run as ``python -m tests.fhir_adapters.corpus_table`` from the repository root.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fhir_adapters.errors import ChartError
from fhir_adapters.record_builder import build_record
from tests.fhir_adapters.corpus import ARCHIVES, CORPUS, charts_of

PREDICTION_TIME = datetime(2027, 1, 1, tzinfo=UTC)  # after all samples


@dataclass(slots=True)
class Row:
    """What became of one archive."""

    archive: str
    charts: int = 0
    resources: int = 0
    observations: int = 0
    seconds: float = 0.0
    used: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


def read_archive(archive: str) -> Row:
    """Read all charts of an archive."""
    row = Row(archive)
    for chart in charts_of(archive):
        row.charts += 1
        started = time.perf_counter()
        try:
            record = build_record(chart, PREDICTION_TIME)
        except ChartError as refusal:
            row.refused[type(refusal).__name__] += 1
            continue
        row.seconds += time.perf_counter() - started
        row.resources += sum(record.report.resources_read.values())
        row.observations += record.report.resources_read.get("Observation", 0)
        row.used.update(record.report.values_used)
        row.left_out.update(line.reason for line in record.report.left_out)
    return row


def main() -> None:
    """Print one line an archive."""
    if not CORPUS.exists():
        sys.exit(f"{CORPUS.name} is not beside the repository")
    out = sys.stdout.write
    out("archive          charts resources observations structured note-sentences device  s\n")
    for archive in ARCHIVES:
        row = read_archive(archive)
        out(
            f"{archive:16} {row.charts:6} {row.resources:9} {row.observations:12} "
            f"{row.used['structured']:10} {row.used['note']:14} {row.used['device']:6}  "
            f"{row.seconds:.2f}\n"
            f"{'':16} left out: {_counts(row.left_out)}; refused: {_counts(row.refused)}\n"
        )


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{word} {count}" for word, count in counter.most_common()) or "none"


if __name__ == "__main__":
    main()
