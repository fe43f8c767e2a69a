"""Figures of a network and its rivals on cases that trained none of them.

Everything here returns plain dictionaries for evaluation.json: each system with n, events and
every metric as [value, low, high] (95 % bootstrap).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from model.calibration import Calibration, availability_pattern
from model.prediction import Modality
from model.tokens import TokenArrays
from model.training.baselines import boosted_trees, logistic_regression
from model.training.cohort import Cohort
from model.training.curves import curves, observed_to_expected
from model.training.metrics import (
    Estimate,
    auroc,
    best_event1_threshold,
    bootstrap_or_none,
    calibration_intercept,
    calibration_slope,
    logit,
    paired_difference,
    summary,
)
from model.training.network import FusionNetwork
from model.training.predict import predict_logits
from model.training.splits import tuning_split

Floats = npt.NDArray[np.float64]

STRONGEST_RIVAL = "trees + logistic"  # whose curves are drawn beside the network's
BASELINE_TUNING_SHARE = 0.15  # of a baseline's training cases, for its Event 1 threshold
SMALLEST_GROUP = 100  # subgroups with fewer cases, or with too few events, are only counted
FEWEST_EVENTS = 10


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """Probabilities of one system on the test cases, and its threshold for Event 1."""

    probabilities: Floats
    threshold: float


@dataclass(slots=True, eq=False)
class Comparison:
    """Systems on the same test cases."""

    outcomes: Floats
    systems: dict[str, System] = field(default_factory=dict)

    def add(self, name: str, system: System) -> None:
        """Take in a system."""
        self.systems[name] = system

    def to_json(self, *, reference: str, resamples: int = 1000) -> dict[str, Any]:
        """Return every figure, and each system's AUROC difference to the reference, paired."""
        first = self.systems[reference].probabilities
        return {
            "n": len(self.outcomes),
            "events": int(self.outcomes.sum()),
            "reference": reference,
            "systems": {
                name: rounded(
                    summary(
                        self.outcomes,
                        system.probabilities,
                        threshold=system.threshold,
                        resamples=resamples,
                    )
                )
                for name, system in self.systems.items()
            },
            "auroc_differences": {
                name: rounded_estimate(
                    paired_difference(
                        auroc, self.outcomes, first, system.probabilities, resamples=resamples
                    )
                )
                for name, system in self.systems.items()
                if name != reference
            },
            "curves": {
                name: curves(self.outcomes, self.systems[name].probabilities)
                for name in (reference, STRONGEST_RIVAL)
                if name in self.systems
            },
        }


def rounded(figures: Mapping[str, Estimate | None]) -> dict[str, list[float] | None]:
    """Return [value, low, high] with four decimals; None stays."""
    return {name: rounded_estimate(estimate) for name, estimate in figures.items()}


def rounded_estimate(estimate: Estimate | None) -> list[float] | None:
    """Return [value, low, high] with four decimals; None stays."""
    if estimate is None:
        return None
    return [round(number, 4) for number in (estimate.value, estimate.low, estimate.high)]


def network_system(
    network: FusionNetwork,
    calibration: Calibration,
    test: Sequence[TokenArrays],
    tuning: Cohort,
    task: str,
    *,
    modalities: tuple[Modality, ...] | None = None,
) -> System:
    """Return the network's calibrated probabilities; its threshold comes from tuning cases."""
    place = network.config.tasks.index(task)

    def probabilities(tokens: Sequence[TokenArrays]) -> Floats:
        logits = predict_logits(network, tokens, modalities=modalities)[:, place]
        pairs = zip(logits.tolist(), patterns(tokens, modalities), strict=True)
        return np.array([calibration.probability(one, pattern) for one, pattern in pairs])

    threshold = best_event1_threshold(tuning.labels(task), probabilities(tuning.tokens()))
    return System(probabilities(test), threshold)


def patterns(tokens: Sequence[TokenArrays], modalities: tuple[Modality, ...] | None) -> list[str]:
    """Return the pattern of each case, with only ``modalities`` in sight."""
    shown = [
        tuple(m for m in arrays.available if modalities is None or m in modalities)
        for arrays in tokens
    ]
    return [availability_pattern(available) for available in shown]


