"""Calibration and conformal sets, fitted on tuning cases that trained nothing.

Both are fitted pooled, and again for each availability pattern with enough cases.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from model.calibration import (
    Calibration,
    ConformalSets,
    LogitMap,
    Thresholds,
)
from model.logistic_line import NoLine, logistic_line

Floats = npt.NDArray[np.float64]

PATTERN_CASES = 200  # fewer make a map of their own noisier than the pooled one
PATTERN_EVENTS = 15
STEEPEST, FLATTEST = 4.0, 0.25  # pooled slopes beyond these say that the network is of no use
# Of one pattern alone the network may know next to nothing (notes by themselves, say). A flat map
# says so: every probability is near the base rate, and the conformal set holds both outcomes.
FLATTEST_OF_PATTERN = 0.05


class CalibrationError(ValueError):
    """The tuning cases do not allow a calibration."""


def fit_calibration(
    outcomes: Floats, logits: Floats, patterns: npt.NDArray[np.str_]
) -> Calibration:
    """Fit temperature and intercept by logistic regression of outcome on logit.

    Raises CalibrationError where the pooled logits do not follow the outcome at all.
    """
    try:
        slope, intercept = _line(outcomes, logits)
    except NoLine as exc:
        raise CalibrationError(f"calibration slope on {len(outcomes)} cases: {exc}") from exc
    judged = _judged_slope(outcomes, logits, slope)
    if not FLATTEST <= judged <= STEEPEST:
        raise CalibrationError(
            f"calibration slope {judged:.2f} on {len(outcomes)} cases with "
            f"{int(outcomes.sum())} events: expected {FLATTEST} to {STEEPEST}"
        )
    by_pattern = {
        name: _pattern_map(outcomes[rows], logits[rows])
        for name, rows in _large_patterns(outcomes, patterns)
    }
    return Calibration(_map(outcomes, slope, intercept), by_pattern)


def _judged_slope(outcomes: Floats, logits: Floats, slope: float) -> float:
    """Return the slope that says whether the network is of use.

    Platt's targets flatten it where few cases are told apart by large logits. That is what so few
    cases allow to be said, and no fault of the network: the slope of the outcomes themselves is
    above, or has no limit.
    """
    if not 0 < slope < FLATTEST:
        return slope
    try:
        return min(logistic_line(outcomes, logits).slope, STEEPEST)
    except NoLine:  # told apart wholly, and the right way round
        return STEEPEST


def _pattern_map(outcomes: Floats, logits: Floats) -> LogitMap:
    try:
        slope, intercept = _line(outcomes, logits)
    except NoLine:  # equal logits: the pattern says nothing at all
        slope, intercept = 0.0, 0.0
    if slope < FLATTEST_OF_PATTERN:
        rate = (outcomes.sum() + 1) / (len(outcomes) + 2)
        slope = FLATTEST_OF_PATTERN
        intercept = math.log(rate / (1 - rate)) - slope * float(logits.mean())
    return _map(outcomes, min(slope, STEEPEST), intercept)


def _map(outcomes: Floats, slope: float, intercept: float) -> LogitMap:
    return LogitMap(1 / slope, intercept, cases=len(outcomes), events=int(outcomes.sum()))


def _line(outcomes: Floats, logits: Floats) -> tuple[float, float]:
    """Fit to Platt's targets, which stay inside 0 and 1: some cases can be told apart wholly."""
    events = float(outcomes.sum())
    target_event, target_none = (events + 1) / (events + 2), 1 / (len(outcomes) - events + 2)
    targets = np.where(outcomes == 1, target_event, target_none)
    line = logistic_line(targets, logits)
    return line.slope, line.intercept


def fit_conformal(
    outcomes: Floats,
    probabilities: Floats,
    patterns: npt.NDArray[np.str_],
    *,
    alpha: float,
) -> ConformalSets:
    """Fit the thresholds of Mondrian split conformal sets on calibrated probabilities."""
    by_pattern = {
        name: _thresholds(outcomes[rows], probabilities[rows], alpha)
        for name, rows in _large_patterns(outcomes, patterns)
    }
    return ConformalSets(alpha, _thresholds(outcomes, probabilities, alpha), by_pattern)


def _thresholds(outcomes: Floats, probabilities: Floats, alpha: float) -> Thresholds:
    return Thresholds(
        no_event=_quantile(probabilities[outcomes == 0], alpha),
        event=_quantile(1 - probabilities[outcomes == 1], alpha),
    )


def _quantile(nonconformity: Floats, alpha: float) -> float:
    """Return the threshold that covers a new case with probability >= 1 - alpha.

    With too few cases nothing can be promised, and every case conforms.
    """
    rank = math.ceil((len(nonconformity) + 1) * (1 - alpha))
    if rank > len(nonconformity):
        return 1.0
    return float(np.sort(nonconformity)[rank - 1])


def _large_patterns(
    outcomes: Floats, patterns: npt.NDArray[np.str_]
) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    for name in np.unique(patterns):
        rows = np.flatnonzero(patterns == name)
        events = outcomes[rows].sum()
        if len(rows) >= PATTERN_CASES and events >= PATTERN_EVENTS:
            yield str(name), rows
