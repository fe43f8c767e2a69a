"""Codes: which variable a CodeableConcept names, and the table that says so."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from fhir_adapters import codes
from fhir_adapters.answers import parse_answers
from fhir_adapters.codes import (
    VariableTableError,
    load_variables,
    parse_variables,
    standard_codes,
    variable,
    variable_for,
)
from fhir_adapters.concept_map import codes_with_concept_map, read_concept_map
from fhir_adapters.record_builder import build_record
from fhir_adapters.unit_table import UNITS
from fhir_adapters.units import is_plain
from tests.fhir_adapters.reading_world import (
    LOINC,
    MDC,
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

HEADER = "name,display,unit,plausible_low,plausible_high,modality,organ_system,loinc"
ROW = "pulse,Pulse,/min,10,300,both,cardiovascular,1-1"

PHYSIONET_2012 = {
    "albumin",
    "alkaline_phosphatase",
    "alanine_aminotransferase",
    "aspartate_aminotransferase",
    "bilirubin",
    "blood_urea_nitrogen",
    "cholesterol",
    "creatinine",
    "diastolic_blood_pressure",
    "arterial_diastolic_blood_pressure",
    "fraction_inspired_oxygen",
    "glasgow_coma_scale",
    "glucose",
    "bicarbonate",
    "hematocrit",
    "heart_rate",
    "potassium",
    "lactate",
    "magnesium",
    "mean_blood_pressure",
    "arterial_mean_blood_pressure",
    "mechanical_ventilation",
    "sodium",
    "arterial_carbon_dioxide_pressure",
    "arterial_oxygen_pressure",
    "arterial_ph",
    "platelets",
    "respiratory_rate",
    "arterial_oxygen_saturation",
    "systolic_blood_pressure",
    "arterial_systolic_blood_pressure",
    "body_temperature",
    "troponin_i",
    "troponin_t",
    "urine_output",
    "white_blood_cells",
    "body_weight",
}
WEARABLE = {
    "heart_rate",
    "rr_interval",
    "heart_rate_variability",
    "oxygen_saturation",
    "respiratory_rate",
    "skin_temperature",
    "core_temperature",
    "step_count",
    "activity_level",
    "sleep_duration",
    "glucose",
    "qt_interval",
}


def test_table_holds_the_variables_of_physionet_2012_and_the_wearable_channels() -> None:
    names = set(load_variables())
    assert len(PHYSIONET_2012) == 37
    assert names >= PHYSIONET_2012 | WEARABLE
    assert all(load_variables()[name].has_channel for name in WEARABLE)


def test_every_canonical_and_alternative_unit_can_be_converted() -> None:
    for row in load_variables().values():
        for unit in (row.unit, *row.other_units):
            assert unit in UNITS or is_plain(row), (row.name, unit)


def test_table_is_read_once_and_under_both_names() -> None:
    assert codes.VARIABLES is load_variables()
    assert variable("lactate") is load_variables()["lactate"]
    with pytest.raises(KeyError, match="no_such"):
        variable("no_such")
    with pytest.raises(AttributeError, match="NO_SUCH"):
        codes.__getattr__("NO_SUCH")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (f"{ROW}\n{ROW}", r"row 'pulse', column 'name': occurs twice"),
        (f"{ROW}\nbeat,Beat,/min,1,2,both,x,1-1", r"row 'beat', column 'http://loinc.org': code"),
        ("pulse,Pulse,/min,10,300,nurse,x,", r"row 'pulse', column 'modality': 'nurse' is not"),
        ("pulse,Pulse,/min,300,10,both,x,", r"row 'pulse', column 'plausible_high': low and high"),
        ("pulse,Pulse,/min,ten,300,both,x,", r"column 'plausible_low': 'ten' is not a number"),
        ("pulse,Pulse,/min,nan,300,both,x,", r"column 'plausible_low': 'nan' is not a number"),
        ("pulse,Pulse,/min,10,,both,x,", r"column 'plausible_high': low and high"),
        ("pulse,Pulse,,10,300,both,x,", r"column 'unit': is empty"),
        ("the pulse,Pulse,/min,10,300,both,x,", r"column 'name': is not a lower-case identifier"),
    ],
)
def test_faulty_table_is_refused_with_row_and_column(table: str, message: str) -> None:
    with pytest.raises(VariableTableError, match=message):
        parse_variables(f"{HEADER}\n{table}")


def test_unknown_broader_variable_is_refused() -> None:
    with pytest.raises(VariableTableError, match="column 'broader': there is no variable 'x'"):
        parse_variables(f"{HEADER},broader\n{ROW},x")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("no_such,,yes,1,", "line 2: no variable 'no_such'"),
        ("gcs_eye,,yes,9,", "line 2: 9.0 is not plausible"),
        ("gcs_eye,,a,1,\ngcs_eye,,a,2,", "line 3: 'a' occurs twice"),
    ],
)
def test_faulty_answers_are_refused_with_their_line(row: str, message: str) -> None:
    with pytest.raises(VariableTableError, match=message):
        parse_answers(f"variable,system,code,value,display\n{row}")


def test_epic_pulse_is_read_past_its_panel_code() -> None:
    assert values(read(observation(code=concept("8716-3", "8867-4")))) == [("heart_rate", 80)]


def test_code_counts_with_its_system_only() -> None:
    """Codings of other systems reuse LOINC's codes, for example FinLOINC's OID at Epic."""
    foreign = concept("8480-6", system="urn:oid:1.2.246.537.6.96")
    record = read(observation(code=foreign))
    assert values(record) == []
    assert left_out(record)[0][0] == "code"


def test_several_codes_of_one_variable_are_one_reading() -> None:
    weight = observation(value=quantity(80, "kg"), code=concept("29463-7", "3141-9"))
    assert values(read(weight)) == [("body_weight", 80)]


def test_more_specific_variable_wins_over_its_broader_one() -> None:
    for order in (("8480-6", "76215-3"), ("76215-3", "8480-6")):
        named = variable_for(concept(*order)["coding"])
        assert named is variable("arterial_systolic_blood_pressure")


def test_codes_of_unrelated_variables_are_ambiguous() -> None:
    record = read(observation(code=concept("8867-4", "9279-1")))
    assert values(record) == []
    assert left_out(record) == [
        ("code", "Observation/o1: its codes name several variables: heart_rate, respiratory_rate")
    ]
    assert variable_for(concept("8867-4", "9279-1")["coding"]) is None


def test_personal_health_device_codes_come_first_or_alone() -> None:
    both = {"coding": [{"system": MDC, "code": "150456"}, {"system": LOINC, "code": "2708-6"}]}
    assert variable_for(both["coding"]) is variable("oxygen_saturation")
    assert variable_for(both["coding"][:1]) is variable("oxygen_saturation")


@pytest.mark.parametrize(
    "system", ["http://loinc.org/", "https://loinc.org", "urn:oid:2.16.840.1.113883.6.1"]
)
def test_spellings_of_a_code_system_are_the_same_system(system: str) -> None:
    assert variable_for([{"system": system, "code": "8867-4"}]) is variable("heart_rate")


def test_variable_names_are_codes_of_our_own_system() -> None:
    coding = [{"system": codes.VARIABLE_SYSTEM, "code": "mechanical_ventilation"}]
    assert variable_for(coding) is variable("mechanical_ventilation")


@pytest.mark.parametrize(
    "codings",
    [None, 5, "8867-4", {}, [5, None], [{"system": [], "code": {}}], [{"code": "8867-4"}]],
)
def test_codings_of_any_other_shape_name_nothing(codings: object) -> None:
    assert variable_for(codings) is None


def test_junk_beside_a_coding_does_not_hide_it() -> None:
    coding = {"system": LOINC, "code": "8867-4"}
    assert variable_for([None, {"system": []}, coding, coding]) is variable("heart_rate")


def test_unmapped_codes_are_reported_once_a_code() -> None:
    record = read(*(observation(f"o{n}", "72166-2") for n in range(3)))
    assert left_out(record) == [
        ("code", "Observation/o0 and 2 more: code 'loinc.org|72166-2' is no variable of the table")
    ]


def concept_map(relation: str = "equivalent", target: str = "8867-4", **changes: object) -> dict:
    element = {"code": "HR1", "target": [{"code": target, "equivalence": relation}]}
    group = {"source": "urn:site", "target": LOINC, "element": [element], **changes}
    return {"resourceType": "ConceptMap", "group": [group]}


def test_site_codes_are_read_through_a_concept_map(tmp_path) -> None:
    path = tmp_path / "site.json"
    path.write_text(json.dumps(concept_map()))
    local = observation(code=concept("HR1", system="urn:site"))
    assert values(read(local)) == []
    record = build_record(chart(local), PREDICTION_TIME, codes=read_concept_map(path))
    assert values(record) == [("heart_rate", 80)]


def test_r5_concept_map_with_versioned_systems_is_read() -> None:
    element = {
        "code": "HR1",
        "target": [{"code": "8867-4", "relationship": "source-is-narrower-than-target"}],
    }
    group = {"source": "urn:site|3", "target": f"{LOINC}|2.80", "element": [element]}
    table = codes_with_concept_map({"resourceType": "ConceptMap", "group": [group]}, "map")
    assert table.variable_for([{"system": "urn:site", "code": "HR1"}]) is variable("heart_rate")


def test_unmatched_concepts_of_a_map_are_skipped() -> None:
    table = codes_with_concept_map(concept_map("unmatched"), "map")
    assert table.variable_for([{"system": "urn:site", "code": "HR1"}]) is None


@pytest.mark.parametrize(
    ("faulty", "message"),
    [
        ({"resourceType": "ValueSet"}, "map is no ConceptMap"),
        (concept_map("narrower"), r"group\[0\].element\[0\]: relation 'narrower' is not accepted"),
        (concept_map(target="1-1"), r"group\[0\].element\[0\]: http://loinc.org\|1-1 is no code"),
        (concept_map(source=""), r"group\[0\]: 'source' must be a text"),
        (concept_map(element=[5]), r"group\[0\]: 'element' must be a list of objects"),
        ({"resourceType": "ConceptMap"}, "map: 'group' must be a list of objects"),
        (
            {
                "resourceType": "ConceptMap",
                "group": [
                    {
                        **concept_map()["group"][0],
                        "source": LOINC,
                        "element": [
                            {
                                "code": "9279-1",
                                "target": [{"code": "8867-4", "equivalence": "equal"}],
                            }
                        ],
                    }
                ],
            },
            r"map: http://loinc.org\|9279-1 already means respiratory_rate, not heart_rate",
        ),
    ],
)
def test_faulty_concept_map_is_refused_with_its_path(faulty: dict, message: str) -> None:
    with pytest.raises(VariableTableError, match=message):
        codes_with_concept_map(faulty, "map")


def test_concept_map_with_two_meanings_of_a_code_is_refused() -> None:
    mapped = concept_map()
    mapped["group"].append(concept_map(target="9279-1")["group"][0])
    with pytest.raises(VariableTableError, match="HR1 is mapped to two variables"):
        codes_with_concept_map(mapped, "map")


def test_unreadable_concept_map_file_is_refused(tmp_path) -> None:
    path = tmp_path / "site.json"
    path.write_text("{")
    with pytest.raises(VariableTableError, match=r"site.json cannot be read as JSON"):
        read_concept_map(path)


@pytest.mark.parametrize(
    ("element", "value", "expected"),
    [
        ("valueBoolean", True, 1.0),
        ("valueBoolean", False, 0.0),
        ("valueInteger", 1, 1.0),
        ("valueString", "Yes", 1.0),
        ("valueQuantity", quantity(0, "1"), 0.0),
        ("valueCodeableConcept", concept("LA33-6"), 1.0),
        ("valueCodeableConcept", concept("40617009", system="http://snomed.info/sct"), 1.0),
        ("valueCodeableConcept", {"text": "not ventilated"}, 0.0),
    ],
)
def test_mechanical_ventilation_is_read_from_every_kind_of_answer(
    element: str, value: object, expected: float
) -> None:
    code = concept("mechanical_ventilation", system=codes.VARIABLE_SYSTEM)
    ventilation = observation(code=code, **{"valueQuantity": None, element: value})
    assert values(read(ventilation)) == [("mechanical_ventilation", expected)]


def test_glasgow_coma_scale_answers_are_points() -> None:
    eyes = valued("valueCodeableConcept", concept("LA6555-2"), code="9267-6")
    assert values(read(eyes)) == [("gcs_eye", 3)]


def test_ordinal_value_of_an_unknown_answer_counts() -> None:
    url = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
    coding = {"system": "urn:x", "code": "a", "extension": [{"url": url, "valueDecimal": 2}]}
    assert values(read(valued("valueCodeableConcept", {"coding": [coding]}, code="9267-6"))) == [
        ("gcs_eye", 2)
    ]


def test_unknown_answer_is_left_out() -> None:
    record = read(valued("valueCodeableConcept", concept("LA0-0"), code="9267-6"))
    assert left_out(record) == [
        ("value", "Observation/o1: gcs_eye has a coded answer without a number in the table")
    ]


def test_table_codes_are_listed_once_in_the_file() -> None:
    text = files("fhir_adapters").joinpath("variables.csv").read_text(encoding="utf-8")
    assert parse_variables(text).keys() == load_variables().keys()
    assert standard_codes().lookup(LOINC, "8867-4") is variable("heart_rate")
