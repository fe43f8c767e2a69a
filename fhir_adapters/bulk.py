"""Reads a FHIR Bulk Data export (NDJSON) patient by patient, in bounded memory.

Files may be many, packed or not, in any order, with the resources of a patient spread over them.
A first pass notes on disk which line is whose; a second one puts each patient's lines together.
Memory holds one patient at a time. Damaged lines are reported by file and line and left out.
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fhir_adapters.body import parse_json
from fhir_adapters.bulk_index import BulkIndex, Place
from fhir_adapters.bulk_lines import FaultReport, Line, Report, ndjson_files, read_lines
from fhir_adapters.bulk_links import RECORD_TYPES, SHARED_TYPES, names_of, needs_of, subject_of
from fhir_adapters.bulk_writer import write_bulk
from fhir_adapters.chart import Chart, Resource
from fhir_adapters.errors import FhirError, FhirNotFound
from fhir_adapters.outcome import outcome_lines
from model.record import ReportLine

__all__ = ["BulkProgress", "read_bulk", "write_bulk"]

_LOG = logging.getLogger(__name__)
_LINES_A_TICK = 1000


@dataclass(frozen=True, slots=True)
class BulkProgress:
    """How far reading has come: bytes of the files first, then patients."""

    stage: Literal["indexing", "reading"]
    done: int
    total: int


OnProgress = Callable[[BulkProgress], None]


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
    files = ndjson_files(directory)
    if not files:
        raise FhirNotFound(f"{directory} holds no .ndjson or .ndjson.gz file")
    names = [path.relative_to(directory).as_posix() for path in files]
    return _Reading(files, names, on_progress or _ignore, report or _log).charts(work_directory)


def _log(line: ReportLine) -> None:
    _LOG.warning("%s", line.sentence)


def _ignore(_: BulkProgress) -> None:
    return


class _Reading:
    """One run over an export."""

    def __init__(
        self, files: list[Path], names: list[str], on_progress: OnProgress, report: Report
    ) -> None:
        self._files = files
        self._names = names
        self._on_progress = on_progress
        self._report = report
        self._faults = FaultReport(report)
        self._unused: Counter[str] = Counter()

    def charts(self, work_directory: Path | None) -> Iterator[Chart]:
        with tempfile.TemporaryDirectory(dir=work_directory, prefix="meam-bulk-") as folder:
            index = BulkIndex(Path(folder), self._files)
            try:
                self._fill(index)
                damaged = self._damage()
                self._report_what_is_left_out(index)
                yield from self._read(index, damaged)
            finally:
                index.close()

    def _fill(self, index: BulkIndex) -> None:
        sizes = [path.stat().st_size for path in self._files]
        total = sum(sizes)
        for position, path in enumerate(self._files):
            before = sum(sizes[:position])
            reached = before

            def note(in_file: int, before: int = before) -> None:
                nonlocal reached
                reached = before + in_file

            name = self._names[position]
            for count, line in enumerate(read_lines(path, name, self._faults, note)):
                if count % _LINES_A_TICK == 0:
                    self._on_progress(BulkProgress("indexing", reached, total))
                self._index_line(index, position, line)
        self._on_progress(BulkProgress("indexing", total, total))
        index.finish()

    def _index_line(self, index: BulkIndex, file: int, line: Line) -> None:
        name = self._names[file]
        place = f"{name}:{line.number}"
        try:
            resource = parse_json(line.content, "the line")
        except FhirError as exc:
            self._faults.add(name, place, "bad-line", str(exc))
            return
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        if not isinstance(kind, str):
            self._faults.add(name, place, "not-fhir", "the line is not a FHIR resource")
        elif kind == "OperationOutcome":
            for warning in outcome_lines(resource, place):
                self._report(warning)
        elif kind not in RECORD_TYPES:
            self._unused[kind if kind.isalpha() else "unknown type"] += 1
        else:
            self._place(index, resource, kind, Place(file, line.number, line.offset, line.content))

    def _place(self, index: BulkIndex, resource: Resource, kind: str, place: Place) -> None:
        subject = subject_of(resource)
        if kind == "Patient":
            if subject:
                index.add_patient(str(resource["id"]), names_of(resource))
        elif not subject and kind in SHARED_TYPES:
            index.add_shared(names_of(resource), place)
            return
        if subject:
            index.add(subject, place)
            return
        name = self._names[place.file]
        sentence = f"the {kind} has no id" if kind == "Patient" else f"the {kind} names no patient"
        self._faults.add(name, f"{name}:{place.line}", "no-patient", sentence)

    def _damage(self) -> tuple[ReportLine, ...]:
        """Return what every chart must say if lines could not be read: whose they were is lost."""
        files = self._faults.files
        if not files:
            return ()
        shown = ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")
        return (
            ReportLine(
                "bulk export",
                "bulk-incomplete",
                f"bulk export: lines were left out of {len(files)} files ({shown}); "
                "some of them may have been this patient's",
            ),
        )

    def _report_what_is_left_out(self, index: BulkIndex) -> None:
        for file, line, count in index.unknown_subjects():
            name = self._names[file]
            self._faults.add(
                name,
                f"{name}:{line}",
                "unknown-patient",
                f"{count} resources refer to one patient that is not in the export",
            )
        self._faults.finish()
        for kind, count in sorted(self._unused.items()):
            sentence = f"{kind}: {count} resources were not read; a record does not use them"
            self._report(ReportLine(kind, "type", sentence))

    def _read(self, index: BulkIndex, damaged: tuple[ReportLine, ...]) -> Iterator[Chart]:
        total = index.count_patients()
        for done, patient in enumerate(index.patients()):
            self._on_progress(BulkProgress("reading", done, total))
            yield Chart(patient, tuple(_resources(index, patient)), damaged)
        self._on_progress(BulkProgress("reading", total, total))


def _resources(index: BulkIndex, patient: str) -> Iterator[Resource]:
    """Yield a patient's resources, then the devices and attachments that they refer to."""
    needed: dict[str, None] = {}
    for stored in index.entries(patient):
        resource = _parsed(stored.content)
        needed.update(dict.fromkeys(needs_of(resource)))
        yield resource
    taken: set[int] = set()
    asked: set[str] = set()
    while needed:
        name, _ = needed.popitem()
        asked.add(name)
        for entry, stored in index.shared(name):
            if entry not in taken:
                taken.add(entry)
                resource = _parsed(stored.content)
                needed.update(dict.fromkeys(n for n in needs_of(resource) if n not in asked))
                yield resource


def _parsed(content: bytes) -> Mapping[str, Any]:
    resource: Mapping[str, Any] = parse_json(content, "a line that was read before")
    return resource
