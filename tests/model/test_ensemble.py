"""Soft labels come from models that never saw the case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.tokens import tokenize
from model.training.cohort import Case, CaseFacts, Cohort
from model.training.ensemble import soft_labels
from model.training.metrics import auroc
from tests.model.worlds import CONFIG, TASK, chart, embed

STAYS = 400


@pytest.fixture(scope="module")
def planted():
    """400 stays in two views; the outcome follows the first feature and a word of the note."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(STAYS, 4)).astype(np.float32)
    septic = rng.random(STAYS) < 0.3
    truth = 1 / (1 + np.exp(-(1.5 * features[:, 0] + 2.0 * septic - 0.6)))
    outcome = rng.random(STAYS) < truth
    tokens = tokenize(chart(), CONFIG, embed)
    cases = []
    for stay in range(STAYS):
        facts = CaseFacts(
            data_set="one",
            stay_id=str(stay),
            group=str(stay),
            site="",
            view="device@24h",
            labels={TASK: float(outcome[stay])},
            note_text="septic shock" if septic[stay] else "well, eats and walks",
        )
        cases.append(Case(tokens, facts, features[stay]))
        cases.append(Case(tokens, replace(facts, view="charted@24h"), features[stay]))
    return Cohort(CONFIG, tuple(cases)), np.repeat(truth, 2)


@pytest.fixture(scope="module")
def soft(planted):
    return soft_labels(planted[0], TASK)


def test_soft_labels_are_nearer_the_truth_than_the_labels(planted, soft):
    cohort, truth = planted
    assert auroc(cohort.labels(TASK), soft) > 0.75
    assert np.mean((soft - truth) ** 2) < 0.5 * np.mean((cohort.labels(TASK) - truth) ** 2)


def test_views_of_a_stay_have_one_soft_label(soft):
    assert soft[::2] == pytest.approx(soft[1::2])


def test_a_case_does_not_teach_itself(planted, soft):
    """With its own label turned round, a stay's soft label stays about what it was."""
    cohort, _ = planted
    turned = [
        replace(case, facts=replace(case.facts, labels={TASK: 1 - case.facts.labels[TASK]}))
        if case.facts.stay_id == "7"
        else case
        for case in cohort.cases
    ]
    after = soft_labels(Cohort(CONFIG, tuple(turned)), TASK)
    assert after[14:16] == pytest.approx(soft[14:16], abs=0.15)


def test_unknown_outcomes_have_no_soft_label(planted):
    cohort, _ = planted
    blank = replace(cohort.cases[0], facts=replace(cohort.cases[0].facts, labels={}))
    soft = soft_labels(Cohort(CONFIG, (blank, *cohort.cases[1:])), TASK)
    assert np.isnan(soft[0])
    assert np.isfinite(soft[1:]).all()


def test_small_cohorts_have_no_ensemble(planted):
    assert soft_labels(planted[0].select(np.arange(60)), TASK) is None


def test_cohorts_without_features_have_no_ensemble(planted):
    bare = tuple(replace(case, summary=None) for case in planted[0].cases)
    assert soft_labels(Cohort(CONFIG, bare), TASK) is None
