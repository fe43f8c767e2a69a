"""Several workers write what one writes, also when they die."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest

from cds_hooks.growing_file import Json
from cds_hooks.score_command import Workers, score_with
from cds_hooks.score_crew import Answer, Chunk, Failed, ScoringStopped, shared_out
from cds_hooks.score_workers import processes
from fhir_adapters.bulk import write_bulk
from model.predictor import Predictor
from tests.cds_hooks.score_kill_run import ROOT, kill_many
from tests.cds_hooks.score_world import (
    loading,
    small_predictor,
    sorted_lines,
    write_small_checkpoint,
)
from tests.cds_hooks.site_export import NOW, site_charts

COUNT = 30


class PaperCrew:
    """Workers that answer with ids; who is ``deadly`` kills them, each so many times."""

    def __init__(self, deadly: dict[str, int]) -> None:
        self.deadly = Counter(deadly)
        self.hired = 0
        self.given: deque[tuple[int, Chunk]] = deque()
        self.dead: set[int] = set()

    def hire(self) -> int:
        self.hired += 1
        return self.hired

    def give(self, worker: int, patients: Chunk) -> None:
        assert worker not in self.dead
        assert worker not in [other for other, _ in self.given]
        self.given.append((worker, patients))

    def next_answer(self) -> tuple[int, Answer | None]:
        worker, patients = self.given.popleft()
        for patient in patients:
            if self.deadly[patient] > 0:
                self.deadly[patient] -= 1
                self.dead.add(worker)
                return worker, None
        return worker, [{"id": patient} for patient in patients]


def results(crew: PaperCrew, chunks: Iterable[Chunk], workers: int = 2) -> list[Json]:
    return [resource for made in shared_out(crew, chunks, workers) for resource in made]


def ids(resources: list[Json]) -> list[str]:
    return sorted(resource["id"] for resource in resources if "id" in resource)


CHUNKS = [("a", "b", "c"), ("d", "e"), ("f",), ("g", "h")]
ALL = sorted("abcdefgh")


def test_every_patient_is_given_once() -> None:
    crew = PaperCrew({})
    assert ids(results(crew, CHUNKS)) == ALL
    assert crew.hired == 2


def test_no_more_workers_are_hired_than_there_is_work_for() -> None:
    crew = PaperCrew({})
    assert ids(results(crew, CHUNKS[:1], workers=4)) == ["a", "b", "c"]
    assert crew.hired == 1


def test_a_dead_workers_patients_are_given_to_another() -> None:
    crew = PaperCrew({"b": 1, "f": 1, "h": 1})
    assert ids(results(crew, CHUNKS)) == ALL
    assert crew.hired == 2 + 3


def test_a_patient_who_kills_workers_again_and_again_is_left_out() -> None:
    made = results(PaperCrew({"b": 99}), CHUNKS)
    assert ids(made) == [patient for patient in ALL if patient != "b"]
    (lost,) = [resource for resource in made if "id" not in resource]
    assert lost["issue"][0]["details"]["coding"][0]["code"] == "worker-died"
    assert lost["issue"][0]["diagnostics"] == "Patient/b"


def test_workers_that_all_die_end_the_run() -> None:
    with pytest.raises(ScoringStopped, match="12 workers died one after the other"):
        results(PaperCrew(dict.fromkeys("abcdefghijklmnop", 99)), [tuple("abcdefghijklmnop")])


def test_a_worker_that_cannot_work_ends_the_run() -> None:
    class Unable(PaperCrew):
        def next_answer(self) -> tuple[int, Answer | None]:
            return self.given.popleft()[0], Failed("the checkpoint is not there")

    with pytest.raises(ScoringStopped, match="the checkpoint is not there"):
        results(Unable({}), CHUNKS)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_checkpoint(tmp_path_factory.mktemp("checkpoint") / "small")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    write_bulk(site_charts(COUNT), folder, compress=True, lines_per_file=300)
    return folder


@pytest.fixture(scope="module")
def by_one(checkpoint: Path, export: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("one")
    score_with(small_predictor(checkpoint), export, folder / "r", folder / "l", NOW)
    return sorted_lines(folder / "r")


def test_two_processes_write_what_one_writes(
    checkpoint: Path, export: Path, by_one: list[bytes], tmp_path: Path
) -> None:
    load = loading(checkpoint)
    workers = Workers(2, processes, load)
    tally = score_with(load(), export, tmp_path / "r", tmp_path / "l", NOW, workers=workers)
    assert tally.patients == len(by_one) == COUNT
    assert sorted_lines(tmp_path / "r") == by_one


def refuse(checkpoint: Path) -> Predictor:
    """Stand in for a machine that does not have the checkpoint."""
    return small_predictor(checkpoint / "elsewhere")


def test_a_worker_without_the_model_says_so(checkpoint: Path, export: Path, tmp_path: Path) -> None:
    workers = Workers(1, processes, partial(refuse, checkpoint))
    with pytest.raises(ScoringStopped, match="elsewhere"):
        score_with(
            small_predictor(checkpoint),
            export,
            tmp_path / "r",
            tmp_path / "l",
            NOW,
            workers=workers,
        )


def test_kills_at_random_moments_lose_nobody(tmp_path: Path) -> None:
    """A few of them; ``python -m tests.cds_hooks.score_kill_run --kills 100`` does more."""
    killing = kill_many(tmp_path, kills=2, patients=30, seed=4)
    assert killing.kills.total() == 2
    assert killing.finished >= 1


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra 'ray' is missing")
def test_a_ray_cluster_that_loses_a_worker_writes_what_one_process_writes(
    checkpoint: Path, export: Path, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint").symlink_to(checkpoint)
    (tmp_path / "export").symlink_to(export)
    command = [sys.executable, "-m", "tests.cds_hooks.score_ray_run", str(tmp_path)]
    ended = subprocess.run(
        [*command, "--patients", str(COUNT)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert f"{COUNT} patients on 2 nodes" in ended.stdout
    assert "1 workers killed: every line as one process writes it." in ended.stdout
