"""What ``meam score`` writes, and how a run that was stopped goes on.

Three files: the results (RiskAssessment a line), what was left out (OperationOutcome a line), and
beside them ``<results>.run.json`` with what the run was begun with. A patient stands in one of the
first two, once. A rerun reads both, goes on with the moment and the model of the first run, and
refuses to mix another model's estimates in. The run file is locked while somebody writes.

Beside them is also ``<results>.work``, with the index of the export and the ids of the patients
that earlier runs wrote: on disk, since a large site's do not fit in memory. It is removed when the
run has come to its end; a run that was stopped leaves it for the next one.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cds_hooks.errors import ResultsUnusable, operation_outcome
from cds_hooks.growing_file import GrowingFile, Json
from model.record import ReportLine

FORMAT = 1
REASONS = "urn:meam:left-out"  # system of the words that say why
_LINES_A_SYNC = 32


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run was begun with. All but ``started`` have to be the same in a rerun.

    An export may have got further files: their patients are scored as well. A file that changed
    may hold newer values of patients whose estimates are written already.
    """

    model: str  # "meam-risk 0.1.0"
    weights_sha256: str
    prediction_time: str  # as asked: "now", "last" or a time
    left_out: str  # name of the second file
    started: datetime  # what "now" stands for
    files: Mapping[str, Sequence[int]] = field(default_factory=dict)  # size and time of each

    def difference(self, earlier: Terms) -> str:
        """Say what differs from an earlier run, "" if nothing does."""
        if (self.model, self.weights_sha256) != (earlier.model, earlier.weights_sha256):
            return f"it was begun with {earlier.model}, or with other weights of it"
        if self.prediction_time != earlier.prediction_time:
            return f"it was begun with the prediction time {earlier.prediction_time}"
        if self.left_out != earlier.left_out:
            return f"what was left out stands in {earlier.left_out}"
        for name, state in earlier.files.items():
            if name not in self.files:
                return f"{name} is not in this export"
            if tuple(self.files[name]) != tuple(state):
                return f"{name} has changed since, and some of its patients may be written already"
        return ""


class ScoreFiles:
    """The files of one run, open for writing. Use it as a context manager."""

    def __init__(
        self, results: Path, left_out: Path, asked: Terms, on_earlier: Callable[[Json], None]
    ) -> None:
        """Begin, or go on where an earlier run stopped; ``on_earlier`` gets what that wrote.

        Raises ResultsUnusable.
        """
        with ExitStack() as opened:
            lock = _locked(results.with_name(f"{results.name}.run.json"), results)
            opened.callback(os.close, lock)
            self.terms = _agreed(lock, results, left_out, asked)
            self._results = opened.enter_context(_growing(results, "RiskAssessment"))
            self._left_out = opened.enter_context(_growing(left_out, "OperationOutcome"))
            self.work = work_folder(results)
            self._done = opened.enter_context(closing(_Earlier(self.work)))
            self._remarks: set[str] = set()
            self._unsynced = 0
            self._take_up(on_earlier)
            self._opened = opened.pop_all()

    def _take_up(self, on_earlier: Callable[[Json], None]) -> None:
        for line in self._results.earlier():
            self._done.add(line["subject"]["reference"])
            on_earlier(line)
        for line in self._left_out.earlier():
            about = line["issue"][0]["diagnostics"]
            if is_patient(line):
                self._done.add(about)
            else:
                self._remarks.add(about)
            on_earlier(line)

    def has(self, patient: str) -> bool:
        """Whether an earlier run wrote this patient, "Patient/1"."""
        return patient in self._done

    def sync(self) -> None:
        """Bring every line to the disk."""
        self._results.sync()
        self._left_out.sync()
        self._unsynced = 0

    def finish(self) -> None:
        """Remove the working folder: all is done."""
        shutil.rmtree(self.work)

    def add(self, resource: Json) -> None:
        """Write what became of a patient: a RiskAssessment, or an OperationOutcome."""
        scored = resource["resourceType"] == "RiskAssessment"
        (self._results if scored else self._left_out).append(resource)
        self._count()

    def add_remark(self, line: ReportLine) -> Json | None:
        """Write what the export itself lacks, once however often it is read; None if known."""
        if line.sentence in self._remarks:
            return None
        self._remarks.add(line.sentence)
        severity = "information" if line.reason == "type" else "warning"  # records need no others
        remark = outcome(severity, "incomplete", line.reason, line.sentence, line.sentence)
        self._left_out.append(remark)
        return remark

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._opened:
            self.sync()

    def _count(self) -> None:
        self._unsynced += 1
        if self._unsynced >= _LINES_A_SYNC:
            self.sync()


