"""Discrimination and calibration of the service report against figures by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cds_hooks.service_report.statistics import (
    auroc,
    brier,
    calibration_bins,
    calibration_slope,
    observed_to_expected,
)

OUTCOMES = np.array([1.0, 1.0, 0.0, 0.0, 0.0])
RISKS = np.array([0.8, 0.4, 0.6, 0.2, 0.1])


def test_the_area_and_delongs_interval() -> None:
    """Five of six pairs are in order. Placements of the events: 1, 2/3; of the others: 1/2, 1, 1.

    Variance 1/18/2 + 1/12/3 = 1/18; on the logit scale divided by the square of 5/36.
    """
    area = auroc(OUTCOMES, RISKS)
    assert area is not None
    assert area.value == pytest.approx(5 / 6)
    half = 1.959963984540054 * math.sqrt(1 / 18) / (5 / 36)
    ends = [1 / (1 + math.exp(-(math.log(5) + sign * half))) for sign in (-1, 1)]
    assert [area.low, area.high] == pytest.approx(ends)
    assert [area.low, area.high] == pytest.approx([0.1523, 0.9929], abs=1e-4)


def test_equal_risks_count_half() -> None:
    area = auroc(np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.5, 0.9, 0.5, 0.1]))
    assert area is not None
    assert area.value == pytest.approx(3.5 / 4)


@pytest.mark.parametrize(
    "outcomes",
    [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]],  # one class; no overlap of two
)
def test_no_interval_that_promises_too_much(outcomes: list[float]) -> None:
    assert auroc(np.array(outcomes), np.array([0.1, 0.2, 0.3, 0.4])) is None


@pytest.mark.parametrize(
    ("events", "low", "high"),
    [(10, 4.79, 18.39), (100, 81.36, 121.63), (0, 0.0, 3.67)],  # exact: 4.80, 18.39; 81.36, 121.63
)
def test_byars_interval(events: int, low: float, high: float) -> None:
    outcomes = np.zeros(1000)
    outcomes[:events] = 1
    ratio = observed_to_expected(outcomes, np.full(1000, 0.001))
    assert ratio.value == pytest.approx(events)
    assert (ratio.low, ratio.high) == pytest.approx((low, high), abs=0.01)


def test_brier() -> None:
    assert brier(OUTCOMES, RISKS) == pytest.approx((0.04 + 0.36 + 0.36 + 0.04 + 0.01) / 5)


def test_the_slope_of_two_groups_is_the_ratio_of_their_logits() -> None:
    """Predicted 20 and 80 %, observed 30 and 70 %: log(7/3) / log(4)."""
    risks = np.repeat([0.2, 0.8], 50)
    outcomes = np.concatenate([np.arange(50) < 15, np.arange(50) < 35]).astype(float)
    slope = calibration_slope(outcomes, risks)
    assert slope is not None
    assert slope.value == pytest.approx(math.log(7 / 3) / math.log(4))
    error = math.sqrt(2 / (50 * 0.21)) / 2 / math.log(4)
    assert slope.high - slope.value == pytest.approx(1.959963984540054 * error)


def test_few_events_or_a_clean_split_have_no_slope() -> None:
    assert calibration_slope(OUTCOMES, RISKS) is None
    split = np.repeat([0.0, 1.0], 20)
    assert calibration_slope(split, np.linspace(0.1, 0.9, 40)) is None


def test_bins_hold_enough_of_both_classes() -> None:
    risks = np.linspace(0.01, 0.99, 200)
    outcomes = (np.arange(200) % 4 == 0).astype(float)
    found = calibration_bins(outcomes, risks, least=5)
    assert sum(size for _, _, size in found) == 200
    assert sum(events for _, events, _ in found) == 50
    assert all(5 <= events <= size - 5 for _, events, size in found)
    assert [risk for risk, _, _ in found] == sorted(risk for risk, _, _ in found)


def test_equal_risks_stay_in_one_bin() -> None:
    outcomes = (np.arange(60) % 2 == 0).astype(float)
    assert calibration_bins(outcomes, np.full(60, 0.3), least=5) == [(pytest.approx(0.3), 30, 60)]


def test_too_few_for_a_bin_are_none() -> None:
    assert calibration_bins(OUTCOMES, RISKS, least=5) == []
