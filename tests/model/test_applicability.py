"""The model speaks only about patients like those it learnt from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from model.applicability import (
    CODES,
    ApplicabilityRules,
    central_range,
    check_data,
    check_patient,
    code_of,
)
from model.record import Demographics, Stay
from model.tokens import tokenize
from tests.model import worlds
from tests.model.worlds import CONFIG, USUAL, chart, embed, measurements


@pytest.fixture(scope="module")
def rules(cohort):
    return replace(worlds.rules(cohort), rare_pattern_cases=1)


def data_of(record, rules):
    return check_data(tokenize(record, CONFIG, embed), CONFIG, rules)


def usual(**changes):
    """Return a chart whose values lie where the cohort's do."""
    return chart(**{"measurements": values_of(1.0), **changes})


def values_of(hours, factor=1.0):
    """Return one usual value of each variable, times a factor."""
    return measurements({name: [(hours, mean * factor)] for name, (mean, _) in USUAL.items()})


def test_a_usual_adult_inpatient_passes(rules):
    assert check_patient(usual()) == ([], [])
    assert data_of(usual(), rules) == ([], [])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"demographics": Demographics("Patient/1", 60.0, deceased=True)},
            "The chart says that the patient has died.",
        ),
        ({"demographics": Demographics("Patient/1", 17.9)}, "under 18 years old"),
        ({"demographics": Demographics("Patient/1")}, "does not state the patient's age"),
        ({"stay": Stay("Encounter/1", "AMB")}, "the encounter is of class AMB (ambulatory)."),
        ({"stay": Stay("Encounter/1", "EMER")}, "the encounter is of class EMER (emergency)."),
        ({"stay": Stay("Encounter/1", "X9")}, "the encounter is of class X9."),
    ],
)
def test_other_patients_are_refused_with_the_reason(changes, reason):
    reasons, _ = check_patient(chart(**changes))
    assert len(reasons) == 1
    assert reason in reasons[0]


def test_each_reason_has_a_word_that_counts_it(rules):
    changes = (
        ({"demographics": Demographics("Patient/1", 60.0, deceased=True)}, "deceased"),
        ({"demographics": Demographics("Patient/1")}, "age-unknown"),
        ({"demographics": Demographics("Patient/1", 17.9)}, "under-age"),
        ({"stay": Stay("Encounter/1", "AMB")}, "not-inpatient"),
        ({"measurements": (), "device_series": ()}, "too-little-data"),
        ({"measurements": values_of(1.0, factor=50)}, "out-of-distribution"),
    )
    assert [code for _, code in changes] == list(CODES)
    for changed, code in changes:
        record = usual(**changed)
        reasons = [*check_patient(record)[0], *data_of(record, rules)[0]]
        assert code in [code_of(reason) for reason in reasons], reasons


@pytest.mark.parametrize("stay", [None, Stay("Encounter/1", "")])
def test_an_unknown_kind_of_stay_is_a_warning(stay):
    reasons, warnings = check_patient(chart(stay=stay))
    assert reasons == []
    assert "whether this is an inpatient stay" in warnings[0]


@pytest.mark.parametrize("code", ["IMP", "ACUTE", "NONAC", "imp"])
def test_inpatient_classes(code):
    assert check_patient(chart(stay=Stay("Encounter/1", code))) == ([], [])


def test_too_little_data_says_how_much_there_is(rules):
    record = usual(measurements=measurements({"lactate": [(1, 2.0)]}), device_series=())
    reasons, _ = data_of(record, rules)
    assert reasons == [
        "Too little data: 1 measured variable in the last 48 hours, and at least 5 are needed."
    ]


def test_statics_are_not_data(rules):
    reasons, _ = data_of(chart(measurements=(), device_series=()), rules)
    assert reasons[0].startswith("Too little data: 0 measured variables")


def test_another_population_is_refused(rules):
    reasons, _ = data_of(usual(measurements=values_of(1.0, factor=50)), rules)
    assert reasons == [
        "Unlike the training data: 6 of 8 measured variables lie outside the range that the "
        "model was trained on."
    ]


def test_two_odd_values_are_a_patient(rules):
    odd = measurements({"lactate": [(0.5, 40.0)], "creatinine": [(0.5, 20.0)]})
    together = tuple(sorted((*values_of(1.0), *odd), key=lambda m: m.time))
    assert data_of(usual(measurements=together), rules) == ([], [])


def test_old_data_is_a_warning(rules):
    record = usual(measurements=values_of(20.0), device_series=())
    _, warnings = data_of(record, replace(rules, rare_pattern_cases=0))
    assert warnings == ["The newest measurement is 20 hours old."]


def test_recent_device_data_is_recent_data(rules):
    assert data_of(usual(measurements=values_of(20.0)), rules) == ([], [])


def test_rare_kinds_of_data_are_a_warning(rules):
    reasons, warnings = data_of(usual(), replace(rules, rare_pattern_cases=10_000))
    assert reasons == []
    assert "training patients had exactly these kinds of data" in warnings[0]


def test_rules_survive_json(rules):
    again = ApplicabilityRules.from_json(json.loads(json.dumps(rules.to_json())))
    np.testing.assert_allclose(again.structured_ranges, rules.structured_ranges)
    np.testing.assert_allclose(again.device_ranges, rules.device_ranges)
    assert again.cases_by_pattern == rules.cases_by_pattern


def test_a_variable_never_seen_in_training_has_no_range():
    assert np.isnan(central_range(np.full(5, np.nan, np.float32))).all()
