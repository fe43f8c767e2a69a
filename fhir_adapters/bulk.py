"""Reads a FHIR Bulk Data export (NDJSON) patient by patient, in bounded memory.

Files may be many, packed or not, in any order, with the resources of a patient spread over them.
A first pass notes on disk which line is whose; a second one puts each patient's lines together.
Memory holds one patient at a time. Damaged lines are reported by file and line and left out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from fhir_adapters.bulk_export import (
    BulkProgress,
    IndexedExport,
    OnProgress,
    file_states,
    index_export,
    log_report,
)
from fhir_adapters.bulk_lines import Report, ndjson_files
from fhir_adapters.bulk_writer import write_bulk
from fhir_adapters.chart import Chart
from fhir_adapters.errors import FhirNotFound

__all__ = [
    "BulkProgress",
    "IndexedExport",
    "file_states",
    "index_export",
    "read_bulk",
    "write_bulk",
]


def read_bulk(
    directory: Path,
    *,
    on_progress: OnProgress | None = None,
    report: Report | None = None,
    work_directory: Path | None = None,
) -> Iterator[Chart]:
    """Yield the chart of every patient of an export, in the order in which they are found.

    ``report`` receives what was left out and why; without it that is logged. A chart of an export
    with damaged lines says in ``incomplete`` that some of it may be missing. The index takes about
    100 bytes a line in ``work_directory`` (default: the system's temporary folder), and packed
    files take their packed size there again. Raises FhirNotFound if there is no NDJSON file.
    """
    if not ndjson_files(directory):
        raise FhirNotFound(f"{directory} holds no .ndjson or .ndjson.gz file")
    return _charts(directory, on_progress, report or log_report, work_directory)


def _charts(
    directory: Path, on_progress: OnProgress | None, report: Report, work_directory: Path | None
) -> Iterator[Chart]:
    with (
        tempfile.TemporaryDirectory(dir=work_directory, prefix="meam-bulk-") as folder,
        index_export(directory, Path(folder), on_progress=on_progress) as export,
    ):
        for line in export.reports():
            report(line)
        total = len(export)
        for done, patient in enumerate(export.patients()):
            if on_progress is not None:
                on_progress(BulkProgress("reading", done, total))
            yield export.chart(patient)
        if on_progress is not None:
            on_progress(BulkProgress("reading", total, total))
