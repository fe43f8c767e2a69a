"""Discrimination, calibration and the PhysioNet 2012 challenge scores, with bootstrap intervals.

``outcomes`` are 0 or 1, ``probabilities`` lie in (0, 1); both have shape (n,).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from model.logistic_line import NoLine, logistic_line

Floats = npt.NDArray[np.float64]
Metric = Callable[[Floats, Floats], float]

PROBABILITY_FLOOR = 1e-6  # keeps logits finite


class MetricError(ValueError):
    """The figures cannot be computed from these outcomes."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its bootstrap interval."""

    value: float
    low: float
    high: float


def logit(probabilities: Floats) -> Floats:
    """Return log-odds, clipped so that they are finite."""
    clipped = np.clip(probabilities, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    return np.asarray(np.log(clipped / (1 - clipped)))


def auroc(outcomes: Floats, probabilities: Floats) -> float:
    """Area under the ROC curve: the chance that an event outranks a non-event."""
    events = outcomes == 1
    event_count = int(events.sum())
    other_count = len(outcomes) - event_count
    if event_count == 0 or other_count == 0:
        raise MetricError(f"{event_count} events in {len(outcomes)} cases: both classes needed")
    rank_sum = rankdata(probabilities)[events].sum()
    return float((rank_sum - event_count * (event_count + 1) / 2) / (event_count * other_count))


def auprc(outcomes: Floats, probabilities: Floats) -> float:
    """Average precision; tied scores count as one threshold."""
    if not np.any(outcomes == 1):
        raise MetricError(f"0 events in {len(outcomes)} cases: no precision to average")
    order = np.argsort(-probabilities, kind="stable")
    ends = np.append(np.nonzero(np.diff(probabilities[order]))[0], len(order) - 1)
    true_positives = np.cumsum(outcomes[order])[ends]
    recall = true_positives / true_positives[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * true_positives / (ends + 1)))


def brier(outcomes: Floats, probabilities: Floats) -> float:
    """Mean squared difference between probability and outcome."""
    return float(np.mean((probabilities - outcomes) ** 2))


def expected_calibration_error(
    outcomes: Floats, probabilities: Floats, bin_count: int = 10
) -> float:
    """Mean distance of observed and predicted risk over bins of equal size."""
    order = np.argsort(probabilities, kind="stable")
    gaps = [
        abs(outcomes[rows].mean() - probabilities[rows].mean()) * len(rows)
        for rows in np.array_split(order, bin_count)
        if len(rows)
    ]
    return float(sum(gaps) / len(outcomes))


def calibration_line(outcomes: Floats, probabilities: Floats) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression of outcome on predicted logit.

    Raises MetricError where there is none: equal probabilities, or classes wholly apart.
    """
    try:
        line = logistic_line(outcomes, logit(probabilities))
    except NoLine as exc:
        raise MetricError(f"no calibration slope: {exc}") from exc
    return line.slope, line.intercept


def calibration_slope(outcomes: Floats, probabilities: Floats) -> float:
    """1 is right; above 1 the predictions are too timid, below 1 too extreme."""
    return calibration_line(outcomes, probabilities)[0]


def calibration_intercept(outcomes: Floats, probabilities: Floats) -> float:
    """Intercept of the same regression; 0 is right where the slope is 1."""
    return calibration_line(outcomes, probabilities)[1]


def event1(outcomes: Floats, probabilities: Floats, threshold: float) -> float:
    """Challenge Event 1: the smaller of sensitivity and precision at a threshold set beforehand."""
    called = probabilities >= threshold
    true_positives = float(np.sum(outcomes[called]))
    if true_positives == 0:
        return 0.0
    return min(true_positives / float(np.sum(outcomes)), true_positives / float(np.sum(called)))


def best_event1_threshold(outcomes: Floats, probabilities: Floats) -> float:
    """Return the threshold with the highest Event 1; to be called on tuning data only."""
    order = np.argsort(-probabilities, kind="stable")
    true_positives = np.cumsum(outcomes[order])
    called = np.arange(1, len(order) + 1)
    score = np.minimum(true_positives / true_positives[-1], true_positives / called)
    return float(probabilities[order][int(np.argmax(score))])


def event2(outcomes: Floats, probabilities: Floats) -> float:
    """Challenge Event 2: Hosmer-Lemeshow over deciles, divided by the range of their risks."""
    deciles = np.array_split(np.argsort(probabilities, kind="stable"), 10)
    statistic = 0.0
    for rows in deciles:
        risk = float(probabilities[rows].mean())
        excess = float(outcomes[rows].sum()) - len(rows) * risk
        statistic += excess**2 / (len(rows) * risk * (1 - risk) + 0.001)
    risk_range = probabilities[deciles[-1]].mean() - probabilities[deciles[0]].mean()
    if risk_range <= 0:
        raise MetricError("equal probabilities have no range of risks to divide by")
    return float(statistic / risk_range)


def bootstrap_rows(outcomes: Floats, count: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Draw bootstrap rows within each class, so that every resample holds the same events.

    The rows are then shuffled: bins of tied predictions would else be filled class by class.
    """
    generator, shuffle = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    classes = [np.nonzero(outcomes == value)[0] for value in (0, 1)]
    return [
        shuffle.permutation(np.concatenate([generator.choice(rows, len(rows)) for rows in classes]))
        for _ in range(count)
    ]


