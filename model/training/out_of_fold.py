"""Cross-validation of the training data: grouped by patient or by hospital, pooled out of fold.

Each fold trains a network as the shipped one is trained, on all data sets but a fifth of those
that are tested, and predicts that fifth for every subset of modalities. Rivals use the same folds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from model.prediction import Modality
from model.training.availability import SUBSETS, cases_by_pattern
from model.training.baselines import note_words
from model.training.cohort import Cohort
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
Groups = Callable[[Cohort], npt.NDArray[np.str_]]


def patients(cohort: Cohort) -> npt.NDArray[np.str_]:
    """Return whom folds hold together (n,): the cases of a patient."""
    return cohort.groups()


def hospitals(cohort: Cohort) -> npt.NDArray[np.str_]:
    """Return whom folds hold together (n,): the cases of a hospital."""
    return np.array([f"{case.facts.data_set}/{case.facts.site}" for case in cohort.cases])


def out_of_fold(
    cohort: Cohort,
    tested: Mapping[str, str],
    settings: TrainingSettings,
    *,
    split: Split,
    groups: Groups = patients,
    resamples: int = 1000,
    on_fold: OnFold | None = None,
) -> dict[str, Any]:
    """Return, by data set, the figures of every subset of modalities and every rival.

    ``tested`` names the view of each data set that is predicted; the other data sets train in
    every fold. ``split`` takes tuning cases away from training cases, patients apart.
    """
    names = groups(cohort)
    parts = {name: _Part(cohort, name, view, settings, groups) for name, view in tested.items()}
    for number in range(FOLDS):
        away = {group for part in parts.values() for group in part.groups_of(number)}
        rest = cohort.select([row for row, group in enumerate(names) if group not in away])
        training, tuning = split(rest)
        network = train_network(training, None, settings).network
        cases = cases_by_pattern(network, tuning.tokens(), enough=PATTERN_CASES)
        calibration = fit_calibration(
            tuning.labels(settings.network.tasks[0])[cases.rows], cases.logits[:, 0], cases.patterns
        )
        for part in parts.values():
            held_out = part.held_out(number)
            own_tuning = tuning.of(part.name).with_view(part.view)
            systems = {
                _system_name(subset, part.subsets): network_system(
                    network,
                    calibration,
                    held_out.tokens(),
                    own_tuning,
                    part.task,
                    modalities=subset,
                )
                for subset in part.subsets
            }
            own_training = rest.of(part.name).with_view(part.view)
            part.take(number, systems | _rivals(own_training, held_out, part.task))
        if on_fold is not None:
            on_fold(number + 1)
    return {name: part.figures(resamples) for name, part in parts.items()}


def _system_name(subset: tuple[Modality, ...], subsets: list[tuple[Modality, ...]]) -> str:
    """The subset of all that a data set has is the fused network."""
    whole = max(subsets, key=len)
    return FUSED if subset == whole else f"{FUSED}: {' + '.join(subset)}"


class _Part:
    """One data set under test: its folds, and what each system says out of fold."""

    def __init__(
        self, cohort: Cohort, name: str, view: str, settings: TrainingSettings, groups: Groups
    ) -> None:
        self.name, self.view, self.task = name, view, settings.network.tasks[0]
        self.cohort = cohort.of(name).with_view(view)
        self.outcomes = self.cohort.labels(self.task)
        self.groups = groups(self.cohort)
        self.folds = folds(self.groups, self.outcomes, FOLDS)
        present = {m for case in self.cohort.cases for m in case.tokens.available}
        self.subsets = [subset for subset in SUBSETS if set(subset) <= present]
        self.pooled: dict[str, Floats] = {}
        self.calls: dict[str, Floats] = {}

    def groups_of(self, fold: int) -> set[str]:
        return set(self.groups[self.folds[fold]].tolist())

    def held_out(self, fold: int) -> Cohort:
        return self.cohort.select(self.folds[fold])

    def take(self, fold: int, systems: Mapping[str, System]) -> None:
        empty = np.full(len(self.outcomes), np.nan)
        for name, system in systems.items():
            rows = self.folds[fold]
            self.pooled.setdefault(name, empty.copy())[rows] = system.probabilities
            self.calls.setdefault(name, empty.copy())[rows] = system.threshold

    def figures(self, resamples: int) -> dict[str, Any]:
        return _figures(self.cohort, self.outcomes, self.pooled, self.calls, resamples)


def _rivals(train: Cohort, test: Cohort, task: str) -> dict[str, System]:
    """Return the baselines; with notes also their words, and the late fusion in logits."""
    systems = baseline_systems(train, test, task)
    if not any(case.facts.note_text for case in train.cases):
        return systems
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
    if not known.any():
        return figures
    with_score = Comparison(outcomes[known])
    for name in (FUSED, "trees + logistic", LATE_FUSION):
        with_score.add(name, System(pooled[name][known], float(np.median(calls[name]))))
    with_score.add("APACHE IVa", System(scores[known], 0.3))
    figures["with_apache"] = with_score.to_json(reference=FUSED, resamples=resamples)
    return figures
