"""``meam score``: every patient of a Bulk Data export, one RiskAssessment a line.

One pass over the files makes an index on disk; then patients are shared out to workers, and this
process alone writes what they make. Memory holds some patients at a time, however many there are.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Literal

from rich.console import Console

from cds_hooks.errors import ResultsUnusable
from cds_hooks.export_progress import Show, export_progress
from cds_hooks.score_crew import Chunk, Crew, Engine, ScoreJob, shared_out, weights_digest
from cds_hooks.score_files import ScoreFiles, Terms
from cds_hooks.score_parquet import require_parquet, write_parquet
from cds_hooks.score_tally import Tally, write_summary
from cds_hooks.score_workers import processes, this_process
from cds_hooks.settings import Settings
from cds_hooks.site_codes import site_codes
from fhir_adapters.bulk import BulkProgress, IndexedExport, file_states, index_export
from model.predictor import Predictor, load_predictor
from model.record import ReportLine

LAST: Literal["last"] = "last"
PredictionTime = datetime | Literal["last"] | None  # None: the moment at which the run began
CHUNK = 8  # patients a worker gets at a time: under a second of work
MOST_WORKERS = 4  # unless more are asked for: each holds a model, 200 MB and more

Load = Callable[[], Predictor]


@dataclass(frozen=True, slots=True)
class Workers:
    """Who scores. ``engine`` None: this process, if one worker is enough."""

    count: int = 1
    engine: Engine | None = None
    load: Load | None = None  # needed where an engine is


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """What ``meam score`` was asked for."""

    bulk: Path
    results: Path
    left_out: Path | None = None  # default: <results>.left-out.ndjson
    parquet: Path | None = None
    checkpoint: Path | None = None
    prediction_time: PredictionTime = None
    concept_map: Path | None = None  # a site's own codes
    workers: int | None = None
    engine: Literal["processes", "ray"] = "processes"
    ray_address: str = ""  # "": a cluster of this machine alone, for this run

    @property
    def rest(self) -> Path:
        """The file of who was left out."""
        return self.left_out or self.results.with_name(f"{self.results.stem}.left-out.ndjson")

    @property
    def summary(self) -> Path:
        """The file with the counts."""
        return summary_of(self.results)


def summary_of(results: Path) -> Path:
    """Return where the counts of a run stand."""
    return results.with_name(f"{results.stem}.summary.json")


def score(asked: ScoreRequest, console: Console | None = None) -> Tally:
    """Score an export, or go on with a run that was stopped; print and write the summary.

    Raises ResultsUnusable, SettingsError, ScoringStopped, FhirError for an unusable export, and
    ModelError; SystemExit after SIGINT and SIGTERM, with everything on disk.
    """
    console = console or Console(stderr=True)
    if asked.parquet is not None:
        require_parquet()
    load = partial(load_predictor, asked.checkpoint or Settings().checkpoint, threads=1)
    workers = _workers(asked, load)
    began, started = datetime.now(UTC), time.monotonic()
    with _stopping_in_order(console), export_progress(console, "scoring patients") as show:
        predictor = load()
        tally = score_with(
            predictor,
            asked.bulk,
            asked.results,
            asked.rest,
            asked.prediction_time,
            asked.concept_map,
            on_progress=show,
            workers=workers,
            parquet=asked.parquet,
        )
    seconds = time.monotonic() - started
    info = predictor.checkpoint.info
    write_summary(
        asked.summary,
        {
            "model": f"{info.name} {info.version}",
            "weights_sha256": weights_digest(predictor, asked.concept_map),
            **tally.to_json(),
            "engine": asked.engine,
            "workers": workers.count,
            "began": began.isoformat(timespec="seconds"),
            "seconds": round(seconds, 1),
            "patients_a_second": round((tally.patients - tally.from_earlier_run) / seconds, 2),
        },
    )
    console.print(tally.table())
    files = f"Results: {asked.results}. Left out: {asked.rest}. Summary: {asked.summary}."
    for sentence in (*tally.remarks_in_words(), files):
        console.print(sentence, soft_wrap=True, highlight=False)
    return tally


def score_with(
    predictor: Predictor,
    bulk: Path,
    results: Path,
    left_out: Path,
    prediction_time: PredictionTime = None,
    concept_map: Path | None = None,
    *,
    on_progress: Show | None = None,
    workers: Workers | None = None,
    parquet: Path | None = None,
) -> Tally:
    """Score an export with a loaded model; other processes load theirs by ``workers``."""
    _check_places(bulk, results, left_out, parquet)
    site_codes(concept_map)  # a faulty file is said before anything is made
    tally = Tally()
    show = on_progress or _unseen
    terms = _terms(predictor, bulk, prediction_time, left_out, concept_map)
    with ScoreFiles(results, left_out, terms, tally.count) as files:
        tally.from_earlier_run = tally.patients
        with index_export(bulk, files.work / "index", on_progress=show) as export:
            _remark(export.reports(), files, tally)
            job = ScoreJob(
                export=bulk.resolve(),
                index=(files.work / "index").resolve(),
                load=(workers and workers.load) or (lambda: predictor),
                weights_sha256=terms.weights_sha256,
                moment=prediction_time or files.terms.started,
                now=files.terms.started,
                concept_map=concept_map and concept_map.resolve(),
            )
            _share_out(job, export, predictor, files, tally, workers or Workers(), show)
        files.sync()
        if parquet is not None:
            write_parquet(parquet, results, left_out, patients=tally.patients)
        files.finish()
    return tally


def _share_out(
    job: ScoreJob,
    export: IndexedExport,
    predictor: Predictor,
    files: ScoreFiles,
    tally: Tally,
    workers: Workers,
    show: Show,
) -> None:
    total = len(export)
    show(BulkProgress("reading", tally.from_earlier_run, total))
    waiting = (p for p in export.patients() if not files.has(f"Patient/{p}"))
    alone = workers.engine is None or total - tally.from_earlier_run <= CHUNK  # not worth a start
    if workers.engine is None or alone:
        made: AbstractContextManager[Crew] = this_process(job, predictor)
    else:
        made = workers.engine(job)
    with made as crew:
        chunks = _chunks(waiting, 1 if alone else CHUNK)
        for resources in shared_out(crew, chunks, 1 if alone else workers.count):
            for resource in resources:
                files.add(resource)
                tally.count(resource)
            show(BulkProgress("reading", tally.patients, total))


def _chunks(patients: Iterable[str], size: int) -> Iterator[Chunk]:
    patients = iter(patients)
    while chunk := tuple(islice(patients, size)):
        yield chunk


def _remark(lines: Iterable[ReportLine], files: ScoreFiles, tally: Tally) -> None:
    """Write what the export itself lacks, unless an earlier run did."""
    for line in lines:
        written = files.add_remark(line)
        if written is not None:
            tally.count(written)


def _workers(asked: ScoreRequest, load: Load) -> Workers:
    """Return who scores: as many workers as asked for, or as there are cores, up to a few."""
    if asked.engine == "ray":
        from cds_hooks.score_ray import ray_engine

        engine, count = ray_engine(asked.ray_address, asked.workers)
        return Workers(count, engine, load)
    count = asked.workers or min(len(os.sched_getaffinity(0)), MOST_WORKERS)
    return Workers(count, processes if count > 1 else None, load)


def _check_places(bulk: Path, results: Path, left_out: Path, parquet: Path | None) -> None:
    """Raise ResultsUnusable for a file that would be read with the export or replace another."""
    summary = summary_of(results)
    beside = (results.with_name(f"{results.name}.{end}") for end in ("run.json", "work"))
    taken = {path.resolve() for path in (results, summary, *beside)}
    for path in filter(None, (results, left_out, parquet)):
        if bulk.resolve() in path.resolve().parents:
            raise ResultsUnusable(f"{path} lies in the export and would be read with it.")
    for path in filter(None, (left_out, parquet)):
        if path.resolve() in taken:
            raise ResultsUnusable(f"{path} is needed for something else of this run.")
        taken.add(path.resolve())


def _terms(
    predictor: Predictor,
    bulk: Path,
    prediction_time: PredictionTime,
    left_out: Path,
    concept_map: Path | None,
) -> Terms:
    """Return what makes two runs the same: model, the site's codes, the moment, the export."""
    info = predictor.checkpoint.info
    return Terms(
        model=f"{info.name} {info.version}",
        weights_sha256=weights_digest(predictor, concept_map),
        prediction_time="now" if prediction_time is None else str(prediction_time),
        left_out=left_out.name,
        started=datetime.now(UTC).replace(microsecond=0),
        files=file_states(bulk),
    )


@contextmanager
def _stopping_in_order(console: Console) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the run with what was made on disk, and say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    earlier = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except SystemExit:
        console.print("Stopped; the same command goes on from here.", highlight=False)
        raise
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _unseen(_: BulkProgress) -> None:
    return
