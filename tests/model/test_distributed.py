"""Two processes train what one trains: the same gradients, lessons and weights."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from model.training.case_store import CaseWriter, StoredRows
from model.training.cohort import Cohort, CohortError, SavedCohort, save_cohort
from model.training.loop import Trained, _Run, train_network
from model.training.losses import ConsistencySettings
from model.training.network import FusionNetwork, NetworkConfig
from model.training.processes import ProcessLost, train_in_processes
from model.training.settings import TrainingSettings
from model.training.teaching import Lesson, teach
from model.training.team import Team
from tests.model.test_training_loop import CONFIG, planted

# Without dropout, which each process draws for itself.
NETWORK = NetworkConfig(
    width=16,
    heads=2,
    bins=4,
    rank=4,
    latents_per_modality=1,
    shared_latents=2,
    feed_forward=16,
    dropout=0.0,
)
SETTINGS = TrainingSettings(
    network=NETWORK,
    consistency=ConsistencySettings(
        warm_up_share=0.5, refresh_epochs=1, row_share=0.3, lime_samples=16
    ),
    epochs=4,
    batch_size=15,  # 46 stays: the last batch has one row, fewer than there are processes
    learning_rate=1e-3,
)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return planted(46, seed=0)


@pytest.fixture(scope="module")
def stored(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> StoredRows:
    folder = tmp_path_factory.mktemp("store") / "tokens"
    with CaseWriter(folder, CONFIG, "key") as writer:
        for case in cohort.cases:
            writer.add(case.tokens, case.facts)
    return StoredRows(folder, "key", tuple(range(len(cohort))))


@pytest.fixture(scope="module")
def alone(stored: StoredRows) -> Trained:
    """What one process makes of the same cases."""
    return train_network(stored.open(), stored.open(), SETTINGS)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "state"


@pytest.fixture(scope="module")
def together(stored: StoredRows, state: Path) -> Trained:
    return train_in_processes(2, stored, stored, SETTINGS, state_folder=state)


def largest_difference(one: FusionNetwork, other: FusionNetwork) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def test_two_processes_end_with_the_weights_of_one(alone: Trained, together: Trained) -> None:
    assert largest_difference(alone.network, together.network) < 1e-5
    for one, other in zip(alone.history, together.history, strict=True):
        assert other.cross_entropy == pytest.approx(one.cross_entropy, abs=1e-5)
        assert other.divergence == pytest.approx(one.divergence, abs=1e-5)
        assert other.mass == pytest.approx(one.mass, abs=1e-5)
        assert other.tuning_auroc == pytest.approx(one.tuning_auroc, abs=1e-6)
    assert together.history[-1].divergence > 0  # the teaching took part


class Part(Team):
    """A process whose gradients are not added up, so that a test may do it."""

    def of_leader(self, make):  # type: ignore[no-untyped-def]
        return make()

    def add_up_gradients(self, network: torch.nn.Module) -> None:
        return


@cache
def lessons(cohort: Cohort) -> dict[int, Lesson]:
    """Teach two of three of the first cases."""
    run = _Run(cohort, None, SETTINGS, None)
    taught = [row for row in range(15) if row % 3]
    return teach(run.average.network, cohort, taught, SETTINGS.consistency, seed=4)


def gradients(cohort: Cohort, team: Team, rows: list[int]) -> list[torch.Tensor]:
    """Return the gradients of one step, a zero where there is none."""
    run = _Run(cohort, None, replace(SETTINGS, gradient_norm=1e9), None, team)
    run.lessons = lessons(cohort)
    run.step(np.array(rows), 0.4, 0.2, torch.Generator().manual_seed(7))
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in run.network.parameters()]


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("rows", [list(range(15)), [3, 4, 9, 31, 40], [8]])
def test_the_gradients_of_the_parts_add_up_to_those_of_the_batch(
    cohort: Cohort, processes: int, rows: list[int]
) -> None:
    whole = gradients(cohort, Team(), rows)
    parts = [gradients(cohort, Part(rank, processes), rows) for rank in range(processes)]
    assert max(float(one.abs().max()) for one in whole) > 1e-2
    for expected, *added in zip(whole, *parts, strict=True):
        assert torch.allclose(sum(added), expected, rtol=0, atol=1e-5)


def test_a_mean_of_the_parts_means_would_be_another_gradient(cohort: Cohort) -> None:
    """The parts' own counts differ: this is what the counts of the whole batch are for."""
    rows = [1, 2, 3, 4, 5]
    whole = gradients(cohort, Team(), rows)
    halves = [gradients(cohort, Team(), part) for part in (rows[:3], rows[3:])]
    means = [(one + other) / 2 for one, other in zip(*halves, strict=True)]
    assert max(float((a - b).abs().max()) for a, b in zip(whole, means, strict=True)) > 1e-4


