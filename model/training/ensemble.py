"""Soft labels: what an ensemble of simple models says of cases that did not train it.

A label of 0 or 1 tells little of a single stay; the probability that models of another kind,
fitted on the other folds, give it tells more, and it holds for every part of the chart that token
dropout leaves visible: the mean over what is hidden is the same. So the network that is served
learns from boosted trees, logistic regression and words of notes at once (Hinton, Vinyals and
Dean 2015, arXiv:1503.02531), out of fold, so that nothing of a case's own label comes back.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model.training.baselines import boosted_trees, logistic_regression, note_words
from model.training.cohort import Cohort
from model.training.metrics import logit
from model.training.splits import folds

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

FOLDS = 5
FEWEST_EVENTS = 50  # of each outcome; with fewer the ensemble knows less than the labels
FEWEST_IN_FOLD = 40  # of each outcome, for a model of one data set
WORDS_SHARE = 1 / 3  # of the ensemble's logit where a data set has notes
WITH_NOTES = 0.2  # share of cases with text from which on a data set has notes


def soft_labels(cohort: Cohort, task: str) -> Floats | None:
    """Return a probability for each case (n,), out of fold; NaN where the outcome is unknown.

    None where the cohort is too small or was made without the features of the rivals. The folds
    are the same for every seed of a network, so that seeds differ in the network alone.
    """
    labels = cohort.labels(task)
    rows = np.flatnonzero(np.isfinite(labels))
    if not (_enough(labels[rows], FEWEST_EVENTS) and _has_features(cohort)):
        return None
    result = np.full(len(cohort), np.nan)
    result[rows] = _Rivals(cohort.select(rows), labels[rows]).out_of_fold()
    return result


def _has_features(cohort: Cohort) -> bool:
    return all(case.summary is not None and len(case.summary) for case in cohort.cases)


def _enough(labels: Floats, fewest: int) -> bool:
    events = int(labels.sum())
    return min(events, len(labels) - events) >= fewest


class _Rivals:
    """Cases with known outcomes, in the form that the models want."""

    def __init__(self, cohort: Cohort, labels: Floats) -> None:
        facts = [case.facts for case in cohort.cases]
        self.labels, self.groups = labels, cohort.groups()
        self.texts = np.array([fact.note_text for fact in facts], dtype=object)
        self.data_set = np.array([fact.data_set for fact in facts])
        self.features = np.stack([np.asarray(case.summary, np.float64) for case in cohort.cases])
        self.trains = self._first_of_its_kind([fact.stay_id for fact in facts])

    def _first_of_its_kind(self, stays: list[str]) -> npt.NDArray[np.bool_]:
        """Views of a stay with the same features (charted, by monitor) train the models once."""
        seen: set[tuple[str, str, bytes]] = set()
        first = np.zeros(len(stays), bool)
        contents = [row.tobytes() for row in self.features]
        for row, key in enumerate(zip(self.data_set.tolist(), stays, contents, strict=True)):
            first[row] = key not in seen
            seen.add(key)
        return first

    def out_of_fold(self) -> Floats:
        """Return probabilities (n,)."""
        logits = np.zeros(len(self.labels))
        for held in folds(self.groups, self.labels, FOLDS):
            train = self.trains.copy()
            train[held] = False
            logits[held] = self._predict(np.flatnonzero(train), held)
        return np.asarray(1 / (1 + np.exp(-logits)))

    def _predict(self, train: Rows, test: Rows) -> Floats:
        """Return logits of the test rows: trees over all data sets, the rest within each."""
        x, y = self.features, self.labels
        logits = logit(boosted_trees(x[train], y[train], x[test]))
        for name in np.unique(self.data_set[test]):
            own, asked = train[self.data_set[train] == name], self.data_set[test] == name
            if not _enough(y[own], FEWEST_IN_FOLD):
                continue
            rows = test[asked]
            linear = logit(logistic_regression(x[own], y[own], x[rows]))
            logits[asked] = (logits[asked] + linear) / 2
            if np.mean(self.texts[own] != "") >= WITH_NOTES:
                words = logit(note_words(self.texts[own], y[own], self.texts[rows]))
                logits[asked] += WORDS_SHARE * (words - logits[asked])
        return np.asarray(logits)