def left_out(patient: str, reason: str, sentence: str) -> Json:
    """Return the OperationOutcome of a patient ("Patient/1") that could not be scored."""
    return outcome("error", "processing", reason, sentence, patient)


def outcome(severity: str, code: str, reason: str, sentence: str, diagnostics: str) -> Json:
    """Return an OperationOutcome; ``reason`` is a short stable word to count by."""
    resource: dict[str, Any] = operation_outcome(code, sentence, diagnostics)
    issue = resource["issue"][0]
    issue["severity"] = severity
    issue["details"]["coding"] = [{"system": REASONS, "code": reason}]
    return resource


def reason_of(resource: Json) -> str:
    """Return the word by which an OperationOutcome of ours is counted."""
    return str(resource["issue"][0]["details"]["coding"][0]["code"])


def is_patient(resource: Json) -> bool:
    """Whether an OperationOutcome of ours is about a patient, not about the export."""
    return bool(resource["issue"][0]["severity"] == "error")


def _locked(path: Path, results: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as exc:
        raise ResultsUnusable(f"{path} cannot be written: {exc.strerror}.") from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(descriptor)
        raise ResultsUnusable(f"Another run is writing {results}.") from exc
    return descriptor


def _growing(path: Path, resource_type: str) -> closing[GrowingFile]:
    return closing(GrowingFile(path, resource_type))


def work_folder(results: Path) -> Path:
    """Make the folder of what a run needs until it ends, or find that of a stopped one."""
    folder = results.with_name(f"{results.name}.work")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise ResultsUnusable(f"{folder} cannot be written: {exc.strerror}.") from exc
    return folder


class _Earlier:
    """The patients of earlier runs, in a table on disk that each run makes anew."""

    def __init__(self, folder: Path) -> None:
        path = folder / "earlier.sqlite"
        path.unlink(missing_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE done (patient TEXT PRIMARY KEY) WITHOUT ROWID; BEGIN"
        )
        self._any = False

    def add(self, patient: str) -> None:
        self._any = True
        self._database.execute("INSERT OR IGNORE INTO done VALUES (?)", (patient,))

    def __contains__(self, patient: str) -> bool:
        if not self._any:
            return False
        query = "SELECT 1 FROM done WHERE patient = ?"
        return self._database.execute(query, (patient,)).fetchone() is not None

    def close(self) -> None:
        self._database.close()


def _agreed(lock: int, results: Path, left_out: Path, asked: Terms) -> Terms:
    """Return the terms of the run: of the earlier one if that wrote anything, else as asked."""
    written = [path for path in (results, left_out) if path.exists() and path.stat().st_size]
    content = os.pread(lock, os.fstat(lock).st_size, 0)
    if not written:
        _write_terms(lock, asked)
        return asked
    if not content:
        raise ResultsUnusable(
            f"{written[0]} exists, and no earlier run of this command wrote it; name another."
        )
    earlier = _read_terms(content, results)
    difference = asked.difference(earlier)
    if difference:
        raise ResultsUnusable(
            f"{results} belongs to another run: {difference}. Name another file, or remove it,"
            f" {left_out.name} and {results.name}.run.json."
        )
    if earlier.files.keys() >= asked.files.keys():
        return earlier
    grown = replace(earlier, files={**earlier.files, **asked.files})
    _write_terms(lock, grown)
    return grown


def _write_terms(lock: int, terms: Terms) -> None:
    document = {"format": FORMAT, **asdict(terms), "started": terms.started.isoformat()}
    content = json.dumps(document).encode()
    os.pwrite(lock, content, 0)
    os.ftruncate(lock, len(content))
    os.fsync(lock)


def _read_terms(content: bytes, results: Path) -> Terms:
    try:
        fields = {"format": 0, **json.loads(content)}
        started = datetime.fromisoformat(fields["started"])
        known = fields.pop("format") == FORMAT
        terms = Terms(**{**fields, "started": started})
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ResultsUnusable(f"{results.name}.run.json is not what this command wrote.") from exc
    if not known:
        raise ResultsUnusable(f"{results.name}.run.json is of another version of this command.")
    return terms
