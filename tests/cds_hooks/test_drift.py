"""How far the inputs of hooks are from those of training, by known distributions."""

from __future__ import annotations

import io
import json
import random
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from math import log
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from cds_hooks.drift import Drift, stability_figures, stability_index
from cds_hooks.parts import parts_of
from cds_hooks.settings import Settings
from cds_hooks.telemetry import Figures, configure_logging
from cds_hooks.warm_up import warm_up_record
from model.input_reference import InputReference
from model.predictor import load_predictor
from model.record import Demographics, DeviceSeries, Measurement, PatientRecord
from tests.cds_hooks import world
from tests.cds_hooks.conftest import Service

URL = "/cds-services/meam-risk"
EDGES = tuple(float(edge) for edge in range(1, 8))  # eight bins: below 1, 1 to 2, ... from 7 on
REFERENCE = InputReference(
    {"lactate": EDGES, "device/heart_rate": EDGES}, lookback_s=48 * 3600.0, patch_s=6 * 3600.0
)


def _record(*values: float, hours: float = 1.0) -> PatientRecord:
    return PatientRecord(
        Demographics("Patient/1"),
        world.NOW,
        measurements=tuple(
            Measurement("lactate", value, "mmol/L", world.NOW - timedelta(hours=hours), "x")
            for value in values
        ),
    )


def test_equal_shares_are_no_drift() -> None:
    assert stability_index([100.0] * 8) == pytest.approx(0.0)


def test_the_index_is_that_of_its_formula() -> None:
    counts = [50.0, 150.0]
    shares = [50.5 / 201, 150.5 / 201]
    assert stability_index(counts) == pytest.approx(
        sum((share - 0.5) * log(share / 0.5) for share in shares)
    )


def test_a_shifted_input_is_far_away() -> None:
    index = stability_index([0.0] * 4 + [100.0] * 4)
    assert index is not None
    assert index > 1


def test_few_values_have_no_index() -> None:
    assert stability_index([20.0] * 8) is None


@pytest.mark.parametrize(("value", "bin_"), [(0.5, 0), (1.0, 1), (6.9, 6), (7.0, 7), (99.0, 7)])
def test_a_value_falls_between_the_quantiles(value: float, bin_: int) -> None:
    assert REFERENCE.bins(_record(value)) == {"lactate": bin_}


def test_the_last_value_counts_and_old_or_unknown_ones_do_not() -> None:
    assert REFERENCE.bins(_record(7.5, 2.5)) == {"lactate": 2}
    assert REFERENCE.bins(_record(2.5, hours=49)) == {}
    other = replace(_record(), measurements=(replace(_record(1.0).measurements[0], variable="x"),))
    assert REFERENCE.bins(other) == {}


def test_a_device_channel_counts_by_its_mean_of_six_hours() -> None:
    times_s = world.NOW.timestamp() - np.array([7 * 3600.0, 3600.0, 60.0])
    series = DeviceSeries(
        "heart_rate",
        "/min",
        times_s,
        np.array([99.0, 2.0, 3.0], np.float32),
        ("x",),
        np.zeros(3, np.int32),
    )
    assert REFERENCE.bins(replace(_record(), device_series=(series,))) == {"device/heart_rate": 2}


def _figures(registry: CollectorRegistry) -> dict[str, float]:
    family = stability_figures(registry.collect(), REFERENCE.bin_count)
    return {sample.labels["input"]: sample.value for sample in family.samples}


def test_inputs_like_training_stay_low_and_others_rise() -> None:
    registry, chance = CollectorRegistry(), random.Random(1)
    drift = Drift(REFERENCE, registry)
    for _ in range(1000):
        drift.seen(_record(chance.uniform(0, 8)))
    assert _figures(registry)["lactate"] < 0.05
    for _ in range(2000):
        drift.seen(_record(chance.uniform(3, 8)))
    assert _figures(registry)["lactate"] > 0.25


def test_what_is_long_ago_fades_out() -> None:
    registry, chance = CollectorRegistry(), random.Random(2)
    drift = Drift(REFERENCE, registry)
    for _ in range(3000):
        drift.seen(_record(7.5))
    for _ in range(12_000):
        drift.seen(_record(chance.uniform(0, 8)))
    assert _figures(registry)["lactate"] < 0.1


def test_a_drift_is_logged_once_and_so_is_its_end() -> None:
    stream, chance = io.StringIO(), random.Random(3)
    configure_logging(stream)
    drift = Drift(REFERENCE, CollectorRegistry(), warn_from=0.25)
    for _ in range(600):
        drift.seen(_record(7.5))
    for _ in range(12_000):
        drift.seen(_record(chance.uniform(0, 8)))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["input"]) for line in lines] == [
        ("input drift", "lactate"),
        ("input drift over", "lactate"),
    ]
    assert lines[0]["stability_index"] > 0.25


def test_what_drifts_is_known_until_it_is_over() -> None:
    chance = random.Random(4)
    drift = Drift(REFERENCE, CollectorRegistry())
    assert drift.seen(_record(7.5)) == {"lactate": 7}
    assert drift.drifting() == (), "one value says nothing"
    for _ in range(399):
        drift.seen(_record(7.5))
    assert drift.drifting() == ("lactate",)
    for _ in range(12_000):
        drift.seen(_record(chance.uniform(0, 8)))
    assert drift.drifting() == ()


def test_a_card_says_that_inputs_have_drifted(service: Service) -> None:
    client = service()
    (card,) = client.post(URL, json=world.hook_request()).json["cards"]
    assert "differ from those that the model learnt from" not in card["detail"]
    figures = parts_of(client.application).figures
    figures.watch(REFERENCE, warn_from=0.25)
    for _ in range(200):
        figures.seen(_record(7.5))
    (card,) = client.post(URL, json=world.hook_request()).json["cards"]
    line = "- The patients of late differ from those that the model learnt from, in: Lactate."
    assert line in card["detail"]
    calm = client.post(URL, json=world.hook_request(world.calm_prefetch()))
    assert calm.json == {"cards": []}


def test_the_page_shows_the_index_and_no_value_of_a_patient() -> None:
    figures = Figures()
    figures.watch(REFERENCE, warn_from=0.25)
    for _ in range(300):
        figures.seen(_record(2.5))
    page = figures.page().decode()
    line = next(one for one in page.splitlines() if one.startswith("meam_input_stability_index{"))
    assert line.startswith('meam_input_stability_index{input="lactate"} ')
    assert 'meam_input_count{bin="2",input="lactate"} 300.0' in page
    assert "2.5" not in page.replace(line, "").replace('le="2.5"', "")


@pytest.fixture(scope="module")
def shipped() -> Any:
    return load_predictor(Settings().checkpoint).input_reference


def test_the_shipped_checkpoint_has_quantiles_that_can_be_compared(shipped: Any) -> None:
    assert shipped.bin_count == 8
    assert {"age_years", "lactate", "creatinine", "device/heart_rate"} <= set(shipped.edges)
    assert not {"sex", "unit_type", "glasgow_coma_scale"} & set(shipped.edges)
    for edges in shipped.edges.values():
        assert all(low < high for low, high in pairwise(edges))


def test_the_warm_up_patient_has_a_bin_for_each_known_input(shipped: Any) -> None:
    bins = shipped.bins(warm_up_record())
    assert set(bins) >= {"age_years", "lactate", "sodium", "device/heart_rate"}
    assert all(0 <= index < 8 for index in bins.values())
