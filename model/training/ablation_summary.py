"""What the runs of an ablation say, arm by arm, with intervals over patients and seeds.

Every replicate of the bootstrap draws seeds and test patients anew, the same for all arms, so that
differences between arms are paired by both. Training stays are the same throughout: the intervals
do not hold the luck of which stays trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from model.alignment import top_overlap
from model.training.ablation import SKIPPED
from model.training.metrics import (
    Metric,
    auprc,
    auroc,
    bootstrap_rows,
    brier,
    calibration_intercept,
    calibration_slope,
    expected_calibration_error,
    metric_or_nan,
)

Doubles = npt.NDArray[np.float64]
Statistic = Callable[["ArmRuns", "Draw"], float]

RESAMPLES = 300
METRICS: Final[Mapping[str, Metric]] = {
    "auroc": auroc,
    "auprc": auprc,
    "brier": brier,
    "ece": expected_calibration_error,
    "calibration_slope": calibration_slope,
    "calibration_intercept": calibration_intercept,
}
DELETION: Final = "attention_deletion_share"
FALLS: Final = ("fall_by_attention", "fall_by_random", "fall_by_shap")


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """One replicate: test patients, explained patients, seeds."""

    rows: npt.NDArray[np.int64]
    explained: npt.NDArray[np.int64]
    seeds: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ArmRuns:
    """The runs of one arm."""

    seeds: tuple[int, ...]
    outcomes: Doubles  # (n,)
    probabilities: Doubles  # (seeds, n)
    figures: Mapping[str, Doubles]  # (seeds, explained), NaN where a stay does not allow it
    across: Mapping[str, Doubles]  # (pairs of seeds, explained): likeness of their explanations


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> list[float]:
        """Return [value, low, high]."""
        return [round(number, 5) for number in (self.value, self.low, self.high)]


class Ablation:
    """All arms, on the same replicates."""

    def __init__(
        self,
        results: Sequence[Mapping[str, Any]],
        outcomes: Doubles,
        *,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> None:
        """Take the results of run_ablation; arms count with the seeds that all of them have."""
        self.skipped = {r["arm"]: r[SKIPPED] for r in results if SKIPPED in r}
        done = [r for r in results if SKIPPED not in r]
        self.not_calibrated = sorted(
            {r["arm"] for r in done if not r.get("calibrated", r["arm"] != "random labels")}
        )
        names = list(dict.fromkeys(r["arm"] for r in done))
        by_arm = {name: {r["seed"]: r for r in done if r["arm"] == name} for name in names}
        shared = set.intersection(*(set(runs) for runs in by_arm.values())) if by_arm else set()
        self.seeds = tuple(sorted(shared))
        self.outcomes = outcomes
        self.arms = {
            name: _arm_runs([runs[s] for s in self.seeds], outcomes)
            for name, runs in by_arm.items()
        }
        explained = len(done[0]["shap"]) if done else 0
        self.explained = explained
        self.whole = Draw(
            np.arange(len(outcomes)), np.arange(explained), np.arange(len(self.seeds))
        )
        generator = np.random.default_rng(seed)
        self.draws = [
            Draw(
                rows,
                generator.integers(explained, size=explained),
                generator.integers(len(self.seeds), size=len(self.seeds)),
            )
            for rows in bootstrap_rows(outcomes, resamples, seed)
        ]
        self._cache: dict[tuple[str, str], Doubles] = {}

    def replicates(self, arm: str, figure: str) -> Doubles:
        """Return the figure on the whole and on every replicate: (1 + resamples,)."""
        key = (arm, figure)
        if key not in self._cache:
            runs = self.arms[arm]
            self._cache[key] = np.array(
                [_statistic(runs, figure, draw) for draw in (self.whole, *self.draws)]
            )
        return self._cache[key]

    def estimate(self, arm: str, figure: str) -> Interval:
        """Return one arm's figure."""
        return _interval(self.replicates(arm, figure))

    def difference(self, arm: str, other: str, figure: str) -> Interval:
        """Return the paired difference arm - other."""
        return _interval(self.replicates(arm, figure) - self.replicates(other, figure))

    def ratio(self, arm: str, other: str, figure: str) -> Interval:
        """Return the paired ratio arm / other."""
        return _interval(self.replicates(arm, figure) / self.replicates(other, figure))

    def has(self, arm: str, figure: str) -> bool:
        """Whether the arm ran and has the figure for any stay."""
        if arm not in self.arms:
            return False
        runs = self.arms[arm]
        return (
            figure in METRICS
            or figure == DELETION
            or (figure in runs.figures and bool(np.isfinite(runs.figures[figure]).any()))
            or (figure in runs.across and len(self.seeds) > 1)
        )


def _arm_runs(results: Sequence[Mapping[str, Any]], outcomes: Doubles) -> ArmRuns:
    names = results[0]["figures"]
    shap = [[np.array(one) for one in r["shap"]] for r in results]
    attention = [[np.array(one) for one in r["attention"]] for r in results]
    return ArmRuns(
        seeds=tuple(r["seed"] for r in results),
        outcomes=outcomes,
        probabilities=np.array([r["probabilities"] for r in results]),
        figures={
            name: np.array([r["figures"][name] for r in results], np.float64) for name in names
        },
        across={
            "shap_across_seeds_pearson": _across(shap, _pearson),
            "shap_across_seeds_top5": _across(shap, _top5),
            "attention_across_seeds_top5": _across(attention, _top5),
        },
    )


def _across(
    by_seed: Sequence[Sequence[Doubles]], likeness: Callable[[Doubles, Doubles], float]
) -> Doubles:
    """Compare the same stay's explanation between every two seeds: (pairs, stays)."""
    rows = [
        [likeness(one, other) for one, other in zip(first, second, strict=True)]
        for first, second in combinations(by_seed, 2)
    ]
    return np.array(rows, np.float64).reshape(len(rows), len(by_seed[0]))


def _pearson(first: Doubles, second: Doubles) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _top5(first: Doubles, second: Doubles) -> float:
    overlap = top_overlap(np.abs(first), np.abs(second))
    return float("nan") if overlap is None else overlap


def _statistic(runs: ArmRuns, figure: str, draw: Draw) -> float:
    if figure in METRICS:
        metric, outcomes = METRICS[figure], runs.outcomes[draw.rows]
        by_seed = {
            s: metric_or_nan(metric, outcomes, runs.probabilities[s][draw.rows])
            for s in set(draw.seeds.tolist())
        }
        return float(np.mean([by_seed[s] for s in draw.seeds.tolist()]))
    if figure == DELETION:
        means = [_mean_of(runs.figures[name], draw) for name in FALLS]
        attention, random, shap = means
        return (attention - random) / (shap - random)
    if figure in runs.across:
        # Pairs of seeds are not drawn anew: a seed is always like itself.
        return float(np.nanmean(runs.across[figure][:, draw.explained]))
    return _mean_of(runs.figures[figure], draw)


def _mean_of(values: Doubles, draw: Draw) -> float:
    return float(np.nanmean(values[np.ix_(draw.seeds, draw.explained)]))


def _interval(replicates: Doubles) -> Interval:
    low, high = np.nanpercentile(replicates[1:], [2.5, 97.5])
    return Interval(float(replicates[0]), float(low), float(high))
