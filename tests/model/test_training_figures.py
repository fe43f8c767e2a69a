"""The held-out and the out-of-fold tables, on planted cohorts that look like the data sets."""

from dataclasses import replace

import numpy as np
import pytest

from model.calibration import Calibration, LogitMap
from model.synthetic import planted_cohort
from model.training.cohort import Case, Cohort, join
from model.training.held_out import CHARTED_VIEW, VIEW, physionet_held_out
from model.training.loop import train_network
from model.training.losses import ConsistencySettings
from model.training.metrics import logit
from model.training.network import NetworkConfig
from model.training.out_of_fold import FOLDS, _Part, hospitals, out_of_fold, patients
from model.training.recovery import planted_tokens
from model.training.settings import TrainingSettings
from model.training.splits import tuning_split
from tests.model.worlds import embed

TASK = "in_hospital_death"
SETTINGS = TrainingSettings(
    network=NetworkConfig(
        width=16,
        heads=2,
        bins=4,
        rank=4,
        latents_per_modality=1,
        shared_latents=2,
        feed_forward=16,
        dropout=0.1,
    ),
    consistency=ConsistencySettings(kl_weight=0, mass_weight=0),
    epochs=8,
    batch_size=16,
    learning_rate=1e-2,
    warm_up_steps=5,
)


def planted(count, seed, data_set, *views):
    """Return planted stays named after a data set, each in all of the views."""
    planted_cases = list(planted_cohort(count, seed=seed))
    cohort = planted_tokens(planted_cases, embed)
    cases = []
    for case, truth in zip(cohort.cases, planted_cases, strict=True):
        values = [m.value for m in sorted(truth.record.measurements, key=lambda m: m.variable)]
        words = " ".join(s.text for note in truth.record.notes for s in note.sentences)
        scores = {"saps_i": 10 + truth.logit, "apache_iva": 1 / (1 + np.exp(-truth.logit))}
        for view in views:
            facts = replace(
                case.facts,
                data_set=data_set,
                view=view,
                age_years=60.0,
                note_text=words,
                reference_scores=scores,
            )
            cases.append(Case(case.tokens, facts, np.array(values, np.float32)))
    return Cohort(cohort.config, tuple(cases))


def split(cohort):
    rows = tuning_split(cohort.groups(), cohort.labels(TASK), share=0.2)
    return cohort.select(rows[0]), cohort.select(rows[1])


@pytest.fixture(scope="module")
def held_out():
    train = planted(240, 1, "physionet2012-a", VIEW, CHARTED_VIEW)
    training, tuning = split(train)
    network = train_network(training, None, SETTINGS).network
    return physionet_held_out(
        network,
        Calibration(LogitMap(1.0, 0.0)),
        train=train,
        tuning=tuning,
        test=planted(200, 2, "physionet2012-b", VIEW, CHARTED_VIEW),
        task=TASK,
        resamples=20,
    )


def test_the_held_out_table_has_every_system_with_intervals(held_out):
    assert held_out["n"] == 200
    assert set(held_out["systems"]) == {
        "fused",
        "fused: structured only",
        "fused: device only",
        "fused: vitals charted, no device",
        "logistic regression",
        "boosted trees",
        "trees + logistic",
        "SAPS-I",
    }
    for figures in held_out["systems"].values():
        value, low, high = figures["auroc"]
        assert low <= value <= high


def test_a_score_that_knows_the_truth_leads_the_table(held_out):
    systems = held_out["systems"]
    assert systems["SAPS-I"]["auroc"][0] == max(s["auroc"][0] for s in systems.values())


def test_every_rival_is_compared_with_the_network_case_by_case(held_out):
    assert set(held_out["auroc_differences"]) == set(held_out["systems"]) - {"fused"}


@pytest.fixture(scope="module")
def cross_validated():
    seen = []
    both = join(
        [
            planted(260, 3, "eicu-demo", "device@24h"),
            planted(60, 4, "physionet2012-a", VIEW),
        ]
    )
    figures = out_of_fold(
        both, {"eicu-demo": "device@24h"}, SETTINGS, split=split, resamples=20, on_fold=seen.append
    )
    return figures["eicu-demo"], seen


@pytest.mark.parametrize("groups", [patients, hospitals])
def test_a_fold_holds_whole_patients_or_whole_hospitals(groups):
    cohort = planted(120, 5, "eicu-demo", "device@24h")
    sites = [
        replace(case, facts=replace(case.facts, site=str(row % 17)))
        for row, case in enumerate(cohort.cases)
    ]
    part = _Part(Cohort(cohort.config, tuple(sites)), "eicu-demo", "device@24h", SETTINGS, groups)
    folds = [part.groups_of(number) for number in range(FOLDS)]
    assert sum(len(fold) for fold in folds) == len(set().union(*folds))
    assert sum(len(part.held_out(number)) for number in range(FOLDS)) == 120


def test_every_stay_is_predicted_once_by_every_subset(cross_validated):
    figures, seen = cross_validated
    assert seen == [1, 2, 3, 4, 5]
    assert figures["n"] == 260
    assert len([name for name in figures["systems"] if name.startswith("fused")]) == 7


def test_a_published_prediction_is_compared_on_the_stays_that_have_it(cross_validated):
    figures, _ = cross_validated
    scored = figures["with_apache"]
    assert scored["n"] == 260
    assert scored["systems"]["APACHE IVa"]["auroc"][0] > scored["systems"]["fused"]["auroc"][0]


def test_logits_of_probabilities_are_finite():
    assert np.isfinite(logit(np.array([0.0, 0.5, 1.0]))).all()