def kill_one_after(state: Path, epochs: int) -> threading.Thread:
    """Kill a process of a training once its state holds so many epochs."""

    def wait_and_kill() -> None:
        while True:
            time.sleep(0.01)
            try:
                done = len(json.loads((state / "state.json").read_text())["history"])
            except (FileNotFoundError, ValueError):  # not yet, or just being replaced
                continue
            if done >= epochs:
                os.kill(multiprocessing.active_children()[-1].pid or 0, signal.SIGKILL)
                return

    thread = threading.Thread(target=wait_and_kill, daemon=True)
    thread.start()
    return thread


def test_a_killed_training_goes_on_and_the_same_seed_gives_the_same_weights(
    stored: StoredRows, together: Trained, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    killer = kill_one_after(state, epochs=2)
    with pytest.raises(ProcessLost, match="ended with exit code"):
        train_in_processes(2, stored, stored, SETTINGS, state_folder=state)
    killer.join()
    assert not multiprocessing.active_children()
    steps: list[int] = []
    resumed = train_in_processes(
        2, stored, stored, SETTINGS, state_folder=state, on_step=lambda done, _: steps.append(done)
    )
    assert steps[0] > 4  # a step of a later epoch than the first
    assert largest_difference(resumed.network, together.network) == 0


def test_the_leader_says_why_a_training_starts_anew(stored: StoredRows, tmp_path: Path) -> None:
    state, once = tmp_path / "state", replace(SETTINGS, epochs=1)
    train_network(stored.open(), None, once, state_folder=state)
    said: list[str] = []
    train_in_processes(
        2, stored, None, replace(once, seed=7), state_folder=state, on_fresh=said.append
    )
    assert said == [
        "The state of an earlier training is not used: it is of other settings. "
        "Training starts anew."
    ]


def test_a_state_whose_replacement_was_killed_is_found(tmp_path: Path, cohort: Cohort) -> None:
    state, settings = tmp_path / "state", replace(SETTINGS, epochs=1)
    train_network(cohort, None, settings, state_folder=state)
    state.rename(tmp_path / "state.old")
    epochs: list[int] = []
    again = train_network(
        cohort, None, settings, state_folder=state, on_epoch=lambda r: epochs.append(r.epoch)
    )
    assert epochs == []  # the only epoch was found
    assert len(again.history) == 1
    assert state.is_dir()


def test_a_cohort_file_is_opened_by_each_process(cohort: Cohort, tmp_path: Path) -> None:
    save_cohort(tmp_path / "part.npz", cohort)
    opened = SavedCohort(tmp_path / "part.npz").open()
    assert [case.facts for case in opened.cases] == [case.facts for case in cohort.cases]
    assert opened.cases[0].summary is not None  # soft labels are made of it


def test_a_store_of_another_training_is_refused(stored: StoredRows) -> None:
    with pytest.raises(CohortError, match="holds no cases of this training"):
        replace(stored, key="other").open()
