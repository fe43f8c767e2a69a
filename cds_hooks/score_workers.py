"""Crews of one machine: this process alone, or several processes.

Each process has a model of its own that computes with one thread: two processes on two cores do
more than one with two threads, and the last digit of an estimate does not depend on how many.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from cds_hooks.score_crew import Answer, Chunk, LateScorer, ScoreJob, Scorer
from model.predictor import Predictor

_END_S = 5.0  # for a process to end by itself; the answer to its last chunk is not waited for


class ThisProcess:
    """The crew of one: patients are scored when they are given."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._answers: deque[Answer] = deque()

    def hire(self) -> int:
        """Return the only number there is."""
        return 0

    def give(self, worker: int, patients: Chunk) -> None:
        """Score."""
        self._answers.append(self._scorer.score(patients))

    def next_answer(self) -> tuple[int, Answer | None]:
        """Return what was just made."""
        return 0, self._answers.popleft()


@contextmanager
def this_process(job: ScoreJob, predictor: Predictor) -> Iterator[ThisProcess]:
    """Score here, with a model that is loaded already."""
    scorer = Scorer(job, predictor)
    try:
        yield ThisProcess(scorer)
    finally:
        scorer.close()


class Processes:
    """Processes of this machine, each at the other end of a pipe."""

    def __init__(self, job: ScoreJob) -> None:
        self._job = job
        self._context = multiprocessing.get_context("spawn")  # onnxruntime does not survive a fork
        self._processes: dict[int, SpawnProcess] = {}
        self._pipes: dict[int, Connection] = {}
        self._hired = 0

    def hire(self) -> int:
        """Start a process."""
        here, there = self._context.Pipe()
        process = self._context.Process(target=_work, args=(there, self._job), daemon=True)
        process.start()
        there.close()  # only the process holds it now: its end is the end of the pipe
        worker, self._hired = self._hired, self._hired + 1
        self._processes[worker], self._pipes[worker] = process, here
        return worker

    def give(self, worker: int, patients: Chunk) -> None:
        """Send patients. A process that has died says so by its pipe, in ``next_answer``."""
        try:
            self._pipes[worker].send(patients)
        except (BrokenPipeError, ConnectionResetError):
            return

    def next_answer(self) -> tuple[int, Answer | None]:
        """Wait for the first pipe that has something, or has ended."""
        by_pipe = {pipe: worker for worker, pipe in self._pipes.items()}
        ready = wait(list(by_pipe))[0]
        worker = by_pipe[ready]  # type: ignore[index]  # these are the pipes that we gave
        try:
            return worker, self._pipes[worker].recv()
        except (EOFError, ConnectionResetError):
            self._pipes.pop(worker).close()
            process = self._processes.pop(worker)
            process.join()
            return worker, None

    def close(self) -> None:
        """End all of them."""
        for pipe in self._pipes.values():
            pipe.close()
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.join(_END_S)
            if process.is_alive():
                process.kill()
                process.join()


@contextmanager
def processes(job: ScoreJob) -> Iterator[Processes]:
    """Score in processes of this machine."""
    crew = Processes(job)
    try:
        yield crew
    finally:
        crew.close()


def _work(pipe: Connection, job: ScoreJob) -> None:
    """Answer until the other end is gone, also by a kill: no process outlives its run for long."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's affair
    scorer = LateScorer(job)
    try:
        while True:
            pipe.send(scorer.answer(pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
