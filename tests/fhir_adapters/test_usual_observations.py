"""The short way of reading an Observation gives what the long way gives, or nothing."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from fhir_adapters.chart import Chart
from fhir_adapters.errors import ChartError
from fhir_adapters.record_builder import build_record
from fhir_adapters.usual_observations import UsualObservations
from tests.fhir_adapters.fuzz_reading import PREDICTION_TIME, seeds
from tests.fhir_adapters.mutations import mutated
from tests.fhir_adapters.reading_world import LACTATE, PATIENT, observation, quantity, read

FLAG = {"coding": [{"code": "HH"}]}
RANGE = {"low": {"value": 0.5}, "high": {"value": 2.2}}
DEVICE_PROFILE = "http://hl7.org/fhir/uv/phd/StructureDefinition/PhdNumericObservation"


def outcome(resources: tuple[Any, ...]) -> tuple[Any, ...]:
    try:
        record = build_record(Chart("p1", resources), PREDICTION_TIME)
    except ChartError as refusal:
        return type(refusal), str(refusal)
    points = [(one.channel, one.times_s.tolist(), one.device) for one in record.device_series]
    return record.measurements, record.report, points


def short_and_long(
    monkeypatch: pytest.MonkeyPatch, resources: tuple[Any, ...]
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    short = outcome(resources)
    with monkeypatch.context() as patch:
        patch.setattr(UsualObservations, "read", lambda *_: None)
        return short, outcome(resources)


def test_mutated_observations_are_read_alike_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(11)
    begun_from = [one for one in seeds(with_corpus=True) if one["resourceType"] == "Observation"]
    for _ in range(1_500):
        observations = [mutated(random.choice(begun_from), random) for _ in range(3)]
        short, long = short_and_long(
            monkeypatch, (*observations, random.choice(begun_from), PATIENT)
        )
        assert repr(short) == repr(long)  # a NaN in a report is not equal to itself


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"issued": "2026-03-02T07:05:00Z"},
        {"issued": "2099-01-01T00:00:00Z"},
        {"issued": "2026-03-02"},
        {"effectiveDateTime": "2099-01-01T00:00:00Z"},
        {"effectiveDateTime": "2026-03-02"},
        {"interpretation": [FLAG]},
        {"interpretation": None},
        {"referenceRange": [RANGE]},
        {"referenceRange": [{**RANGE, "age": {}}], "interpretation": FLAG},
        {"meta": {"profile": [DEVICE_PROFILE]}},
        {"meta": {"lastUpdated": "2026-03-02T07:05:00Z"}},
        {"device": {"reference": "Device/1"}},
        {"status": " Final"},
        {"status": "cancelled"},
        {"valueQuantity": quantity(10**400, "mmol/L")},
        {"valueQuantity": quantity(900, "mmol/L")},
        {"valueQuantity": quantity(2, "")},
        {"valueQuantity": {**quantity(2, "mmol/L"), "comparator": "<"}},
        {"category": {"coding": []}},
        {"focus": [{"reference": "Patient/p2"}]},
        {"subject": {"reference": "https://host/fhir/Patient/p1"}},
        {"subject": {"reference": "Patient/p2"}},
    ],
)
def test_what_stands_beside_a_value_counts_both_ways(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    short, long = short_and_long(monkeypatch, ({**LACTATE, **changes}, PATIENT))
    assert short == long


def test_the_usual_shape_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "fhir_adapters.vitals.coded_elements", lambda *_: pytest.fail("the long way")
    )
    described = {"interpretation": [FLAG], "referenceRange": [RANGE], "meta": {"versionId": "1"}}
    record = read({**LACTATE, **described}, observation(identity="other"))
    assert len(record.measurements) == 2
    (lactate,) = (one for one in record.measurements if one.variable == "lactate")
    assert (lactate.interpretation, lactate.reference_low, lactate.reference_high) == (
        "HH",
        0.5,
        2.2,
    )