def baseline_systems(train: Cohort, test: Cohort, task: str) -> dict[str, System]:
    """Fit logistic regression and boosted trees on all training cases; also their mean logit."""
    labels, features = train.labels(task), summaries(train)
    kept, held = tuning_split(train.groups(), labels, share=BASELINE_TUNING_SHARE)
    held_scores = _fit_both(features[kept], labels[kept], features[held])
    scores = _fit_both(features, labels, summaries(test))
    return {
        name: System(scores[name], best_event1_threshold(labels[held], held_scores[name]))
        for name in scores
    }


def _fit_both(train: Floats, labels: Floats, test: Floats) -> dict[str, Floats]:
    linear = logistic_regression(train, labels, test)
    trees = boosted_trees(train, labels, test)
    both = 1 / (1 + np.exp(-(logit(linear) + logit(trees)) / 2))
    return {
        "logistic regression": linear,
        "boosted trees": trees,
        "trees + logistic": both,
    }


def summaries(cohort: Cohort) -> Floats:
    """Return the baselines' features (n, F)."""
    rows = [case.summary for case in cohort.cases if case.summary is not None]
    return np.stack(rows).astype(np.float64)


def score_system(train: Cohort, test: Cohort, score: str, task: str) -> System:
    """Return a published score as probabilities, by a logistic curve fitted on training cases.

    Cases without the score get the training cases' mean.
    """
    train_scores, test_scores = (reference_scores(cohort, score) for cohort in (train, test))
    mean = float(np.nanmean(train_scores))
    filled = [np.where(np.isnan(s), mean, s) for s in (train_scores, test_scores)]
    labels = train.labels(task)
    curve = logistic_regression(filled[0][:, None], labels, filled[1][:, None])
    on_train = logistic_regression(filled[0][:, None], labels, filled[0][:, None])
    return System(curve, best_event1_threshold(labels, on_train))


def reference_scores(cohort: Cohort, score: str) -> Floats:
    """Return a published score (n,), NaN where the data set has none."""
    return np.array([c.facts.reference_scores.get(score, np.nan) for c in cohort.cases])


def subgroups(
    cohort: Cohort, outcomes: Floats, probabilities: Floats, *, resamples: int = 300
) -> list[dict[str, Any]]:
    """Return discrimination and calibration by age, sex, unit and available modalities.

    AUROC, slope and intercept with bootstrap intervals, observed over expected events with the
    exact Poisson interval. Groups with few cases or events are counted, and their figures None.
    """
    rows = []
    for kind, names in _group_names(cohort).items():
        for name in sorted(set(names)):
            inside = np.array([other == name for other in names])
            row = _counts(kind, name, outcomes[inside], probabilities[inside])
            enough = row["n"] >= SMALLEST_GROUP and row["events"] >= FEWEST_EVENTS
            figures = _group_figures if enough else _no_figures
            rows.append(row | figures(outcomes[inside], probabilities[inside], resamples))
    return rows


def _counts(kind: str, name: str, outcomes: Floats, probabilities: Floats) -> dict[str, Any]:
    return {
        "kind": kind,
        "group": name,
        "n": len(outcomes),
        "events": int(outcomes.sum()),
        "observed": round(float(outcomes.mean()), 4),
        "predicted": round(float(probabilities.mean()), 4),
    }


def _group_figures(outcomes: Floats, probabilities: Floats, resamples: int) -> dict[str, Any]:
    metrics = {
        "auroc": auroc,
        "calibration_slope": calibration_slope,
        "calibration_intercept": calibration_intercept,
    }
    found: dict[str, Any] = {
        name: rounded_estimate(
            bootstrap_or_none(metric, outcomes, probabilities, resamples=resamples)
        )
        for name, metric in metrics.items()
    }
    found["observed_to_expected"] = observed_to_expected(outcomes, probabilities)
    return found


def _no_figures(*_: object) -> dict[str, Any]:
    return dict.fromkeys(
        ("auroc", "calibration_slope", "calibration_intercept", "observed_to_expected")
    )


def _group_names(cohort: Cohort) -> dict[str, list[str]]:
    facts = [case.facts for case in cohort.cases]
    return {
        "age": [_age_group(fact.age_years) for fact in facts],
        "sex": [fact.sex for fact in facts],
        "unit": [fact.unit_type or "not stated" for fact in facts],
        "data": patterns([case.tokens for case in cohort.cases], None),
    }


def _age_group(age_years: float | None) -> str:
    if age_years is None:
        return "not stated"
    bounds = ((50, "under 50"), (65, "50 to 64"), (80, "65 to 79"))
    return next((name for bound, name in bounds if age_years < bound), "80 and over")
