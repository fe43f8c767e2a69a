"""Look-back windows, and slopes inside them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

import numpy as np

from model.vocabulary import Doubles


class Timed(Protocol):
    """Anything that was true of the patient at a time."""

    @property
    def time(self) -> datetime: ...


T = TypeVar("T", bound=Timed)


def window(items: Sequence[T], end: datetime, hours: float) -> Sequence[T]:
    """Return the items of the last hours before ``end``, both ends included; sorted by time."""
    return items[window_start(items, end, hours) : bisect_right(items, end, key=_time)]


def window_start(items: Sequence[T], end: datetime, hours: float) -> int:
    """Return the position of the first item in the window."""
    return bisect_left(items, end - timedelta(hours=hours), key=_time)


def _time(item: Timed) -> datetime:
    return item.time


def slope(covariance: Doubles, variance: Doubles) -> Doubles:
    """Least-squares slope; NaN where all times are the same."""
    out = np.full(covariance.shape, np.nan)
    np.divide(covariance, variance, out=out, where=variance > 1e-9)
    return out
