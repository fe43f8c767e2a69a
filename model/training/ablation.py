"""Run arms x seeds, one JSON each: a run that was killed goes on where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from model.training.ablation_arms import Arm, SwitchMissing, settings_of_arm
from model.training.ablation_data import AblationData
from model.training.ablation_run import run_arm
from model.training.settings import TrainingSettings

SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Job:
    """One arm with one seed, and where its results go."""

    arm: Arm
    seed: int
    settings: TrainingSettings
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / f"{self.arm.name.replace(' ', '-')}.seed{self.seed}.json"


Report = Callable[[Job, str], None]  # what became of a job: "done", "kept", or why it was skipped
DataFactory = Callable[[], AblationData]


def run_ablation(
    make_data: DataFactory,
    arms: Sequence[Arm],
    seeds: Sequence[int],
    settings: TrainingSettings,
    folder: Path,
    *,
    data: AblationData | None = None,
    jobs: int = 1,
    report: Report | None = None,
) -> list[dict[str, Any]]:
    """Return the results of every arm and seed; those that are there already are not run again.

    Seeds come first, arms within them, so that a run that is stopped is balanced. Arms that the
    settings cannot express are skipped; their result holds only the reason. ``data`` is what
    ``make_data`` returns, where it has been made; with more than one job every process makes its
    own, and ``make_data`` must be picklable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    todo = [Job(arm, seed, settings, folder) for seed in seeds for arm in arms]
    found = {}
    for job, result, word in _results(make_data, data or make_data(), todo, jobs):
        found[job.file] = result
        if report is not None:
            report(job, word)
    return [found[job.file] for job in todo]


def _results(
    make_data: DataFactory, data: AblationData, todo: Sequence[Job], jobs: int
) -> Iterator[tuple[Job, dict[str, Any], str]]:
    open_jobs = []
    for job in todo:
        reason = _reason_to_skip(job)
        kept = None if reason else _kept(job, data)
        if reason:
            yield job, {"arm": job.arm.name, "seed": job.seed, SKIPPED: reason}, reason
        elif kept is not None:
            yield job, kept, "kept"
        else:
            open_jobs.append(job)
    if jobs == 1 or len(open_jobs) < 2:
        for job in open_jobs:
            yield job, _done(job, data), "done"
        return
    with ProcessPoolExecutor(
        jobs, get_context("spawn"), initializer=_start_process, initargs=(make_data,)
    ) as pool:
        running = {pool.submit(_done_there, job): job for job in open_jobs}
        for future in as_completed(running):
            yield running[future], future.result(), "done"


def _reason_to_skip(job: Job) -> str:
    try:
        settings_of_arm(job.settings, job.arm)
    except SwitchMissing as exc:
        return str(exc)
    return ""


def _kept(job: Job, data: AblationData) -> dict[str, Any] | None:
    """Return the result of an earlier run of the same settings and stays."""
    if not job.file.is_file():
        return None
    result: dict[str, Any] = json.loads(job.file.read_text(encoding="utf-8"))
    return result if result.get("fingerprint") == _fingerprint(job, data) else None


def _fingerprint(job: Job, data: AblationData) -> str:
    settings = settings_of_arm(job.settings, job.arm).to_json()
    parts = [data.fingerprint, job.arm.identity(), job.seed, settings]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _done(job: Job, data: AblationData) -> dict[str, Any]:
    """Train one; its state is kept beside the results until they are written."""
    state = job.file.with_suffix(".state")
    result = run_arm(data, job.arm, job.settings, job.seed, state_folder=state)
    result["fingerprint"] = _fingerprint(job, data)
    unfinished = job.file.with_suffix(".part")
    unfinished.write_text(json.dumps(result), encoding="utf-8")
    unfinished.rename(job.file)
    shutil.rmtree(state, ignore_errors=True)
    return result


_data_here: list[AblationData] = []  # of a worker process, made once


def _start_process(make_data: DataFactory) -> None:
    torch.set_num_threads(1)
    _data_here.append(make_data())


def _done_there(job: Job) -> dict[str, Any]:
    return _done(job, _data_here[0])
