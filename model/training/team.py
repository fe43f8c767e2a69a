"""Processes that train one network together, each on its part of every batch.

All of them draw the same batch and the same dropped tokens; each computes the loss of its rows,
divided by the counts of the whole batch, and the gradients are added up. So the step is that of
one process, but for the order of a sum and for dropout inside the network, which every process
draws for itself. ``DistributedDataParallel`` is not used: it hooks into one ``forward``, while a
step here encodes and fuses, and it would make zeros of gradients that a batch does not have,
which AdamW would then decay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from model.errors import ModelError

T = TypeVar("T")
_SEED_STEP = 1_000_003  # between the dropout of two processes


class ProcessesDiffer(ModelError):
    """Two processes that train together do not hold the same weights any more."""


@dataclass(frozen=True, slots=True)
class Team:
    """This process's place among those that train together; by itself it is alone."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return which of ``count`` rows are this process's."""
        parts = np.array_split(np.arange(count), self.size)
        start = sum(len(part) for part in parts[: self.rank])
        return slice(start, start + len(parts[self.rank]))

    def share_of_batch(self, count: int) -> slice:
        """Return ``share``, but all rows where there are fewer of them than processes."""
        return self.share(count) if count >= self.size else slice(0, count)

    def copies(self, count: int) -> int:
        """Return how many processes have each row of such a batch."""
        return 1 if count >= self.size else self.size

    def seed_dropout(self, seed: int) -> None:
        """Seed what the network draws; that of the leader is that of a process alone."""
        torch.manual_seed(seed + _SEED_STEP * self.rank)

    def gathered(self, part: T) -> list[T]:
        """Return the parts of all processes, in the order of their ranks."""
        if self.size == 1:
            return [part]
        parts: list[T | None] = [None] * self.size
        torch.distributed.all_gather_object(parts, part)
        return parts  # type: ignore[return-value]  # each place has been filled

    def of_leader(self, make: Callable[[], T]) -> T:
        """Return what the leader makes; the others do not make it."""
        if self.size == 1:
            return make()
        made: list[T | None] = [make() if self.leads else None]
        torch.distributed.broadcast_object_list(made, src=0)
        return made[0]  # type: ignore[return-value]  # the leader filled it

    def add_up_gradients(self, network: nn.Module) -> None:
        """Give every process the sum; who has no gradient in any process still has none."""
        if self.size == 1:
            return
        weights = list(network.parameters())
        parts = [_gradient(weight).flatten() for weight in weights]
        has_one = torch.tensor([float(weight.grad is not None) for weight in weights])
        together = torch.cat([*parts, has_one.to(parts[0])])
        torch.distributed.all_reduce(together)
        sums = together.split([*(len(part) for part in parts), len(weights)])
        for weight, total, holders in zip(weights, sums, sums[-1], strict=False):
            weight.grad = total.view_as(weight).clone() if holders > 0 else None

    def require_same(self, network: nn.Module) -> None:
        """Raise ProcessesDiffer unless all processes hold the same weights."""
        digests = set(self.gathered(_digest(network))) if self.size > 1 else {""}
        if len(digests) > 1:
            raise ProcessesDiffer(
                f"the {self.size} processes of this training hold {len(digests)} different"
                " networks; are they of different machines or libraries?"
            )


ALONE: Final = Team()


def _gradient(weight: Tensor) -> Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
