import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from model.training.metrics import (
    MetricError,
    auprc,
    auroc,
    best_event1_threshold,
    bootstrap,
    brier,
    calibration_intercept,
    calibration_slope,
    event1,
    event2,
    expected_calibration_error,
    logit,
    paired_difference,
    summary,
)


@pytest.fixture
def calibrated():
    """20,000 cases whose outcomes are drawn from the stated probabilities."""
    generator = np.random.default_rng(0)
    probabilities = 1 / (1 + np.exp(-(generator.normal(-2, 1.5, 20_000))))
    outcomes = (generator.random(20_000) < probabilities).astype(float)
    return outcomes, probabilities


@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_discrimination_equals_scikit_learn_with_and_without_ties(calibrated, decimals):
    outcomes, probabilities = calibrated
    scores = np.round(probabilities, decimals)
    assert auroc(outcomes, scores) == pytest.approx(roc_auc_score(outcomes, scores))
    assert auprc(outcomes, scores) == pytest.approx(average_precision_score(outcomes, scores))


def test_perfect_and_reversed_rankings():
    outcomes = np.array([0.0, 0.0, 1.0, 1.0])
    assert auroc(outcomes, np.array([0.1, 0.2, 0.8, 0.9])) == 1.0
    assert auroc(outcomes, np.array([0.9, 0.8, 0.2, 0.1])) == 0.0


def test_calibrated_predictions_have_slope_one_and_small_error(calibrated):
    outcomes, probabilities = calibrated
    assert calibration_slope(outcomes, probabilities) == pytest.approx(1, abs=0.05)
    assert calibration_intercept(outcomes, probabilities) == pytest.approx(0, abs=0.06)
    assert expected_calibration_error(outcomes, probabilities) < 0.01


def test_timid_predictions_have_a_slope_above_one(calibrated):
    outcomes, probabilities = calibrated
    timid = 1 / (1 + np.exp(-0.5 * logit(probabilities)))
    assert calibration_slope(outcomes, timid) == pytest.approx(2, abs=0.1)


def test_an_inverse_predictor_has_a_negative_slope(calibrated):
    outcomes, probabilities = calibrated
    inverse = 1 / (1 + np.exp(3 * logit(probabilities)))
    assert calibration_slope(outcomes, inverse) == pytest.approx(-1 / 3, abs=0.02)


def test_equal_probabilities_have_neither_slope_nor_event2(calibrated):
    outcomes = calibrated[0][:300]
    figures = summary(outcomes, np.full(300, 0.2), threshold=0.3, resamples=20)
    without = {name for name, figure in figures.items() if figure is None}
    assert without == {"calibration_slope", "calibration_intercept", "event2"}
    assert figures["auroc"].value == 0.5


def test_resamples_whose_classes_lie_apart_do_not_count():
    """One event lies below another case: a resample without it has no slope."""
    outcomes = np.array([0.0] * 20 + [1.0] * 4)
    probabilities = np.concatenate([np.linspace(0.1, 0.5, 20), [0.45, 0.6, 0.7, 0.8]])
    estimate = bootstrap(calibration_slope, outcomes, probabilities, resamples=200)
    assert np.isfinite([estimate.value, estimate.low, estimate.high]).all()
    with pytest.raises(MetricError, match="separate the classes"):
        bootstrap(calibration_slope, outcomes, np.where(outcomes, 0.9, probabilities))


def test_event1_by_hand():
    outcomes = np.array([1.0, 1.0, 0.0, 0.0, 1.0])
    probabilities = np.array([0.9, 0.8, 0.7, 0.2, 0.1])
    assert event1(outcomes, probabilities, 0.5) == pytest.approx(2 / 3)
    assert event1(outcomes, probabilities, 0.95) == 0.0
    assert best_event1_threshold(outcomes, probabilities) in (0.8, 0.7)


def test_event2_is_small_for_calibrated_and_large_for_biased_predictions(calibrated):
    outcomes, probabilities = calibrated
    assert event2(outcomes, probabilities) < 40
    assert event2(outcomes, np.clip(probabilities * 1.5, 0, 0.99)) > 400


def test_brier_of_a_coin():
    assert brier(np.array([0.0, 1.0]), np.array([0.5, 0.5])) == 0.25


def test_bootstrap_interval_covers_the_value_and_repeats(calibrated):
    outcomes, probabilities = (part[:500] for part in calibrated)
    first = bootstrap(auroc, outcomes, probabilities, resamples=200, seed=3)
    assert first == bootstrap(auroc, outcomes, probabilities, resamples=200, seed=3)
    assert first.low < first.value < first.high
    assert first.high - first.low < 0.2


def test_tied_predictions_do_not_widen_the_calibration_error_of_resamples(calibrated):
    outcomes, probabilities = (part[:4000] for part in calibrated)
    tied = np.where(probabilities > 0.2, 0.4, 0.08)
    risks = {score: outcomes[tied == score].mean() for score in (0.4, 0.08)}
    exact = np.where(tied == 0.4, risks[0.4], risks[0.08])  # right on average, in two values
    estimate = bootstrap(expected_calibration_error, outcomes, exact, resamples=50)
    assert estimate.high < 0.05


def test_paired_difference_of_a_model_with_itself_is_zero(calibrated):
    outcomes, probabilities = (part[:300] for part in calibrated)
    difference = paired_difference(auroc, outcomes, probabilities, probabilities, resamples=50)
    assert (difference.low, difference.value, difference.high) == (0, 0, 0)


def test_one_class_has_no_auroc():
    with pytest.raises(MetricError, match="0 events in 3 cases: both classes needed"):
        auroc(np.zeros(3), np.array([0.1, 0.2, 0.3]))


def test_summary_names_every_figure(calibrated):
    outcomes, probabilities = (part[:300] for part in calibrated)
    figures = summary(outcomes, probabilities, threshold=0.3, resamples=20)
    assert list(figures) == [
        "auroc",
        "auprc",
        "brier",
        "ece",
        "calibration_slope",
        "calibration_intercept",
        "event1",
        "event2",
    ]
