"""Calibrated probabilities and conformal sets, by hand."""

from __future__ import annotations

import json
import math

import pytest

from model.calibration import (
    Calibration,
    ConformalSets,
    LogitMap,
    Thresholds,
    availability_pattern,
    risk_group,
)


@pytest.mark.parametrize(
    ("available", "pattern"),
    [
        (("structured",), "structured"),
        (("device", "structured"), "structured+device"),
        (("structured", "note", "device"), "structured+note+device"),
        ((), "none"),
    ],
)
def test_patterns_have_one_name_whatever_the_order(available, pattern):
    assert availability_pattern(available) == pattern


def test_temperature_and_intercept():
    assert LogitMap(2.0, 0.5).probability(1.0) == pytest.approx(1 / (1 + math.exp(-1.0)))


@pytest.mark.parametrize("logit", [-1e6, -800, 800, 1e6])
def test_extreme_logits_do_not_overflow(logit):
    assert 0 <= LogitMap(1.0, 0.0).probability(logit) <= 1


def test_a_pattern_uses_its_own_map_and_others_the_pooled_one():
    calibration = Calibration(LogitMap(1.0, 0.0), {"device": LogitMap(1.0, 2.0)})
    assert calibration.probability(0.0, "structured") == 0.5
    assert calibration.probability(0.0, "device") > 0.8


@pytest.mark.parametrize(
    ("probability", "members", "group"),
    [
        (0.05, (True, False), "low"),
        (0.30, (True, True), "uncertain"),
        (0.60, (False, True), "high"),
    ],
)
def test_sets_and_their_names(probability, members, group):
    sets = ConformalSets(0.1, Thresholds(no_event=0.4, event=0.8))
    assert sets.members(probability, "structured") == members
    assert risk_group(members) == group


@pytest.mark.parametrize(("probability", "group"), [(0.31, "low"), (0.45, "high")])
def test_an_empty_set_keeps_the_more_conforming_outcome(probability, group):
    sets = ConformalSets(0.3, Thresholds(no_event=0.3, event=0.5))
    assert risk_group(sets.members(probability, "note")) == group


def test_thresholds_of_a_pattern_come_first():
    sets = ConformalSets(0.1, Thresholds(0.4, 0.8), {"device": Thresholds(0.0, 1.0)})
    assert sets.members(0.2, "device") == (False, True)


def test_both_survive_json():
    calibration = Calibration(LogitMap(1.5, 0.1, 900, 80), {"note": LogitMap(1.0, 0.0, 300, 20)})
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json()))) == calibration
    sets = ConformalSets(0.1, Thresholds(0.4, 0.8), {"note": Thresholds(0.3, 0.7)})
    assert ConformalSets.from_json(json.loads(json.dumps(sets.to_json()))) == sets
