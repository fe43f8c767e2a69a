"""Which cases train, tune or test. Two cases of one patient are never on different sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


def folds(
    groups: Sequence[str] | npt.NDArray[np.str_],
    outcomes: npt.NDArray[np.float64],
    count: int,
    *,
    seed: int = 0,
) -> list[Rows]:
    """Split rows into ``count`` folds by group, with about equal numbers of events.

    The order of groups comes from a hash of their names and the seed, so that a stay keeps its
    fold when others are added to the cohort.
    """
    names = np.asarray(groups)
    events: dict[str, bool] = {}
    for name, outcome in zip(names.tolist(), outcomes.tolist(), strict=True):
        events[name] = events.get(name, False) or outcome == 1
    fold_of: dict[str, int] = {}
    for has_event in (True, False):
        members = sorted((n for n in events if events[n] == has_event), key=_order(seed))
        fold_of |= {name: place % count for place, name in enumerate(members)}
    numbers = np.array([fold_of[str(name)] for name in names])
    return [np.flatnonzero(numbers == fold) for fold in range(count)]


def tuning_split(
    groups: Sequence[str] | npt.NDArray[np.str_],
    outcomes: npt.NDArray[np.float64],
    *,
    share: float,
    seed: int = 0,
) -> tuple[Rows, Rows]:
    """Return (training rows, tuning rows) with ``share`` of the patients in tuning."""
    parts = max(2, round(1 / share))
    tuning = folds(groups, outcomes, parts, seed=seed)[0]
    return np.setdiff1d(np.arange(len(np.asarray(groups))), tuning), tuning


def _order(seed: int) -> Callable[[str], bytes]:
    return lambda name: sha256(f"{seed}/{name}".encode()).digest()
