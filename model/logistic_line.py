"""The logistic regression of outcomes on one predictor: what calibration is fitted and judged by.

Newton's method, with a step that is halved while the deviance rises. Full steps from far away
overshoot and never come back: they leave a slope that has nothing to do with the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_MOST_STEPS = 100  # some ten are usual; more only where all but a few cases are separated
_MOST_HALVINGS = 40
_DECREMENT = 1e-16  # twice the deviance still to be gained; far below any figure that is shown
_ROUNDING = 1e-12  # share of the deviance by which it may seem to rise


class NoLine(ValueError):
    """There is no slope of highest likelihood, or it was not found."""


@dataclass(frozen=True, slots=True)
class LogisticLine:
    """log-odds of the outcome = slope * logit + intercept."""

    slope: float
    intercept: float
    slope_error: float  # standard error


def logistic_line(targets: Floats, logits: Floats) -> LogisticLine:
    """Fit the line of highest likelihood; both (n,), ``targets`` in 0 to 1.

    Raises NoLine where the likelihood has no maximum: one class alone, equal logits, or logits
    that separate the classes.
    """
    _require_overlap(targets, logits)
    centre, spread = float(logits.mean()), float(logits.std())
    design = np.column_stack([(logits - centre) / spread, np.ones(len(logits))])
    rate = float(targets.mean())
    coefficients = np.array([0.0, math.log(rate / (1 - rate))])
    for _ in range(_MOST_STEPS):
        gradient, information = _derivatives(design, targets, coefficients)
        step = _solved(information, gradient)
        if gradient @ step < _DECREMENT:
            coefficients = coefficients + step
            slope = float(coefficients[0]) / spread
            error = math.sqrt(np.linalg.inv(information)[0, 0]) / spread
            return LogisticLine(slope, float(coefficients[1]) - slope * centre, error)
        coefficients = coefficients + _shortened(step, design, targets, coefficients)
    raise NoLine(f"no slope found in {_MOST_STEPS} steps")


def _require_overlap(targets: Floats, logits: Floats) -> None:
    """A target between 0 and 1 is a case of both classes."""
    events, others = logits[targets > 0], logits[targets < 1]
    if not len(events) or not len(others):
        raise NoLine(f"{len(events)} events in {len(targets)} cases: both classes needed")
    if events.max() <= others.min() or others.max() <= events.min():
        raise NoLine("the logits are equal, or separate the classes: the slope has no limit")


def _derivatives(design: Floats, targets: Floats, coefficients: Floats) -> tuple[Floats, Floats]:
    """Return the gradient of the log-likelihood (2,) and the information (2, 2)."""
    fitted = np.exp(-np.logaddexp(0, -design @ coefficients))
    information = design.T @ (design * (fitted * (1 - fitted))[:, None])
    return design.T @ (targets - fitted), information


def _solved(information: Floats, gradient: Floats) -> Floats:
    try:
        return np.asarray(np.linalg.solve(information, gradient), np.float64)
    except np.linalg.LinAlgError as exc:
        raise NoLine("the likelihood is flat in one direction") from exc


def _shortened(step: Floats, design: Floats, targets: Floats, coefficients: Floats) -> Floats:
    """Halve the step until the deviance does not rise."""
    before = _deviance(design, targets, coefficients)
    for _ in range(_MOST_HALVINGS):
        if _deviance(design, targets, coefficients + step) <= before * (1 + _ROUNDING):
            return step
        step = step / 2
    raise NoLine("no step lowers the deviance")


def _deviance(design: Floats, targets: Floats, coefficients: Floats) -> float:
    log_odds = design @ coefficients
    return float(2 * np.sum(np.logaddexp(0, log_odds) - targets * log_odds))
