"""The one logistic regression behind every calibration, against scipy's minimiser."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize

from model.logistic_line import NoLine, logistic_line

SLOPES = (-2.0, -1.0, -0.25, 0.0, 0.05, 0.25, 0.26, 0.5, 1.0, 2.0)
SPREADS = (0.1, 0.5, 1.0, 2.0, 4.0)
SIZES = (60, 300, 3000)


def drawn(slope: float, spread: float, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes drawn from ``slope`` times the logit, a third of them events or so."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, spread, size)
    rates = 1 / (1 + np.exp(-(slope * (logits + 1) - 0.7)))
    return (generator.random(size) < rates).astype(float), logits


def scipy_line(targets: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """Minimise the deviance over standardised logits, with exact derivatives."""
    design = np.column_stack([(logits - logits.mean()) / logits.std(), np.ones(len(logits))])

    def deviance(beta: np.ndarray) -> float:
        return float(np.sum(np.logaddexp(0, design @ beta) - targets * (design @ beta)))

    def gradient(beta: np.ndarray) -> np.ndarray:
        return design.T @ (1 / (1 + np.exp(-design @ beta)) - targets)

    found = minimize(deviance, np.zeros(2), jac=gradient, method="BFGS", options={"gtol": 1e-8})
    slope = found.x[0] / logits.std()
    return slope, found.x[1] - slope * logits.mean()


@pytest.mark.parametrize("slope", SLOPES)
def test_the_line_is_scipys_wherever_the_logits_lie(slope):
    for spread, size, seed in product(SPREADS, SIZES, range(3)):
        targets, logits = drawn(slope, spread, size, seed)
        found = logistic_line(targets, logits)
        expected = scipy_line(targets, logits)
        tolerance = 1e-5 * max(1, abs(expected[0]))
        assert found.slope == pytest.approx(expected[0], abs=tolerance), (spread, size, seed)
        assert found.intercept == pytest.approx(expected[1], abs=3 * tolerance)


def test_an_inverse_predictor_has_its_own_slope():
    """Full Newton steps from a slope of 1 came back with 1.0 here."""
    targets, logits = drawn(-1.1, 3.0, 3000, 0)
    assert logistic_line(targets, logits).slope == pytest.approx(-1.1, abs=0.1)


def test_the_error_of_the_slope_is_that_of_the_information():
    """Two groups of 50 at -1 and 1, with 15 and 35 events: variance 2 / (50 * 0.21) / 4."""
    logits = np.repeat([-1.0, 1.0], 50)
    targets = np.concatenate([np.arange(50) < 15, np.arange(50) < 35]).astype(float)
    line = logistic_line(targets, logits)
    assert line.slope == pytest.approx(np.log(7 / 3))
    assert line.intercept == pytest.approx(0, abs=1e-12)
    assert line.slope_error == pytest.approx(np.sqrt(2 / (50 * 0.21)) / 2)


@pytest.mark.parametrize(
    ("targets", "logits", "reason"),
    [
        ([0, 0, 1, 1], [-2, -1, 1, 2], "separate the classes"),
        ([0, 0, 1, 1], [2, 1, -1, -2], "separate the classes"),
        ([0, 0, 1, 1], [-2, 0, 0, 2], "separate the classes"),  # but for a tie
        ([0, 1, 0, 1], [3, 3, 3, 3], "equal"),
        ([0, 0, 0, 0], [1, 2, 3, 4], "0 events in 4 cases"),
        ([1, 1], [1, 2], "both classes needed"),
    ],
)
def test_where_there_is_no_maximum_there_is_no_line(targets, logits, reason):
    with pytest.raises(NoLine, match=reason):
        logistic_line(np.array(targets, float), np.array(logits, float))


def test_targets_inside_0_and_1_have_a_line_though_the_classes_are_apart():
    """Platt's: the maximum is finite."""
    targets, logits = np.repeat([0.05, 0.95], 20), np.linspace(-2, 2, 40)
    assert logistic_line(targets, logits).slope == pytest.approx(scipy_line(targets, logits)[0])
