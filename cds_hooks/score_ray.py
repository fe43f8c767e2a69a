"""A crew of actors on a Ray cluster: the same job on many machines. Needs the extra "ray".

The export, the checkpoint and the folder of the results lie on storage that all machines see
under the same paths: workers read charts themselves, from the index that the coordinator made, and
only ids and results go through Ray. A Ray cluster is for a network that nobody else is on, unless
its own TLS and authentication are switched on: what it carries are patients' risks.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cds_hooks.errors import CommandError
from cds_hooks.score_crew import Answer, Chunk, Engine, Failed, LateScorer, ScoreJob

_PATIENCE_S = 60.0  # for a first worker to begin; a cluster without a free core has none
_MOST_ANSWERS = 1  # at a time; the others wait in Ray's object store


class RayUnavailable(CommandError):
    """Ray is not installed, or no cluster answers."""


def ray_engine(address: str, workers: int | None) -> tuple[Engine, int]:
    """Connect to a cluster, or start one on this machine; return an engine and its workers.

    Without a number, as many workers as the cluster has cores. Raises RayUnavailable.
    """
    if importlib.util.find_spec("ray") is None:
        raise RayUnavailable(
            "--engine ray needs the extra \"ray\": pip install -c constraints.txt '.[ray]'"
        )
    # Before the import: Ray would report the use of a hospital's cluster to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if not ray.is_initialized():
        try:
            ray.init(
                address=address or "local",
                num_cpus=None if address else workers,
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
        except (ConnectionError, RuntimeError, ValueError) as exc:
            first_line = str(exc).splitlines()[0]
            raise RayUnavailable(f"No Ray cluster at {address or 'home'}: {first_line}") from exc
    return _actors, workers or max(1, int(ray.cluster_resources().get("CPU", 1)))


@contextmanager
def _actors(job: ScoreJob) -> Iterator[Actors]:
    crew = Actors(job)
    try:
        yield crew
    finally:
        crew.close()


class Actors:
    """Actors of one core each. A dead one is not restarted by Ray: the crew hires another."""

    def __init__(self, job: ScoreJob) -> None:
        import ray

        self._ray = ray
        self._kind = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(LateScorer)
        self._job = job
        self._actors: dict[int, Any] = {}
        self._answers: dict[Any, int] = {}
        self._hired = 0

    def hire(self) -> int:
        """Ask the cluster for an actor."""
        worker, self._hired = self._hired, self._hired + 1
        self._actors[worker] = self._kind.remote(self._job)
        return worker

    def give(self, worker: int, patients: Chunk) -> None:
        """Send patients."""
        self._answers[self._actors[worker].answer.remote(patients)] = worker

    def next_answer(self) -> tuple[int, Answer | None]:
        """Wait for the first answer, or death."""
        ready: list[Any] = []
        while not ready:
            ready, _ = self._ray.wait(
                list(self._answers), num_returns=_MOST_ANSWERS, timeout=_PATIENCE_S
            )
            if not ready and not self._ray.is_initialized():
                raise RayUnavailable("The Ray cluster is gone.")
        worker = self._answers.pop(ready[0])
        try:
            answer: list[Any] | Failed = self._ray.get(ready[0])
        except (self._ray.exceptions.RayActorError, self._ray.exceptions.ObjectLostError):
            self._actors.pop(worker)
            return worker, None
        return worker, answer

    def close(self) -> None:
        """Give the cluster's cores back."""
        for actor in self._actors.values():
            self._ray.kill(actor)
