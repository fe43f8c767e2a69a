"""Observations to Measurements: values, status, times, components, and what is left out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_adapters.record_builder import build_record
from tests.fhir_adapters.reading_world import (
    BLOOD_PRESSURE,
    LACTATE,
    NINE,
    PREDICTION_TIME,
    chart,
    concept,
    left_out,
    observation,
    quantity,
    read,
    valued,
    values,
)

NINE_UTC = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_observation_becomes_a_measurement_with_its_source() -> None:
    (measured,) = read(LACTATE).measurements
    assert (measured.variable, measured.value, measured.unit) == ("lactate", 4.1, "mmol/L")
    assert (measured.time, measured.source) == (NINE_UTC, "Observation/lab")
    assert measured.interpretation == "HH"


def test_blood_pressure_panel_is_read_by_its_components() -> None:
    assert values(read(BLOOD_PRESSURE)) == [
        ("diastolic_blood_pressure", 70),
        ("systolic_blood_pressure", 120),
    ]


def test_panel_coded_like_a_component_is_not_read_itself() -> None:
    panel = {**BLOOD_PRESSURE, "code": concept("85354-9", "8480-6")}
    assert values(read(panel)) == values(read(BLOOD_PRESSURE))
    assert left_out(read(panel)) == []


def test_observation_and_its_components_are_both_read() -> None:
    """Pulse oximetry of US Core: the saturation, and the oxygen that was given."""
    flow = {"code": concept("3151-8"), "valueQuantity": quantity(6, "L/min")}
    saturation = observation(code="59408-5", value=quantity(95, "%"), component=[flow])
    assert values(read(saturation)) == [("oxygen_flow_rate", 6), ("oxygen_saturation", 95)]


def test_component_without_value_leaves_the_others() -> None:
    absent = {"code": concept("8462-4"), "dataAbsentReason": concept("not-performed")}
    panel = {**BLOOD_PRESSURE, "component": [BLOOD_PRESSURE["component"][0], absent]}
    record = read(panel)
    assert values(record) == [("systolic_blood_pressure", 120)]
    assert left_out(record) == [
        ("absent", "Observation/bp: diastolic_blood_pressure has a dataAbsentReason")
    ]


def test_component_interpretation_is_its_own() -> None:
    high = {**BLOOD_PRESSURE["component"][0], "interpretation": [concept("H", system="urn:x")]}
    record = read({**BLOOD_PRESSURE, "component": [high, BLOOD_PRESSURE["component"][1]]})
    assert [m.interpretation for m in record.measurements] == [None, "H"]


@pytest.mark.parametrize(
    ("element", "value", "expected"),
    [
        ("valueInteger", 80, 80),
        ("valueString", "80", 80),
        ("valueString", " 80 bpm ", 80),
        ("valueString", "80,5", 80.5),
        ("valueQuantity", {"value": "80", "unit": "/min"}, 80),
        ("valueRange", {"low": quantity(70, "/min"), "high": quantity(90, "/min")}, 80),
        ("valueRange", {"low": quantity(70, "/min")}, 70),
        ("valueRatio", {"numerator": quantity(160, "1"), "denominator": quantity(2, "min")}, 80),
        ("valueRatio", {"numerator": {"value": 80}, "denominator": quantity(1, "min")}, 80),
    ],
)
def test_values_of_every_numeric_type_are_read(element: str, value: Any, expected: float) -> None:
    assert values(read(valued(element, value))) == [("heart_rate", expected)]


def test_ratio_of_two_quantities_is_their_quotient_in_the_quotient_of_units() -> None:
    ratio = {"numerator": quantity(180, "mg"), "denominator": quantity(2, "dL")}
    assert values(read(valued("valueRatio", ratio, code="2345-7"))) == [("glucose", 90)]


@pytest.mark.parametrize(
    ("element", "value"),
    [
        ("valueString", "not taken"),
        ("valueString", "1,234"),  # 1234 or 1.234
        ("valueString", "80/min/80 x 5"),
        ("valueString", ""),
        ("valueBoolean", True),
        ("valueDateTime", NINE),
        ("valueQuantity", {"value": True, "unit": "/min"}),
        ("valueQuantity", {"value": float("nan"), "unit": "/min"}),
        ("valueQuantity", {"value": float("inf"), "unit": "/min"}),
        ("valueQuantity", {"value": 10**400, "unit": "/min"}),
        ("valueQuantity", {"value": "1e999", "unit": "/min"}),
        ("valueQuantity", {"unit": "/min"}),
        ("valueQuantity", {"value": None}),
        ("valueQuantity", []),
        ("valueInteger", "x"),
        ("valueRange", {}),
        ("valueRange", {"low": quantity(90, "/min"), "high": quantity(70, "/min")}),
        ("valueRange", {"low": quantity(70, "/min"), "high": quantity(9, "/h")}),
        ("valueRatio", {"numerator": quantity(80, "1")}),
        ("valueRatio", {"numerator": quantity(80, "1"), "denominator": quantity(0, "min")}),
        ("valueRatio", []),
        ("valueCodeableConcept", []),
        ("valueCodeableConcept", {"coding": [5], "text": 7}),
    ],
)
def test_values_without_a_number_are_left_out(element: str, value: Any) -> None:
    record = read(valued(element, value))
    assert values(record) == []
    assert left_out(record)[0][0] in ("value", "unit", "implausible")


def test_observation_without_any_value_is_left_out() -> None:
    assert left_out(read(observation(valueQuantity=None))) == [
        ("value", "Observation/o1: heart_rate has no value")
    ]


def test_data_absent_reason_is_no_value() -> None:
    absent = concept("unknown")
    record = read(
        observation(valueQuantity=None, dataAbsentReason=absent),
        observation("o2", dataAbsentReason=absent),
    )
    assert left_out(record) == [
        ("absent", "Observation/o1: heart_rate has a dataAbsentReason"),
        ("absent", "Observation/o2: heart_rate has a dataAbsentReason beside a value"),
    ]


def test_two_values_where_one_belongs_are_left_out() -> None:
    both = valued("valueInteger", 80, valueString="90")
    assert left_out(read(both)) == [
        ("value", "Observation/o1: heart_rate has 2 values where one belongs")
    ]


@pytest.mark.parametrize("comparator", ["<", "<=", ">=", ">"])
def test_comparator_leaves_the_bound_with_a_remark(comparator: str) -> None:
    troponin = {**quantity(0.01, "ng/mL"), "comparator": comparator}
    record = read(observation(code="10839-9", value=troponin))
    assert values(record) == [("troponin_i", 0.01)]
    assert record.report.remarks[0].sentence == (
        f"Observation/o1: troponin_i is known as a bound ({comparator}), the bound counts"
    )


def test_comparator_in_a_string_is_read_as_well() -> None:
    record = read(valued("valueString", "<0.01 ng/mL", code="10839-9"))
    assert values(record) == [("troponin_i", 0.01)]
    assert "(<)" in record.report.remarks[0].sentence


@pytest.mark.parametrize("comparator", ["ad", "~", 5, []])
def test_comparator_that_is_no_bound_is_left_out(comparator: Any) -> None:
    record = read(observation(value={**quantity(80, "/min"), "comparator": comparator}))
    assert left_out(record) == [
        ("comparator", "Observation/o1: heart_rate has a comparator that is no bound")
    ]


def test_implausible_value_is_quarantined_and_never_clipped() -> None:
    record = read(observation(value=quantity(700, "/min")))
    assert values(record) == []
    assert left_out(record) == [
        (
            "implausible",
            "Observation/o1: heart_rate is outside its plausible range 10 to 300 /min",
        )
    ]


def test_plausible_range_holds_after_conversion() -> None:
    assert values(read(observation(code="8310-5", value=quantity(98.6, "[degF]")))) == [
        ("body_temperature", pytest.approx(37.0))
    ]
    assert left_out(read(observation(code="8310-5", value=quantity(98.6, "Cel"))))[0][0] == (
        "implausible"
    )


def test_yes_or_no_is_neither_half() -> None:
    code = concept("40617009", system="http://snomed.info/sct")
    record = read(observation(code=code, value=quantity(0.5, "1")))
    assert left_out(record)[0][0] == "implausible"


@pytest.mark.parametrize("status", ["final", "amended", "corrected", "preliminary", "unknown"])
def test_statuses_that_are_used(status: str) -> None:
    assert values(read(observation(status=status))) == [("heart_rate", 80)]


@pytest.mark.parametrize(
    "status",
    ["entered-in-error", "cancelled", "registered", "superseded", "specimen-in-process", "x", 5],
)
def test_statuses_that_never_reach_the_model(status: Any) -> None:
    record = read(observation(status=status))
    assert values(record) == []
    assert left_out(record)[0][0] == "status"


def test_missing_status_is_left_out() -> None:
    assert left_out(read(observation(status=None)))[0][0] == "status"


@pytest.mark.parametrize("element", ["modifierExtension", "implicitRules"])
def test_unknown_modifier_leaves_out_the_resource(element: str) -> None:
    record = read(observation(**{element: [{"url": "urn:not-what-it-says"}]}))
    assert values(record) == []
    assert left_out(record)[0][0] == "modifier"


def test_unknown_modifier_leaves_out_only_its_component() -> None:
    changed = {**BLOOD_PRESSURE["component"][0], "modifierExtension": [{"url": "urn:x"}]}
    record = read({**BLOOD_PRESSURE, "component": [changed, BLOOD_PRESSURE["component"][1]]})
    assert values(record) == [("diastolic_blood_pressure", 70)]
    assert left_out(record) == [
        (
            "modifier",
            "Observation/bp: systolic_blood_pressure has a modifierExtension that is not known",
        )
    ]


def test_focus_on_somebody_else_is_left_out() -> None:
    fetus = observation(focus=[{"reference": "RelatedPerson/fetus"}])
    record = read(fetus, observation("o2", focus=[{"reference": "Patient/p1"}]))
    assert [m.source for m in record.measurements] == ["Observation/o2"]
    assert left_out(record) == [("focus", "Observation/o1: its focus is not the patient")]


@pytest.mark.parametrize(
    ("effective", "expected"),
    [
        ({"effectiveDateTime": "2026-03-02T09:00:00Z"}, NINE_UTC),
        ({"effectiveDateTime": "2026-03-02T04:00:00-05:00"}, NINE_UTC),
        ({"effectiveDateTime": "2026-03-02T14:30:00.1234567+05:30"}, NINE_UTC),
        ({"effectiveDateTime": "2026-03-02T09:00Z"}, NINE_UTC),
        ({"effectiveDateTime": "2026-03-02T08:59:60Z"}, NINE_UTC),
        ({"effectiveInstant": NINE}, NINE_UTC),
        ({"effectivePeriod": {"start": "2026-03-02T01:00:00Z", "end": NINE}}, NINE_UTC),
        ({"effectivePeriod": {"start": NINE}}, NINE_UTC),
        ({"effectiveTiming": {"event": ["2026-03-01T09:00:00Z", NINE]}}, NINE_UTC),
        ({"effectiveTiming": {"repeat": {"boundsPeriod": {"end": NINE}}}}, NINE_UTC),
        ({"issued": NINE}, NINE_UTC),
    ],
)
def test_every_effective_time_becomes_utc(effective: dict[str, Any], expected: datetime) -> None:
    (measured,) = read(observation(**{"effectiveDateTime": None, **effective})).measurements
    assert abs((measured.time - expected).total_seconds()) <= 1


@pytest.mark.parametrize(
    "effective",
    [
        {},
        {"effectiveDateTime": "yesterday"},
        {"effectiveDateTime": "2026-13-01T00:00:00Z"},
        {"effectiveDateTime": "0001-01-01T00:00:00+14:00"},
        {"effectiveDateTime": "2026-03-02T25:00:00Z"},
        {"effectiveDateTime": 5},
        {"effectiveDateTime": "x" * 100},
        {"effectivePeriod": {}},
        {"effectivePeriod": {"start": NINE, "end": "x"}},
        {"effectivePeriod": "2026"},
        {"effectiveTiming": {"event": [5], "repeat": []}},
        {"effectiveTiming": []},
        {"effectiveInstant": {}},
    ],
)
def test_unreadable_or_missing_time_is_left_out(effective: dict[str, Any]) -> None:
    changes = {"effectiveDateTime": None, **effective}
    assert left_out(read(observation(**changes))) == [
        ("time", "Observation/o1: it has no effective time that can be read")
    ]


def test_nothing_after_the_prediction_time_is_seen() -> None:
    late = observation(effectiveDateTime="2026-03-02T12:00:01Z")
    on_time = observation("o2", effectiveDateTime="2026-03-02T12:00:00Z")
    record = read(late, on_time)
    assert [m.source for m in record.measurements] == ["Observation/o2"]
    assert left_out(record) == [("future", "Observation/o1: it is later than the prediction time")]


def test_result_issued_after_the_prediction_time_was_not_known() -> None:
    record = read(observation(issued="2026-03-02T12:30:00Z"))
    assert left_out(record) == [
        ("future", "Observation/o1: it was issued after the prediction time")
    ]


@pytest.mark.parametrize(
    ("text", "hour", "used"),
    [
        ("2026-03-02", 23, False),  # no hour of its own day is proven
        ("2026-03-01", 11, False),  # the first is not over everywhere before noon UTC
        ("2026-03-01", 12, True),
        ("2026-03", 12, False),
        ("2026-02", 12, True),
        ("2025", 12, True),
        ("2026", 12, False),
        ("2026-03-02T09:00:00", 20, False),  # nine o'clock in any time zone
        ("2026-03-02T09:00:00", 21, True),
    ],
)
def test_inexact_time_counts_only_when_it_is_past_everywhere(
    text: str, hour: int, used: bool
) -> None:
    at = datetime(2026, 3, 2, hour, tzinfo=UTC)
    record = build_record(chart(observation(effectiveDateTime=text)), at)
    assert bool(record.measurements) is used
    assert all(m.time <= at for m in record.measurements)
    if not used:
        assert left_out(record)[0][0] == "future"


def test_date_only_value_is_shown_on_its_day() -> None:
    at = datetime(2026, 3, 9, tzinfo=UTC)
    record = build_record(chart(observation(effectiveDateTime="2026-03-01")), at)
    assert record.measurements[0].time == datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("proof", [{"issued": NINE}, {"meta": {"lastUpdated": NINE}}])
def test_date_of_today_is_used_where_the_resource_proves_that_it_existed(
    proof: dict[str, Any],
) -> None:
    (measured,) = read(observation(effectiveDateTime="2026-03-02", **proof)).measurements
    assert measured.time == NINE_UTC


def test_december_ends_with_the_year() -> None:
    record = read(observation(effectiveDateTime="2025-12"))
    assert record.measurements[0].time == datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_same_reading_in_two_observations_is_used_once() -> None:
    record = read(observation("b"), observation("a", code="8893-0"))
    assert [m.source for m in record.measurements] == ["Observation/a"]
    assert left_out(record) == [
        ("duplicate", "Observation/b: the same heart_rate reading as Observation/a")
    ]


def test_measurements_are_sorted_by_time() -> None:
    early = observation("z", effectiveDateTime="2026-03-02T07:00:00Z")
    assert [m.source for m in read(observation(), early).measurements] == [
        "Observation/z",
        "Observation/o1",
    ]


@pytest.mark.parametrize(
    ("interpretation", "expected"),
    [
        ([concept("H", system="urn:x")], "H"),
        (concept("LL", system="urn:x"), "LL"),
        ([{"text": "high"}, 5, {"coding": [None, {"code": ""}, {"code": "A"}]}], "A"),
        ([{"coding": [{"code": "a sentence that is no code"}]}], None),
        ("H", None),
    ],
)
def test_interpretation_is_kept_where_it_is_a_code(
    interpretation: Any, expected: str | None
) -> None:
    assert read(observation(interpretation=interpretation)).measurements[0].interpretation == (
        expected
    )


def test_sentences_hold_no_patient_data() -> None:
    secret = "Jane Roe"
    record = read(
        observation("a", value={"value": 9999, "unit": "/min"}),
        valued("valueString", secret, code={"text": secret, **concept("8867-4")}, identity="b"),
        observation("c", code={"text": secret}),
        observation("d", status=None, note=[{"text": secret}]),
    )
    said = " ".join(line.sentence for line in record.report.left_out)
    assert len(record.report.left_out) == 4
    assert secret not in said
    assert "9999" not in said


def test_prediction_time_needs_its_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        build_record(chart(), PREDICTION_TIME.replace(tzinfo=None))
