"""Curves of a system for the report page: ROC, precision-recall and calibration, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from model.training.metrics import Floats, bootstrap_rows

GRID = np.linspace(0.0, 1.0, 41)  # false positive rates, or recalls
RECALLS = np.linspace(0.025, 1.0, 40)
BINS = 10  # of equal size
RESAMPLES = 300


def curves(outcomes: Floats, probabilities: Floats, *, seed: int = 0) -> dict[str, Any]:
    """Return all three; bands are pointwise 95 % bootstrap intervals over cases."""
    resamples = bootstrap_rows(outcomes, RESAMPLES, seed)
    return {
        "roc": _banded(_sensitivity, GRID, outcomes, probabilities, resamples),
        "precision_recall": _banded(_precision, RECALLS, outcomes, probabilities, resamples),
        "calibration": calibration_bins(outcomes, probabilities),
    }


def _banded(
    curve: Any,
    grid: Floats,
    outcomes: Floats,
    probabilities: Floats,
    resamples: list[npt.NDArray[np.int64]],
) -> dict[str, list[float]]:
    drawn = [curve(outcomes[rows], probabilities[rows]) for rows in resamples]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return {
        "x": _short(grid),
        "value": _short(curve(outcomes, probabilities)),
        "low": _short(low),
        "high": _short(high),
    }


def _short(values: Floats) -> list[float]:
    return [round(float(value), 4) for value in values]


def _sensitivity(outcomes: Floats, probabilities: Floats) -> Floats:
    """Sensitivity at each false positive rate of GRID."""
    hits, alarms = _cumulated(outcomes, probabilities)
    return np.interp(GRID, np.r_[0.0, alarms / alarms[-1]], np.r_[0.0, hits / hits[-1]])


def _precision(outcomes: Floats, probabilities: Floats) -> Floats:
    """Precision at the first threshold that reaches each recall of RECALLS."""
    hits, alarms = _cumulated(outcomes, probabilities)
    places = np.searchsorted(hits, RECALLS * hits[-1] - 1e-9)
    return np.asarray(hits[places] / (hits[places] + alarms[places]))


def _cumulated(outcomes: Floats, probabilities: Floats) -> tuple[Floats, Floats]:
    """True and false positives at each threshold, tied scores together."""
    order = np.argsort(-probabilities, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(probabilities[order])), len(order) - 1)
    hits = np.cumsum(outcomes[order])[ends]
    return hits, ends + 1 - hits


def calibration_bins(outcomes: Floats, probabilities: Floats) -> list[dict[str, float]]:
    """Return predicted and observed risk in bins of equal size, with Wilson intervals."""
    rows = np.array_split(np.argsort(probabilities, kind="stable"), BINS)
    bins = []
    for inside in rows:
        if not len(inside):
            continue
        events = int(outcomes[inside].sum())
        low, high = wilson(events, len(inside))
        bins.append(
            {
                "n": len(inside),
                "events": events,
                "predicted": round(float(probabilities[inside].mean()), 4),
                "observed": round(events / len(inside), 4),
                "low": round(low, 4),
                "high": round(high, 4),
            }
        )
    return bins


def wilson(events: int, count: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927)."""
    z = 1.959964
    share = events / count
    centre = share + z * z / (2 * count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return float((centre - half) / scale), float((centre + half) / scale)


def observed_to_expected(outcomes: Floats, probabilities: Floats) -> list[float]:
    """Observed over expected events with the exact Poisson interval of the observed count."""
    observed, expected = float(outcomes.sum()), float(probabilities.sum())
    low = chi2.ppf(0.025, 2 * observed) / 2 if observed else 0.0
    high = chi2.ppf(0.975, 2 * observed + 2) / 2
    return [round(value / expected, 4) for value in (observed, low, high)]