def bootstrap_groups(
    groups: npt.NDArray[np.str_], count: int, seed: int
) -> list[npt.NDArray[np.int64]]:
    """Draw whole groups of rows, with replacement: the rows of one patient are no new cases."""
    generator = np.random.default_rng(seed)
    _, owners, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(owners, kind="stable"), np.cumsum(sizes)[:-1])
    return [
        np.concatenate(
            [members[one] for one in generator.integers(len(members), size=len(members))]
        )
        for _ in range(count)
    ]


def bootstrap(
    metric: Metric,
    outcomes: Floats,
    probabilities: Floats,
    *,
    resamples: int = 1000,
    seed: int = 0,
    groups: npt.NDArray[np.str_] | None = None,
) -> Estimate:
    """Return the metric with its 95 % percentile interval over cases, stratified by outcome.

    With ``groups`` the interval is over groups, which are drawn whole and not stratified.
    Raises MetricError where the cases do not have it. Resamples that do not (their few events all
    lie above the others, say) are left out.
    """
    value = metric(outcomes, probabilities)
    drawn = (
        bootstrap_rows(outcomes, resamples, seed)
        if groups is None
        else bootstrap_groups(groups, resamples, seed)
    )
    values = [metric_or_nan(metric, outcomes[rows], probabilities[rows]) for rows in drawn]
    if np.isnan(values).all():
        raise MetricError(f"{len(outcomes)} cases: no resample has the figure")
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def bootstrap_or_none(
    metric: Metric,
    outcomes: Floats,
    probabilities: Floats,
    *,
    resamples: int = 1000,
    seed: int = 0,
    groups: npt.NDArray[np.str_] | None = None,
) -> Estimate | None:
    """Return the same, or None where the cases do not have the figure."""
    try:
        return bootstrap(
            metric, outcomes, probabilities, resamples=resamples, seed=seed, groups=groups
        )
    except MetricError:
        return None


def metric_or_nan(metric: Metric, outcomes: Floats, probabilities: Floats) -> float:
    """Return the metric, or NaN where the cases do not have it."""
    try:
        return metric(outcomes, probabilities)
    except MetricError:
        return math.nan


def paired_difference(
    metric: Metric,
    outcomes: Floats,
    first: Floats,
    second: Floats,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Return metric(first) - metric(second) with the interval of the paired bootstrap."""
    values = [
        metric(outcomes[rows], first[rows]) - metric(outcomes[rows], second[rows])
        for rows in bootstrap_rows(outcomes, resamples, seed)
    ]
    low, high = np.percentile(values, [2.5, 97.5])
    return Estimate(metric(outcomes, first) - metric(outcomes, second), float(low), float(high))


def summary(
    outcomes: Floats,
    probabilities: Floats,
    *,
    threshold: float,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Estimate | None]:
    """Return every figure of the evaluation table; ``threshold`` is for Event 1.

    None where there is none: equal probabilities have no calibration slope and no Event 2, and
    classes wholly apart no slope.
    """

    def event1_at_threshold(some_outcomes: Floats, some_probabilities: Floats) -> float:
        return event1(some_outcomes, some_probabilities, threshold)

    metrics: dict[str, Metric] = {
        "auroc": auroc,
        "auprc": auprc,
        "brier": brier,
        "ece": expected_calibration_error,
        "calibration_slope": calibration_slope,
        "calibration_intercept": calibration_intercept,
        "event1": event1_at_threshold,
        "event2": event2,
    }
    return {
        name: bootstrap_or_none(metric, outcomes, probabilities, resamples=resamples, seed=seed)
        for name, metric in metrics.items()
    }
