"""Shares patients out to workers, and out again where a worker died.

A crew is any number of workers: this process, processes of this machine, actors of a Ray cluster.
The coordinator alone writes, so a patient whose worker died is simply given to another one. Who
kills workers again and again, a chart that needs more memory than there is, is left out by name.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from cds_hooks.errors import CommandError, ServiceError
from cds_hooks.growing_file import Json
from cds_hooks.risk_assessment import risk_assessment
from cds_hooks.score_files import left_out
from cds_hooks.site_codes import concept_map_digest, site_codes
from fhir_adapters.bulk import IndexedExport
from fhir_adapters.chart import Chart
from fhir_adapters.codes import CodeTable
from fhir_adapters.errors import (
    ChartError,
    FhirError,
    NoPatient,
    UnsupportedFhirVersion,
    WrongPatient,
)
from fhir_adapters.last_moment import record_at_last_moment
from fhir_adapters.record_builder import build_record
from model.errors import ModelError, RecordError
from model.predictor import Predictor
from model.record import PatientRecord

_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (NoPatient, "no-patient"),
    (WrongPatient, "wrong-patient"),
    (UnsupportedFhirVersion, "unsupported-version"),
    (RecordError, "record"),
)
_TRIALS_ALONE = 3  # of a patient whose workers die
_DEATHS_IN_A_ROW = 8  # and two for each worker: without any result between them, nothing works

Moment = datetime | Literal["last"]
Chunk = Sequence[str]  # patient ids


class ScoringStopped(CommandError):
    """The workers cannot do their work."""


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """All that a worker has to know; it travels to other processes and machines."""

    export: Path
    index: Path  # folder, see fhir_adapters/bulk_export.py
    load: Callable[[], Predictor]
    weights_sha256: str
    moment: Moment
    now: datetime
    concept_map: Path | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a worker cannot work at all, in a sentence."""

    sentence: str


Answer = list[Json] | Failed


class Crew(Protocol):
    """Workers by number. Leaving the context ends them."""

    def hire(self) -> int:
        """Start a worker."""

    def give(self, worker: int, patients: Chunk) -> None:
        """Let an idle worker score patients."""

    def next_answer(self) -> tuple[int, Answer | None]:
        """Wait for a busy worker's answer; None: it died."""


Engine = Callable[[ScoreJob], AbstractContextManager[Crew]]


class Scorer:
    """What one worker does: charts from the index, estimates from the model."""

    def __init__(self, job: ScoreJob, predictor: Predictor | None = None) -> None:
        """Raises FhirNotFound without the index, ModelError, SettingsError, ScoringStopped."""
        self._job = job
        self._export = IndexedExport(job.export, job.index)
        self._predictor = predictor or job.load()
        self._codes = site_codes(job.concept_map)
        if weights_digest(self._predictor, job.concept_map) != job.weights_sha256:
            raise ScoringStopped("A worker found another model than the one that the run is of.")

    def score(self, patients: Chunk) -> list[Json]:
        """Return a resource for each patient."""
        job = self._job
        charts = (self._export.chart(patient) for patient in patients)
        return [
            scored(chart, self._predictor, job.moment, job.now, self._codes) for chart in charts
        ]

    def close(self) -> None:
        """Close the export."""
        self._export.close()


class LateScorer:
    """A Scorer that is made with its first patients, in the worker; its own errors are answers."""

    def __init__(self, job: ScoreJob) -> None:
        self._job = job
        self._scorer: Scorer | None = None

    def answer(self, patients: Chunk) -> Answer:
        """Score, or say in a sentence why nothing can be scored here."""
        try:
            if self._scorer is None:
                self._scorer = Scorer(self._job)
            return self._scorer.score(patients)
        except (ServiceError, FhirError, ModelError) as exc:
            return Failed(str(exc))


def weights_digest(predictor: Predictor, concept_map: Path | None) -> str:
    """Return what makes two estimates the same: graphs, calibration and the site's codes."""
    checkpoint = predictor.checkpoint
    digest = hashlib.sha256(checkpoint.encode_graph + checkpoint.fuse_graph)
    for by_task in (checkpoint.calibration, checkpoint.conformal):
        plain = {task: fitted.to_json() for task, fitted in by_task.items()}
        digest.update(json.dumps(plain, sort_keys=True).encode())
    digest.update(concept_map_digest(concept_map).encode())
    return digest.hexdigest()


def shared_out(crew: Crew, chunks: Iterable[Chunk], workers: int) -> Iterator[list[Json]]:
    """Yield what the crew makes of the chunks, in any order, each patient once.

    Raises ScoringStopped.
    """
    waiting, again = iter(chunks), deque[Chunk]()
    idle: list[int] = []
    busy: dict[int, Chunk] = {}
    deaths: Counter[str] = Counter()
    in_a_row = 0
    while True:
        while len(busy) < workers:
            chunk = again.popleft() if again else next(waiting, None)
            if chunk is None:
                break
            if not idle:
                idle.append(crew.hire())
            worker = idle.pop()
            busy[worker] = chunk
            crew.give(worker, chunk)
        if not busy:
            return
        worker, answer = crew.next_answer()
        chunk = busy.pop(worker)
        if isinstance(answer, Failed):
            raise ScoringStopped(answer.sentence)
        if answer is not None:
            in_a_row = 0
            idle.append(worker)
            yield answer
            continue
        in_a_row += 1
        if in_a_row >= _DEATHS_IN_A_ROW + 2 * workers:
            raise ScoringStopped(f"{in_a_row} workers died one after the other without a result.")
        lost, more = _after_death(chunk, deaths)
        again.extend(more)
        if lost:
            yield lost


def _after_death(chunk: Chunk, deaths: Counter[str]) -> tuple[list[Json], list[Chunk]]:
    """Return who is given up, and what is tried again: from now on each patient alone."""
    if len(chunk) > 1:
        return [], [(patient,) for patient in chunk]
    (patient,) = chunk
    deaths[patient] += 1
    if deaths[patient] < _TRIALS_ALONE:
        return [], [chunk]
    sentence = f"Patient/{patient}: {_TRIALS_ALONE} workers died over this chart"
    return [left_out(f"Patient/{patient}", "worker-died", sentence)], []


def scored(
    chart: Chart,
    predictor: Predictor,
    moment: Moment,
    now: datetime,
    codes: CodeTable | None = None,
) -> Json:
    """Return a patient's RiskAssessment, or the OperationOutcome that says why there is none."""
    patient = f"Patient/{chart.patient_id}"
    try:
        record = _record(chart, moment, now, codes)
        if record is None:
            sentence = f"{patient} has no data with a time, so there is no last moment to score"
            return left_out(patient, "no-data", sentence)
        return risk_assessment(record, *predictor(record))
    except (ChartError, RecordError) as exc:
        word = next((word for kind, word in _REASONS if isinstance(exc, kind)), "chart")
        return left_out(patient, word, str(exc))


def _record(
    chart: Chart, moment: Moment, now: datetime, codes: CodeTable | None
) -> PatientRecord | None:
    if isinstance(moment, datetime):
        return build_record(chart, moment, codes=codes, live=moment == now)
    return record_at_last_moment(chart, now, codes=codes)
