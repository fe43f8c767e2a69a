"""Exports for the tests of bulk reading, and records made comparable."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fhir_adapters.bulk_links import RECORD_TYPES
from model.record import PatientRecord, ReadingReport

Line = Mapping[str, Any] | str | bytes


def packed_line(line: Line) -> bytes:
    if isinstance(line, bytes):
        return line
    return (line if isinstance(line, str) else json.dumps(line)).encode("utf-8")


def write_export(directory: Path, files: Mapping[str, Iterable[Line]]) -> Path:
    """Write NDJSON files; a name that ends in .gz is packed."""
    for name, lines in files.items():
        content = b"".join(packed_line(line) + b"\n" for line in lines)
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return directory


def comparable(record: PatientRecord) -> Any:
    """Return what two records must have in common to be the same, whatever way they came."""
    series = [
        (
            one.channel,
            one.unit,
            one.times_s.tolist(),
            one.values.tolist(),
            one.device,
            one.period_s,
            [one.sources[index] for index in one.source_index.tolist()],
        )
        for one in record.device_series
    ]
    plain = replace(record, device_series=(), report=ReadingReport())
    report = record.report
    return (
        plain,
        series,
        {kind: n for kind, n in report.resources_read.items() if kind in RECORD_TYPES},
        dict(report.values_used),
        sorted(report.left_out, key=repr),
        sorted(report.incomplete, key=repr),
    )
