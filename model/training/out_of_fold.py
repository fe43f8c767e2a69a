"""The eICU demo by cross-validation: grouped by patient, pooled out of fold.

Each fold trains a network as the shipped one is trained, on set A and four fifths of the eICU
demo, and predicts the last fifth for all seven subsets of modalities. Rivals use the same folds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from model.training.availability import SUBSETS, cases_by_pattern
from model.training.baselines import note_words
from model.training.cohort import Cohort, join
from model.training.evaluation import (
    Comparison,
    Floats,
    System,
    baseline_systems,
    network_system,
    reference_scores,
    subgroups,
)
from model.training.fit_calibration import PATTERN_CASES, fit_calibration
from model.training.loop import train_network
from model.training.metrics import best_event1_threshold, logit
from model.training.settings import TrainingSettings
from model.training.splits import folds, tuning_split

FOLDS = 5
FUSED = "fused"
APACHE = "apache_iva"
LATE_FUSION = "late fusion of baselines"

OnFold = Callable[[int], None]
Split = Callable[[Cohort], tuple[Cohort, Cohort]]


def eicu_out_of_fold(
    eicu: Cohort,
    companion: Cohort,
    settings: TrainingSettings,
    *,
    view: str,
    split: Split,
    resamples: int = 1000,
    on_fold: OnFold | None = None,
) -> dict[str, Any]:
    """Return the figures of every subset and rival; ``companion`` trains in every fold.

    ``split`` takes tuning cases away from training cases, patients apart.
    """
    task = settings.network.tasks[0]
    test_view = eicu.with_view(view)
    outcomes = test_view.labels(task)
    pooled: dict[str, Floats] = {}
    calls: dict[str, Floats] = {}
    for number, fold in enumerate(folds(test_view.groups(), outcomes, FOLDS)):
        held_out = test_view.select(fold)
        groups = set(held_out.groups().tolist())
        rest = eicu.select([i for i, g in enumerate(eicu.groups()) if g not in groups])
        for name, system in _fold_systems(
            rest, companion, held_out, settings, view, split, task
        ).items():
            empty = np.full(len(outcomes), np.nan)
            pooled.setdefault(name, empty.copy())[fold] = system.probabilities
            calls.setdefault(name, empty.copy())[fold] = system.threshold
        if on_fold is not None:
            on_fold(number + 1)
    return _figures(test_view, outcomes, pooled, calls, resamples)


def _fold_systems(
    rest: Cohort,
    companion: Cohort,
    held_out: Cohort,
    settings: TrainingSettings,
    view: str,
    split: Split,
    task: str,
) -> dict[str, System]:
    training, tuning = split(join([rest, companion]))
    network = train_network(training, None, settings).network
    cases = cases_by_pattern(network, tuning.tokens(), enough=PATTERN_CASES)
    place = settings.network.tasks.index(task)
    calibration = fit_calibration(
        tuning.labels(task)[cases.rows], cases.logits[:, place], cases.patterns
    )
    own_tuning = tuning.with_view(view)
    systems = {
        FUSED if len(subset) == 3 else f"{FUSED}: {' + '.join(subset)}": network_system(
            network, calibration, held_out.tokens(), own_tuning, task, modalities=subset
        )
        for subset in SUBSETS
    }
    return systems | _rivals(rest.with_view(view), held_out, task)


def _rivals(train: Cohort, test: Cohort, task: str) -> dict[str, System]:
    """Return the baselines, words of notes, and their late fusion in logits."""
    systems = baseline_systems(train, test, task)
    labels = train.labels(task)
    kept, held = tuning_split(train.groups(), labels, share=0.15)

    def words(rows: Cohort, others: Cohort) -> Floats:
        return note_words(
            [case.facts.note_text for case in rows.cases],
            rows.labels(task),
            [case.facts.note_text for case in others.cases],
        )

    held_words = words(train.select(kept), train.select(held))
    systems["words of notes"] = System(
        words(train, test), best_event1_threshold(labels[held], held_words)
    )
    both = systems["trees + logistic"]
    fused = (2 * logit(both.probabilities) + logit(systems["words of notes"].probabilities)) / 3
    systems[LATE_FUSION] = System(1 / (1 + np.exp(-fused)), both.threshold)
    return systems


def _figures(
    cohort: Cohort,
    outcomes: Floats,
    pooled: dict[str, Floats],
    calls: dict[str, Floats],
    resamples: int,
) -> dict[str, Any]:
    comparison = Comparison(outcomes)
    for name, probabilities in pooled.items():
        comparison.add(name, System(probabilities, float(np.median(calls[name]))))
    figures = comparison.to_json(reference=FUSED, resamples=resamples)
    figures["subgroups"] = subgroups(cohort, outcomes, pooled[FUSED])
    scores = reference_scores(cohort, APACHE)
    known = np.isfinite(scores) & (scores >= 0)
    with_score = Comparison(outcomes[known])
    for name in (FUSED, "trees + logistic", LATE_FUSION):
        with_score.add(name, System(pooled[name][known], float(np.median(calls[name]))))
    with_score.add("APACHE IVa", System(scores[known], 0.3))
    figures["with_apache"] = with_score.to_json(reference=FUSED, resamples=resamples)
    return figures
