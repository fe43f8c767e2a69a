"""Training in several processes of one machine: gloo on CPUs, each with its share of the cores.

The processes write the state of the training as one process would; the caller takes the finished
weights from there. Whatever kills one of them, or the caller, ends all: the next run goes on from
the last epoch.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

import torch

from model.errors import ModelError
from model.training.cohort import Cohort
from model.training.loop import OnStep, Trained, train_network
from model.training.settings import TrainingSettings
from model.training.state import OnFresh, settle
from model.training.team import Team

PATIENCE = timedelta(hours=2)  # for the slowest process of a teaching; a dead one is seen at once
_END_S = 10.0


class ProcessLost(ModelError):
    """A process of a training ended before the training did."""


class Openable(Protocol):
    """A cohort that another process can open: see StoredRows and SavedCohort."""

    def open(self) -> Cohort:
        """Return the cohort."""


def train_in_processes(
    count: int,
    training: Openable,
    tuning: Openable | None,
    settings: TrainingSettings,
    *,
    state_folder: Path,
    on_step: OnStep | None = None,
    on_fresh: OnFresh | None = None,
) -> Trained:
    """Train as ``train_network`` does, in so many processes. Raises ProcessLost."""
    settle(state_folder)
    with tempfile.TemporaryDirectory(prefix="meam-training-") as folder, ExitStack() as started:
        meeting = f"file://{folder}/meeting"
        # Forked from a process that has imported the libraries once, and computed nothing yet.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        running: list[tuple[BaseProcess, Connection]] = []
        started.callback(_end, running)
        for rank in range(count):
            here, there = context.Pipe()
            started.enter_context(closing(here))
            process = context.Process(
                target=_train,
                args=(Team(rank, count), meeting, there, training, tuning, settings, state_folder),
                daemon=True,
            )
            process.start()
            there.close()
            running.append((process, here))
        _attend(running, on_step or _unseen, on_fresh or _unheard)
    return train_network(
        training.open(),
        None if tuning is None else tuning.open(),
        settings,
        state_folder=state_folder,  # holds the end of the training
    )


def _attend(
    running: list[tuple[BaseProcess, Connection]], on_step: OnStep, on_fresh: OnFresh
) -> None:
    """Pass on what the leader says until every process has ended well."""
    pipes = {pipe: process for process, pipe in running}
    while pipes:
        for ready in wait(list(pipes)):
            pipe = next(pipe for pipe in pipes if pipe is ready)
            try:
                said = pipe.recv()
            except (EOFError, ConnectionResetError):
                process = pipes.pop(pipe)
                process.join()
                if process.exitcode != 0:
                    raise ProcessLost(
                        f"a process of the training ended with exit code {process.exitcode};"
                        " started again, the training goes on from its last epoch"
                    ) from None
                continue
            if isinstance(said, str):
                on_fresh(said)
            else:
                on_step(*said)


def _end(running: list[tuple[BaseProcess, Connection]]) -> None:
    for process, _ in running:
        process.terminate()
    for process, _ in running:
        process.join(_END_S)
        if process.is_alive():
            process.kill()
            process.join()


def _train(
    team: Team,
    meeting: str,
    pipe: Connection,
    training: Openable,
    tuning: Openable | None,
    settings: TrainingSettings,
    state_folder: Path,
) -> None:
    """Train in a process of its own."""
    threading.Thread(target=_end_with_caller, args=(pipe,), daemon=True).start()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // team.size))
    # One machine: without the name, gloo asks what address the host has in the network.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group(
        "gloo", init_method=meeting, rank=team.rank, world_size=team.size, timeout=PATIENCE
    )
    try:
        train_network(
            training.open(),
            None if tuning is None else tuning.open(),
            settings,
            state_folder=state_folder,
            on_step=_sending(pipe) if team.leads else None,
            on_fresh=pipe.send if team.leads else None,
            team=team,
        )
    finally:
        torch.distributed.destroy_process_group()


def _sending(pipe: Connection) -> Callable[[int, int], None]:
    def send(done: int, total: int) -> None:
        pipe.send((done, total))

    return send


def _end_with_caller(pipe: Connection) -> None:
    """Leave at once when the caller is gone; nothing is sent to us before."""
    try:
        pipe.recv()
    except (EOFError, ConnectionResetError):
        os._exit(1)


def _unseen(_done: int, _total: int) -> None:
    return


def _unheard(_sentence: str) -> None:
    return
