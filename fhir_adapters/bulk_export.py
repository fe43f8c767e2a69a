"""A Bulk Data export with an index beside it: any patient's chart, in any order, by any process.

The index is made once, in one pass over the files, and never changed afterwards. It says which
state of the files it was made of, so that a run that was stopped need not read them all again,
and several processes, also of several machines with common storage, may read from one index.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from fhir_adapters.body import parse_json
from fhir_adapters.bulk_index import INDEX_NAME, BulkIndex, Place
from fhir_adapters.bulk_lines import FaultReport, Line, Report, ndjson_files, read_lines
from fhir_adapters.bulk_links import RECORD_TYPES, SHARED_TYPES, names_of, needs_of, subject_of
from fhir_adapters.chart import Chart, Resource
from fhir_adapters.errors import FhirError, FhirNotFound
from fhir_adapters.outcome import outcome_lines
from model.record import ReportLine

FORMAT = 1
_LOG = logging.getLogger(__name__)
_LINES_A_TICK = 1000
_DESCRIPTION, _REPORTS = "export.json", "reports.ndjson"  # the description is written last


@dataclass(frozen=True, slots=True)
class BulkProgress:
    """How far reading has come: bytes of the files first, then patients."""

    stage: Literal["indexing", "reading"]
    done: int
    total: int


OnProgress = Callable[[BulkProgress], None]


class IndexedExport:
    """An export that may be read by patient. Use it as a context manager."""

    def __init__(self, directory: Path, folder: Path) -> None:
        """Open a finished index. Raises FhirNotFound where there is none of these files."""
        self._files = ndjson_files(directory)
        description = _description(folder)
        if description is None or description["files"] != _states(directory, self._files):
            raise FhirNotFound(
                f"{folder} holds no finished index of the files in {directory} as they are now"
            )
        damaged = description["damaged"]
        self._incomplete = (_damage(damaged),) if damaged else ()
        self._reports = folder / _REPORTS
        self._index = BulkIndex.opened(folder, self._files)

    def __len__(self) -> int:
        return self._index.count_patients()

    def patients(self) -> Iterator[str]:
        """Yield patient ids in the order in which they were found."""
        yield from self._index.patients()

    def chart(self, patient: str) -> Chart:
        """Return a patient's chart; its lines are read now."""
        return Chart(patient, tuple(_resources(self._index, patient)), self._incomplete)

    def reports(self) -> Iterator[ReportLine]:
        """Yield what was left out of the index and why, in the order of the files."""
        with self._reports.open(encoding="utf-8") as lines:
            for line in lines:
                yield ReportLine(*json.loads(line))

    def close(self) -> None:
        """Close the files; the index stays."""
        self._index.close()

    def __enter__(self) -> IndexedExport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def index_export(
    directory: Path, folder: Path, *, on_progress: OnProgress | None = None
) -> IndexedExport:
    """Return an export with its index in ``folder``: that of an earlier run, or a new one.

    An index takes about 100 bytes a line, and packed files their packed size again. It holds
    patient data. Raises FhirNotFound if there is no NDJSON file.
    """
    files = ndjson_files(directory)
    if not files:
        raise FhirNotFound(f"{directory} holds no .ndjson or .ndjson.gz file")
    states = _states(directory, files)
    description = _description(folder)
    if description is None or description["files"] != states:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        damaged = _fill(files, states, folder, on_progress or _ignore)
        _write_description(folder, {"format": FORMAT, "files": states, "damaged": damaged})
    return IndexedExport(directory, folder)


def _fill(
    files: list[Path], states: list[list[Any]], folder: Path, on_progress: OnProgress
) -> list[str]:
    """Make the index and return the names of damaged files."""
    names = [state[0] for state in states]
    with (folder / _REPORTS).open("w", encoding="utf-8") as reports:
        index = BulkIndex(folder, files)
        try:
            filling = _Filling(index, files, names, on_progress, _writing(reports))
            filling.run()
        finally:
            index.close()
        reports.flush()
        os.fsync(reports.fileno())
    descriptor = os.open(folder / INDEX_NAME, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return filling.damaged_files


def _writing(reports: IO[str]) -> Report:
    def write(line: ReportLine) -> None:
        reports.write(json.dumps([line.source, line.reason, line.sentence]) + "\n")

    return write


def log_report(line: ReportLine) -> None:
    """Log what was left out."""
    _LOG.warning("%s", line.sentence)


def _ignore(_: BulkProgress) -> None:
    return


class _Filling:
    """The one pass over the files."""

    def __init__(
        self,
        index: BulkIndex,
        files: list[Path],
        names: list[str],
        on_progress: OnProgress,
        report: Report,
    ) -> None:
        self._index = index
        self._files = files
        self._names = names
        self._on_progress = on_progress
        self._report = report
        self._faults = FaultReport(report)
        self._unused: Counter[str] = Counter()

    def run(self) -> None:
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
                self._index_line(position, line)
        self._on_progress(BulkProgress("indexing", total, total))
        self._index.finish()
        self.damaged_files = self._faults.files
        self._report_what_is_left_out()

    def _index_line(self, file: int, line: Line) -> None:
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
            self._place(resource, kind, Place(file, line.number, line.offset, line.content))

    def _place(self, resource: Resource, kind: str, place: Place) -> None:
        subject = subject_of(resource)
        if kind == "Patient":
            if subject:
                self._index.add_patient(str(resource["id"]), names_of(resource))
        elif not subject and kind in SHARED_TYPES:
            self._index.add_shared(names_of(resource), place)
            return
        if subject:
            self._index.add(subject, place)
            return
        name = self._names[place.file]
        sentence = f"the {kind} has no id" if kind == "Patient" else f"the {kind} names no patient"
        self._faults.add(name, f"{name}:{place.line}", "no-patient", sentence)

    def _report_what_is_left_out(self) -> None:
        for file, line, count in self._index.unknown_subjects():
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


def _damage(files: list[str]) -> ReportLine:
    """Return what every chart must say if lines could not be read: whose they were is lost."""
    shown = ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")
    return ReportLine(
        "bulk export",
        "bulk-incomplete",
        f"bulk export: lines were left out of {len(files)} files ({shown}); "
        "some of them may have been this patient's",
    )


def file_states(directory: Path) -> dict[str, tuple[int, int]]:
    """Return size in bytes and time of change in ns of each file of an export, by its name."""
    states = _states(directory, ndjson_files(directory))
    return {name: (size, changed_ns) for name, size, changed_ns in states}


def _states(directory: Path, files: list[Path]) -> list[list[Any]]:
    """Return name, size and time of each file: what tells whether an index is still of them."""
    found = ((path.relative_to(directory).as_posix(), path.stat()) for path in files)
    return [[name, state.st_size, state.st_mtime_ns] for name, state in found]


def _description(folder: Path) -> dict[str, Any] | None:
    path = folder / _DESCRIPTION
    if not path.is_file():
        return None
    description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return description if description["format"] == FORMAT else None


def _write_description(folder: Path, description: dict[str, Any]) -> None:
    unfinished = folder / f"{_DESCRIPTION}.part"
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(json.dumps(description))
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / _DESCRIPTION)


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
