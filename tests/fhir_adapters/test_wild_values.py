"""Values as vendors and wearables write them: each case was sent, or is one step from it."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_adapters.codes import VariableTableError, parse_variables, variable
from fhir_adapters.number_text import number_in_text, points_in_text
from fhir_adapters.units import conversion
from tests.fhir_adapters.reading_world import (
    BLOOD_PRESSURE,
    LOINC,
    MDC,
    NINE,
    concept,
    left_out,
    observation,
    quantity,
    read,
    sampled,
    valued,
    values,
)


def one(resource: dict[str, Any]) -> tuple[str, float]:
    ((name, number),) = values(read(resource))
    return name, number


@pytest.mark.parametrize(
    ("code", "number", "unit", "name", "expected"),
    [
        ("3091-6", 40, "mg/dL", "blood_urea_nitrogen", 18.658),
        ("3091-6", 6.66, "mmol/L", "blood_urea_nitrogen", 18.658),
        ("22664-7", 6.66, "mmol/L", "blood_urea_nitrogen", 18.658),
        ("59261-8", 48, "mmol/mol", "hemoglobin_a1c", 6.543),
        ("4548-4", 48, "mmol/mol", "hemoglobin_a1c", 6.543),
        ("4548-4", 6.5, "%", "hemoglobin_a1c", 6.5),
        ("48066-5", 250, "ng/mL", "d_dimer", 500),
    ],
)
def test_a_scale_of_its_own_is_read_as_the_variable_that_it_measures(
    code: str, number: float, unit: str, name: str, expected: float
) -> None:
    found, value = one(observation(code=code, value=quantity(number, unit)))
    assert (found, value) == (name, pytest.approx(expected, rel=1e-3))


def test_urea_beside_urea_nitrogen_is_ambiguous_by_a_factor_of_two() -> None:
    record = read(observation(code=concept("3091-6", "3094-0"), value=quantity(40, "mg/dL")))
    assert left_out(record) == [
        ("code", "Observation/o1: its codes name several variables: blood_urea_nitrogen, urea")
    ]


def test_a_scale_is_quarantined_where_its_variable_would_be_implausible() -> None:
    record = read(observation(code="59261-8", value=quantity(250, "mmol/mol")))
    assert [reason for reason, _ in left_out(record)] == ["implausible"]


def test_a_scale_of_an_unknown_variable_is_refused() -> None:
    head = "name,display,unit,plausible_low,plausible_high,modality,organ_system,read_as\n"
    with pytest.raises(VariableTableError, match="row 'a', column 'read_as': there is no variable"):
        parse_variables(head + "a,A,1,0,1,structured,general,b\n")
    rows = (
        "a,A,1,0,1,structured,general,b\nb,B,1,0,1,structured,general,c\nc,C,1,0,1,structured,g,\n"
    )
    with pytest.raises(VariableTableError, match="'b' is no scale of its own"):
        parse_variables(head + rows)


@pytest.mark.parametrize(
    ("code", "number", "unit", "expected"),
    [
        ("8310-5", 98.6, "˚F", 37.0),
        ("8310-5", 98.6, "oF", 37.0),
        ("8310-5", 98.6, "deg F", 37.0),
        ("29463-7", 180, "lb(s)", 81.6466),
        ("29463-7", 80, "Kilogram(s)", 80),
        ("8302-2", 70, "Inch(es)", 177.8),
        ("8302-2", 70, "in_i", 177.8),
        ("8867-4", 80, "count/min", 80),
        ("777-3", 250, "THOU/CMM", 250),
        ("2823-3", 4.1, "mM", 4.1),
        ("2524-7", 4.1, "mEq/L", 4.1),
        ("718-7", 13.5, "g/dL (calc)", 13.5),
        ("48065-7", 0.5, "mg/L FEU", 500),
        ("48065-7", 0.5, "mcg/mL FEU", 500),
        ("33914-3", 55, "mL/min/1.73sq m", 55),
        ("33762-6", 50, "pmol/L", 422.85),
        ("4537-7", 20, "mm/hr", 20),
        ("6301-6", 1.2, "INR", 1.2),
        ("9269-2", 14, "GCS", 14),
        ("72514-3", 4, "/10", 4),
        ("2692-2", 290, "mmol/kg", 290),
        ("3150-6", 0.4, "{fraction}", 40),
        ("59408-5", 97, "percent saturation", 97),
        ("9192-6", 1800, "mL/24 h", 1800),
        ("9192-6", 1800, "mL/(24.h)", 1800),
        ("17861-6", 2.3, "mmol/L", 9.218),
    ],
)
def test_units_as_they_are_typed(code: str, number: float, unit: str, expected: float) -> None:
    value = {"value": number, "unit": unit}
    assert one(observation(code=code, value=value))[1] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("code", "unit", "number", "expected"),
    [
        ("55423-8", "count", 1234, 1234),
        ("41950-7", "steps/day", 1234, 1234),
        ("41950-7", "{steps}/d", 1234, 1234),
        ("41981-2", "Cal", 300, 300),
        ("41981-2", "kcal", 300, 300),
        ("93832-4", "min", 420, 7),
        ("33452-4", "L/s", 5, 300),
    ],
)
def test_wearable_units(code: str, unit: str, number: float, expected: float) -> None:
    worn = observation(
        code=code, value={"value": number, "unit": unit}, device={"reference": "Device/w"}
    )
    (series,) = read(worn).device_series
    assert series.values.tolist() == [pytest.approx(expected)]


def test_a_ratio_of_amounts_is_no_share() -> None:
    """48 mmol/mol of hemoglobin is 6.5 % in the other scale and never 4.8 %."""
    assert conversion(variable("hematocrit"), "mmol/mol", "", "") is None


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("4.5 H", 4.5, ""),
        ("4.5 (LL)", 4.5, ""),
        ("4.5*", 4.5, ""),
        (".5", 0.5, ""),
        ("5.", 5, ""),
        ("=5.2", 5.2, ""),
        ("5,2 mmol/L", 5.2, "mmol/L"),
        ("1,234.5", 1234.5, ""),
        ("1.234,5", 1234.5, ""),
        ("1,234,567", 1234567, ""),
        ("10-12", 11, ""),
        ("10 – 12 mg/dL", 11, "mg/dL"),
        ("5 to 7", 6, ""),
        ("5' 10\"", 70, "[in_i]"),
        ("5 ft 10.5 in", 70.5, "[in_i]"),
        ("180 lb 4 oz", 2884, "[oz_av]"),
        ("2 L", 2, "L"),
        (">=60", 60, ""),
    ],
)
def test_numbers_as_they_are_typed(text: str, number: float, unit: str) -> None:
    found = number_in_text(text)
    assert found is not None
    assert (found.number, found.unit) == (pytest.approx(number), unit)


@pytest.mark.parametrize(
    "text",
    ["1,234", "POSITIVE", "", "~5", "H 5.2", "NaN", "Infinity", "five", "-", "QNS", "٧", "9" * 200],
)
def test_words_and_ambiguous_numbers_are_none(text: str) -> None:
    assert number_in_text(text) is None


@pytest.mark.parametrize("text", ["1+", "12/15", "3 000", "1'000", "0x10", "1e400", "10T"])
def test_what_follows_a_number_is_a_unit_and_refused_as_such(text: str) -> None:
    record = read(valued("valueString", text, code="2524-7"))
    assert [reason for reason, _ in left_out(record)] == ["unit"]


@pytest.mark.parametrize(
    ("text", "best", "points"),
    [
        ("15/15", 15, 15),
        ("4/10", 10, 4),
        ("4/15", 10, None),
        ("4 - spontaneous", 4, 4),
        ("4=Spontaneous", 4, 4),
        ("E4 V5 M6", 15, 15),
        ("E3V4M5 = 12", 15, 12),
        ("E4VTM6", 15, None),
    ],
)
def test_points_of_scores(text: str, best: float, points: float | None) -> None:
    assert points_in_text(text, best) == points


@pytest.mark.parametrize(
    ("code", "element", "value", "expected"),
    [
        ("9267-6", "valueString", "Spontaneous", 4),
        ("9267-6", "valueCodeableConcept", {"text": "To speech"}, 3),
        ("9267-6", "valueCodeableConcept", {"text": "4"}, 4),
        ("9270-0", "valueCodeableConcept", {"coding": [{"display": "5 - oriented"}]}, 5),
        ("80288-4", "valueCodeableConcept", {"text": "Alert"}, 0),
        ("9269-2", "valueString", "E4V5M6", 15),
    ],
)
def test_scores_in_words(code: str, element: str, value: Any, expected: float) -> None:
    assert one(valued(element, value, code=code))[1] == expected


def coma(*parts: tuple[str, dict[str, Any]], **changes: Any) -> dict[str, Any]:
    components = [{"code": concept(code), **value} for code, value in parts]
    return observation(
        code="35088-4", **{"valueQuantity": None, "component": components, **changes}
    )


PARTS = (
    ("9267-6", {"valueInteger": 3}),
    ("9270-0", {"valueCodeableConcept": concept("LA6560-2")}),
    ("9268-4", {"valueQuantity": {"value": 6, "unit": "{score}"}}),
)


def test_a_coma_score_in_parts_has_its_sum() -> None:
    record = read(coma(*PARTS))
    assert ("glasgow_coma_scale", 13) in values(record)
    assert "sum of its three parts" in record.report.remarks[0].sentence
    assert "glasgow_coma_scale" not in dict(values(read(coma(*PARTS[:2]))))
    given = dict(values(read(coma(*PARTS, ("9269-2", {"valueInteger": 12})))))
    assert given["glasgow_coma_scale"] == 12


@pytest.mark.parametrize("text", ["120/80", "120 / 80 mmHg", "BP: 120/80 mm[Hg]"])
@pytest.mark.parametrize("panel", ["85354-9", "55284-4", "35094-2"])
def test_a_blood_pressure_in_one_text_is_two_values(panel: str, text: str) -> None:
    record = read(valued("valueString", text, code=panel))
    assert values(record) == [("diastolic_blood_pressure", 80), ("systolic_blood_pressure", 120)]


def test_such_a_text_under_another_code_or_marked_absent_is_none() -> None:
    assert values(read(valued("valueString", "120/80", code="85353-1"))) == []
    absent = valued("valueString", "120/80", code="85354-9", dataAbsentReason=concept("error"))
    assert values(read(absent)) == []


@pytest.mark.parametrize(
    "system",
    [
        "HTTP://LOINC.ORG",
        " http://loinc.org ",
        "http://www.loinc.org",
        "https://loinc.org/",
        "http://loinc.org|2.81",
        "2.16.840.1.113883.6.1",
    ],
)
def test_code_systems_are_known_under_loose_spellings(system: str) -> None:
    assert one(observation(code=concept("8867-4", system=system))) == ("heart_rate", 80)
    assert one(observation(code=concept(" 8867-4\u00a0"))) == ("heart_rate", 80)
    assert values(read(observation(code=concept("8867-4", system=f"{LOINC}/vs")))) == []


@pytest.mark.parametrize("status", ["Final", "FINAL", " final "])
def test_case_and_spaces_of_a_status_do_not_count(status: str) -> None:
    assert one(observation(status=status)) == ("heart_rate", 80)
    assert values(read(observation(status="Entered-In-Error"))) == []


def test_a_contained_result_shares_the_time_of_its_report() -> None:
    inner = {
        "resourceType": "Observation",
        "id": "c1",
        "status": "final",
        "code": concept("2951-2"),
        "valueQuantity": quantity(140, "mmol/L"),
    }
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": "final",
        "code": concept("24323-8"),
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": NINE,
        "contained": [inner],
    }
    assert values(read(report)) == [("sodium", 140)]
    later = {**inner, "effectiveDateTime": "2026-03-02T13:00:00Z"}
    assert values(read({**report, "contained": [later]})) == []


def oximeter(bit: int, device: str = "Device/ox", **changes: Any) -> dict[str, Any]:
    component = {
        "code": concept(f"150604.{bit}", system="http://terminology.hl7.org/CodeSystem/ASN1ToHL7"),
        "valueBoolean": True,
    }
    return observation(
        "status",
        concept("150604", system=MDC),
        valueQuantity=None,
        component=[component],
        device={"reference": device},
        **changes,
    )


def saturation(**changes: Any) -> dict[str, Any]:
    code = concept("150456", system=MDC)
    return observation("sat", code, quantity(97, "%"), device={"reference": "Device/ox"}, **changes)


@pytest.mark.parametrize("order", [1, -1])
def test_a_reading_under_a_faulty_oximeter_status_is_left_out(order: int) -> None:
    record = read(*[oximeter(12), saturation()][::order])
    assert record.device_series == ()
    assert left_out(record) == [
        (
            "quality",
            "Observation/sat: oxygen_saturation is no measurement, says the oximeter's status",
        )
    ]


@pytest.mark.parametrize(
    "status",
    [
        oximeter(10),  # low perfusion alone
        oximeter(12, device="Device/other"),
        oximeter(12, effectiveDateTime="2026-03-02T09:00:01Z"),
        oximeter(12, status="entered-in-error"),
        oximeter(12, effectiveDateTime="2026-03-02T13:00:00Z"),
    ],
)
def test_a_status_that_does_not_speak_of_the_reading_leaves_it(status: dict[str, Any]) -> None:
    (series,) = read(status, saturation()).device_series
    assert series.values.tolist() == [97]


@pytest.mark.parametrize("word", ["invalid", "questionable", "test-data", "calibration-ongoing"])
def test_a_measurement_status_that_forbids_use_leaves_out_its_reading(word: str) -> None:
    system = "http://hl7.org/fhir/uv/pocd/CodeSystem/measurement-status"
    record = read(saturation(interpretation=[concept(word, system=system)]))
    assert left_out(record) == [
        ("quality", f"Observation/sat: oxygen_saturation is {word}, says its device")
    ]
    alarm = saturation(interpretation=[concept("in-alarm", system=system)])
    assert len(read(alarm).device_series) == 1


QUALITY = "http://hl7.org/fhir/uv/phd/CodeSystem/measurement-status"


def test_what_a_device_says_of_a_panel_holds_for_its_components() -> None:
    record = read({**BLOOD_PRESSURE, "interpretation": [concept("invalid", system=QUALITY)]})
    assert values(record) == []
    assert left_out(record) == [
        ("quality", "Observation/bp: diastolic_blood_pressure is invalid, says its device"),
        ("quality", "Observation/bp: systolic_blood_pressure is invalid, says its device"),
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"interpretation": [concept("demo-data", system=QUALITY)]},
            ("quality", "Observation/s1: heart_rate is demo-data, says its device"),
        ),
        (
            {"dataAbsentReason": concept("error")},
            ("absent", "Observation/s1: heart_rate has a dataAbsentReason beside its samples"),
        ),
    ],
)
def test_samples_that_their_device_disowns_are_left_out(
    changes: dict[str, Any], line: tuple[str, str]
) -> None:
    record = read({**sampled(), **changes})
    assert record.device_series == ()
    assert left_out(record) == [line]


def test_interlaced_samples_with_a_reason_of_absence_are_left_out() -> None:
    pressures = {
        **sampled("120 80 121 81", code="85354-9", dimensions=2),
        "component": [{"code": concept("8480-6")}, {"code": concept("8462-4")}],
        "dataAbsentReason": concept("error"),
    }
    pressures["valueSampledData"]["origin"] = quantity(0, "mm[Hg]")
    record = read(pressures)
    assert record.device_series == ()
    assert {reason for reason, _ in left_out(record)} == {"absent"}


def cuff(*bits: int, **changes: Any) -> dict[str, Any]:
    """Return the status of a blood pressure monitor as personal health devices send it."""
    components = [
        {
            "code": concept(
                f"8410608.{bit}", system="http://terminology.hl7.org/CodeSystem/ASN1ToHL7"
            ),
            "valueBoolean": True,
        }
        for bit in bits
    ]
    status = observation("status", concept("8410608", system=MDC), valueQuantity=None)
    return {**status, "component": components, **changes}


CUFF_DEVICE = {"reference": "Device/cuff"}
DERIVED = [{"reference": "https://ehr.example/fhir/Observation/bp/_history/1"}]


@pytest.mark.parametrize(
    ("pressure", "status"),
    [
        (BLOOD_PRESSURE, cuff(0, 5, derivedFrom=DERIVED)),
        (
            {**BLOOD_PRESSURE, "device": CUFF_DEVICE},
            cuff(1, derivedFrom=DERIVED, effectiveDateTime="2026-03-02T09:00:30Z"),
        ),
        ({**BLOOD_PRESSURE, "device": CUFF_DEVICE}, cuff(5, device=CUFF_DEVICE)),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_a_pressure_under_a_faulty_cuff_status_is_left_out(
    pressure: dict[str, Any], status: dict[str, Any], order: int
) -> None:
    record = read(*[pressure, status][::order])
    assert (values(record), record.device_series) == ([], ())
    assert left_out(record) == [
        (
            "quality",
            f"Observation/bp: {name}_blood_pressure is no measurement, "
            "says the blood pressure monitor's status",
        )
        for name in ("diastolic", "systolic")
    ]


@pytest.mark.parametrize(
    "status",
    [
        cuff(2, 3, 4, derivedFrom=DERIVED),  # what it says of the pulse is the patient's
        cuff(0, derivedFrom=[{"reference": "Observation/other"}]),
        cuff(0, derivedFrom=DERIVED, status="entered-in-error"),
    ],
)
def test_a_cuff_status_that_leaves_the_pressure_standing(status: dict[str, Any]) -> None:
    assert len(values(read(BLOOD_PRESSURE, status))) == 2


def test_interlaced_samples_are_read_where_components_name_the_dimensions() -> None:
    pressures = {
        **sampled("120 80 121 81 122 82", code="85354-9", dimensions=2),
        "component": [{"code": concept("8480-6")}, {"code": concept("8462-4")}],
    }
    pressures["valueSampledData"]["origin"] = quantity(0, "mm[Hg]")
    series = {one.channel: one.values.tolist() for one in read(pressures).device_series}
    assert series == {
        "systolic_blood_pressure": [120, 121, 122],
        "diastolic_blood_pressure": [80, 81, 82],
    }


@pytest.mark.parametrize(
    ("data", "components", "sentence"),
    [
        ("120 80 121", ["8480-6", "8462-4"], "not whole rows of dimensions"),
        ("120 80", ["8480-6"], "several dimensions that its components do not name"),
    ],
)
def test_interlaced_samples_that_stay_ambiguous_are_left_out(
    data: str, components: list[str], sentence: str
) -> None:
    resource = {
        **sampled(data, code="85354-9", dimensions=2),
        "component": [{"code": concept(code)} for code in components],
    }
    record = read(resource)
    assert record.device_series == ()
    assert sentence in left_out(record)[0][1]
    alone = read(sampled("80 81", dimensions=2))
    assert "has SampledData of several dimensions" in left_out(alone)[0][1]


def test_a_comma_decimal_and_typographic_comparators() -> None:
    assert one(observation(value={"value": "80,5", "unit": "/min"}))[1] == 80.5
    assert values(read(observation(value={"value": "1,234", "unit": "/min"}))) == []
    bound = read(observation(value={"value": 80, "comparator": "≥", "unit": "/min"}))
    assert values(bound) == [("heart_rate", 80)]
    assert "as a bound (>=)" in bound.report.remarks[0].sentence


def test_a_component_without_value_costs_only_itself() -> None:
    absent = {"code": concept("8462-4"), "dataAbsentReason": concept("unknown")}
    panel = {**BLOOD_PRESSURE, "component": [BLOOD_PRESSURE["component"][0], absent]}
    assert values(read(panel)) == [("systolic_blood_pressure", 120)]
