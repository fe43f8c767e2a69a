"""Discrimination and calibration of predicted risks, with 95 % intervals, in numpy alone.

``outcomes`` are 0 or 1, ``risks`` lie in (0, 1); both have shape (n,).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model.logistic_line import NoLine, logistic_line

Floats = npt.NDArray[np.float64]
_Z_95 = 1.959963984540054  # the 97.5 % quantile of the normal distribution
_FLOOR = 1e-6  # keeps logits finite
_FEWEST_EVENTS = 10  # a regression on fewer is noise


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """The figures, rounded."""
        return {name: round(getattr(self, name), 4) for name in ("value", "low", "high")}


def auroc(outcomes: Floats, risks: Floats) -> Estimate | None:
    """The chance that an event has the higher risk, with DeLong's interval on the logit scale.

    None where one class is absent, and where the classes do not overlap: there the variance is 0,
    and an interval would promise more than the data hold.
    """
    events, others = risks[outcomes == 1], risks[outcomes == 0]
    m, n = len(events), len(others)
    if not m or not n:
        return None
    ranks = _midranks(np.concatenate([events, others]))
    by_event = (ranks[:m] - _midranks(events)) / n  # share of non-events below each event
    by_other = 1 - (ranks[m:] - _midranks(others)) / m
    area = float(by_event.mean())
    if area in (0.0, 1.0) or min(m, n) < 2:
        return None
    variance = by_event.var(ddof=1) / m + by_other.var(ddof=1) / n
    logit = math.log(area / (1 - area))
    half = _Z_95 * math.sqrt(variance) / (area * (1 - area))
    low, high = (1 / (1 + math.exp(-end)) for end in (logit - half, logit + half))
    return Estimate(area, low, high)


def observed_to_expected(outcomes: Floats, risks: Floats) -> Estimate:
    """Events for each expected one, with Byar's interval for a Poisson count. 1 is right."""
    events, expected = float(outcomes.sum()), float(risks.sum())
    low = 0.0
    if events:
        low = events * (1 - 1 / (9 * events) - _Z_95 / (3 * math.sqrt(events))) ** 3
    more = events + 1
    high = more * (1 - 1 / (9 * more) + _Z_95 / (3 * math.sqrt(more))) ** 3
    return Estimate(events / expected, low / expected, high / expected)


def brier(outcomes: Floats, risks: Floats) -> float:
    """Mean squared difference between risk and outcome."""
    return float(np.mean((risks - outcomes) ** 2))


def calibration_slope(outcomes: Floats, risks: Floats) -> Estimate | None:
    """Slope of the outcome on the predicted logit, with Wald's interval. 1 is right; below 1 the
    risks are too extreme. None with fewer than ten of a class, or where there is no maximum."""
    if min(outcomes.sum(), (1 - outcomes).sum()) < _FEWEST_EVENTS:
        return None
    clipped = np.clip(risks, _FLOOR, 1 - _FLOOR)
    try:
        line = logistic_line(outcomes, np.log(clipped / (1 - clipped)))
    except NoLine:
        return None
    half = _Z_95 * line.slope_error
    return Estimate(line.slope, line.slope - half, line.slope + half)


def calibration_bins(
    outcomes: Floats, risks: Floats, *, least: int, most_bins: int = 10
) -> list[tuple[float, int, int]]:
    """Mean risk, events and cases of groups of rising risk.

    Each holds about a tenth of the cases, and at least ``least`` events and ``least`` others: so
    none is a small cell. What is left at the end joins the last group. Equal risks stay together.
    """
    order = np.argsort(risks, kind="stable")
    enough = max(2 * least, math.ceil(len(risks) / most_bins))
    groups: list[list[int]] = []
    current: list[int] = []
    events = 0
    for place, row in enumerate(order):
        current.append(int(row))
        events += int(outcomes[row])
        tied = place + 1 < len(order) and risks[order[place + 1]] == risks[row]
        if not tied and len(current) >= enough and least <= events <= len(current) - least:
            groups.append(current)
            current, events = [], 0
    if current and groups:
        groups[-1] += current
    return [(float(risks[rows].mean()), int(outcomes[rows].sum()), len(rows)) for rows in groups]


def _midranks(values: Floats) -> Floats:
    """Ranks from 1 on; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse])
