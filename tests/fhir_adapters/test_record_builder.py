"""The record as a whole: whose it is, which FHIR version, demographics, the stay, the report."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from fhir_adapters.chart import Chart
from fhir_adapters.errors import NoPatient, UnsupportedFhirVersion, WrongPatient
from fhir_adapters.record_builder import build_record
from tests.fhir_adapters.reading_world import (
    BLOOD_PRESSURE,
    ENCOUNTER,
    LACTATE,
    ME,
    PATIENT,
    PREDICTION_TIME,
    chart,
    concept,
    left_out,
    observation,
    quantity,
    read,
    sampled,
    values,
)

OTHER = {"reference": "Patient/p2"}
NOTE: dict[str, Any] = {
    "resourceType": "DocumentReference",
    "id": "n1",
    "status": "current",
    "type": {"text": "Progress note"},
    "subject": ME,
    "date": "2026-03-02T08:00:00Z",
    "content": [{"attachment": {"contentType": "text/plain", "url": "Binary/b1"}}],
}
BINARY = {
    "resourceType": "Binary",
    "id": "b1",
    "contentType": "text/plain",
    "data": "SGFzIGZldmVyIGFuZCBjaGlsbHMu",  # "Has fever and chills."
}


def patient(**changes: Any) -> dict[str, Any]:
    """Return the patient with other elements."""
    return {**PATIENT, **changes}


def read_patient(**changes: Any) -> Any:
    """Build the record of a chart that holds the changed patient only."""
    return build_record(Chart("p1", (patient(**changes),)), PREDICTION_TIME)


def test_whole_chart_becomes_a_record() -> None:
    record = read(LACTATE, BLOOD_PRESSURE, sampled(), ENCOUNTER, NOTE, BINARY, encounter_id="e1")
    assert record.prediction_time == PREDICTION_TIME
    assert len(record.measurements) == 3
    assert [one.channel for one in record.device_series] == ["heart_rate"]
    assert [s.text for note in record.notes for s in note.sentences] == ["Has fever and chills."]
    assert record.stay is not None
    assert record.report.left_out == ()
    assert record.report.resources_read == {
        "Patient": 1,
        "Observation": 3,
        "Encounter": 1,
        "DocumentReference": 1,
        "Binary": 1,
    }
    assert record.report.values_used == {"structured": 3, "note": 1, "device": 3}


def test_record_does_not_depend_on_the_order_of_the_chart() -> None:
    parts = [LACTATE, BLOOD_PRESSURE, ENCOUNTER, NOTE, BINARY]
    parts += [observation(f"o{n}", status=("final", "x", "cancelled")[n % 3]) for n in range(9)]
    expected = read(*parts)
    for seed in range(5):
        Random(seed).shuffle(parts)
        assert read(*parts) == expected


def test_prediction_time_of_any_zone_becomes_utc() -> None:
    at = datetime.fromisoformat("2026-03-02T07:00:00-05:00")
    record = build_record(chart(observation()), at)
    assert record.prediction_time == PREDICTION_TIME
    assert record.prediction_time.tzinfo is UTC


def test_completeness_warnings_of_the_chart_are_kept() -> None:
    given = read(observation()).report.left_out
    assert given == ()
    line = read(5).report.left_out[0]
    record = read(incomplete=(line,))
    assert record.report.incomplete == (line,)


# Whose chart it is


def test_chart_without_patient_is_refused() -> None:
    with pytest.raises(NoPatient, match="the chart holds no Patient/p1"):
        build_record(Chart("p1", (observation(),)), PREDICTION_TIME)


def test_patient_id_may_be_given_as_reference() -> None:
    record = build_record(Chart("Patient/p1", (PATIENT,)), PREDICTION_TIME)
    assert record.demographics.source == "Patient/p1"


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/p2",
        "https://ehr.example/fhir/Patient/p2",
        "https://ehr.example/fhir/Patient/p2/_history/3",
        "Patient/p2/_history/3",
        "urn:uuid:9f0c",
        " Patient/p2 ",
        "Patient/P1",
    ],
)
@pytest.mark.parametrize(
    "resource",
    [
        observation(),
        observation(status="entered-in-error"),
        observation(code="0-0"),
        ENCOUNTER,
        NOTE,
        {"resourceType": "DiagnosticReport", "id": "d"},
        {"resourceType": "Condition", "id": "c"},
    ],
    ids=lambda resource: resource["resourceType"],
)
def test_another_patients_resource_refuses_the_chart(
    resource: dict[str, Any], reference: str
) -> None:
    foreign = {**resource, "subject": {"reference": reference}}
    with pytest.raises(WrongPatient) as refusal:
        read(observation("mine"), foreign)
    assert refusal.value.source == f"{resource['resourceType']}/{resource['id']}"
    assert "belongs to another patient than Patient/p1" in str(refusal.value)


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Device", "id": "d", "patient": OTHER},
        {"resourceType": "Binary", "id": "b", "securityContext": OTHER},
        {"resourceType": "Account", "id": "a", "subject": [ME, OTHER]},
        {"resourceType": "Composition", "id": "c", "subject": [OTHER]},
        {"resourceType": "Task", "id": "t", "for": OTHER},
    ],
    ids=lambda resource: resource["resourceType"],
)
def test_another_patient_in_any_holder_refuses_the_chart(resource: dict[str, Any]) -> None:
    with pytest.raises(WrongPatient):
        read(resource)


def test_second_patient_refuses_the_chart() -> None:
    with pytest.raises(WrongPatient, match="Patient/p2 is not the patient of this chart"):
        read(patient(id="p2"))


def test_alias_of_another_patient_refuses_the_chart() -> None:
    mine = observation(subject={"reference": "urn:uuid:9f0c"})
    with pytest.raises(WrongPatient):
        read(mine, aliases={"urn:uuid:9f0c": "Patient/p2"})


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Patient/p1"},
        {"reference": "Patient/p1/_history/4"},
        {"reference": "https://ehr.example/fhir/Patient/p1"},
        {"reference": "http://internal-proxy/r4/Patient/p1"},
        {"reference": "urn:uuid:p1"},
        {"identifier": {"system": "urn:oid:1.2.3", "value": "MRN-7"}},
    ],
)
def test_references_to_the_patient_in_every_form(subject: dict[str, Any]) -> None:
    assert values(read(observation(subject=subject))) == [("heart_rate", 80)]


@pytest.mark.parametrize(
    "subject",
    [
        None,
        {},
        "Patient/p1",
        [],
        {"display": "Jane"},
        {"reference": "#inside"},
        {"reference": "Patient?identifier=MRN-7"},
        {"reference": "p1"},
        {"reference": ""},
        {"reference": 5},
        {"reference": "Group/7"},
        {"reference": "Location/ward"},
        {"identifier": {"system": "urn:oid:1.2.3", "value": "MRN-8"}},
        {"identifier": {"value": "MRN-7"}},
    ],
)
def test_what_cannot_be_tied_to_the_patient_is_left_out(subject: Any) -> None:
    record = read(observation(subject=subject), {**ENCOUNTER, "subject": subject})
    assert values(record) == []
    assert record.stay is None
    assert [reason for reason, _ in left_out(record)] == ["subject", "subject"]


def test_what_belongs_to_another_encounter_is_the_patients_history() -> None:
    elsewhere = observation(encounter={"reference": "Encounter/e0"})
    assert values(read(elsewhere, ENCOUNTER, encounter_id="e1")) == [("heart_rate", 80)]


def test_encounter_of_another_patient_is_refused() -> None:
    with pytest.raises(WrongPatient):
        read({**ENCOUNTER, "subject": OTHER}, encounter_id="e1")


# FHIR versions


@pytest.mark.parametrize(
    ("resource", "shape"),
    [
        ({**observation(), "comments": "DSTU2"}, "element 'comments'"),
        ({**observation(), "comment": "STU3"}, "element 'comment'"),
        ({**observation(), "context": {"reference": "Encounter/e"}}, "element 'context'"),
        ({**observation(), "related": []}, "element 'related'"),
        ({**observation(), "category": concept("vital-signs")}, "a single object as 'category'"),
        ({**ENCOUNTER, "class": "inpatient"}, "a plain string as 'class'"),
        ({**ENCOUNTER, "reason": [concept("1")]}, "codings in 'reason'"),
        ({**ENCOUNTER, "indication": []}, "element 'indication'"),
        ({**NOTE, "indexed": "2016-01-01"}, "element 'indexed'"),
        ({**NOTE, "class": concept("1")}, "element 'class'"),
        ({"resourceType": "DiagnosticReport", "id": "d", "image": []}, "element 'image'"),
        ({"resourceType": "MedicationOrder", "id": "m"}, "resource type MedicationOrder"),
        ({"resourceType": "DeviceComponent", "id": "m"}, "resource type DeviceComponent"),
    ],
)
def test_dstu2_and_stu3_shapes_are_refused(resource: dict[str, Any], shape: str) -> None:
    with pytest.raises(UnsupportedFhirVersion) as refusal:
        read(resource)
    said = str(refusal.value)
    assert said.startswith(f"{resource['resourceType']}/{resource['id']}: {shape} belongs to")
    assert "R4, R4B and R5 are read" in said


def test_old_patient_is_refused() -> None:
    with pytest.raises(UnsupportedFhirVersion, match="element 'animal'"):
        read_patient(animal={})


def test_r5_shapes_are_read() -> None:
    stay = {
        **ENCOUNTER,
        "class": [concept("IMP")],
        "actualPeriod": {"start": "2026-03-01T08:00:00Z"},
        "reason": [{"use": [concept("AD")], "value": [{"concept": concept("1")}]}],
        "serviceType": [{"concept": {"text": "Surgical ICU"}}],
    }
    del stay["period"]
    pulse = observation(
        effectiveDateTime=None,
        effectiveInstant="2026-03-02T09:00:00Z",
        triggeredBy=[{"observation": {"reference": "Observation/x"}, "type": "reflex"}],
    )
    record = read(stay, pulse)
    assert values(record) == [("heart_rate", 80)]
    assert record.stay is not None
    assert (record.stay.encounter_class, record.stay.unit_type) == ("IMP", "surgical icu")
    assert record.stay.start == datetime(2026, 3, 1, 8, tzinfo=UTC)


# Demographics


@pytest.mark.parametrize(
    ("birth_date", "age_years"),
    [
        ("1956-03-02", 70.0),
        ("1956-03", 69.96),
        ("1956", 69.67),
        ("2026-03-02", 0.0),
        ("1956-03-02T00:00:00Z", 70.0),
    ],
)
def test_age_at_prediction_time(birth_date: str, age_years: float) -> None:
    age = read_patient(birthDate=birth_date).demographics.age_years
    assert age == pytest.approx(age_years, abs=0.01)


@pytest.mark.parametrize("birth_date", ["1800-01-01", "2030-01-01", "1956-13-01", "old", 1956, []])
def test_birth_date_without_sense_gives_no_age(birth_date: Any) -> None:
    record = read_patient(birthDate=birth_date)
    assert record.demographics.age_years is None
    assert len(record.report.left_out) == 1


def test_absent_demographics_are_absent() -> None:
    record = build_record(Chart("p1", ({"resourceType": "Patient", "id": "p1"},)), PREDICTION_TIME)
    assert (record.demographics.age_years, record.demographics.sex) == (None, "unknown")
    assert record.report.left_out == ()


@pytest.mark.parametrize(
    ("gender", "sex", "reported"),
    [
        ("female", "female", False),
        ("MALE", "male", False),
        ("other", "other", False),
        ("unknown", "unknown", False),
        ("F", "unknown", True),
        (5, "unknown", True),
    ],
)
def test_administrative_sex(gender: Any, sex: str, reported: bool) -> None:
    record = read_patient(gender=gender)
    assert record.demographics.sex == sex
    assert bool(record.report.left_out) is reported


@pytest.mark.parametrize(
    ("changes", "deceased"),
    [
        ({}, False),
        ({"deceasedBoolean": False}, False),
        ({"deceasedBoolean": True}, True),
        ({"deceasedDateTime": "2026-03-02T12:00:00Z"}, True),
        ({"deceasedDateTime": "2026-03-02T12:00:01Z"}, False),
        ({"deceasedDateTime": "2026-03-02T13:30:00+02:00"}, True),
        ({"deceasedDateTime": "2026-03-02T11:30:00-02:00"}, False),
        ({"deceasedDateTime": "2026-03-02T23:00:00"}, True),  # 09:00 UTC in the first time zone
        ({"deceasedDateTime": "2026-03-01"}, True),
        ({"deceasedDateTime": "2026-03-02"}, True),
        ({"deceasedDateTime": "2026-03-03"}, True),  # which has begun in the first time zones
        ({"deceasedDateTime": "2026-03-04"}, False),
        ({"deceasedDateTime": "2026-03"}, True),
        ({"deceasedDateTime": "2026"}, True),
        ({"deceasedDateTime": "2027"}, False),
        ({"deceasedDateTime": "last night"}, True),
        ({"deceasedDateTime": None}, False),
    ],
)
def test_a_death_counts_for_a_live_prediction_only(changes: dict[str, Any], deceased: bool) -> None:
    """Of a past prediction time it is the outcome."""
    chart = Chart("p1", (patient(**changes),))
    assert build_record(chart, PREDICTION_TIME, live=True).demographics.deceased is deceased
    assert build_record(chart, PREDICTION_TIME).demographics.deceased is False


def test_merged_patient_is_a_completeness_warning() -> None:
    record = read_patient(link=[{"type": "replaced-by", "other": OTHER}, 5])
    assert [line.reason for line in record.report.incomplete] == ["merged"]


# The stay


def test_stay_is_the_encounter_of_the_request() -> None:
    earlier = {**ENCOUNTER, "id": "e0", "period": {"start": "2020-01-01", "end": "2020-01-03"}}
    record = read(ENCOUNTER, earlier, encounter_id="e0")
    assert record.stay is not None
    assert record.stay.source == "Encounter/e0"
    assert [line.reason for line in record.report.remarks] == ["ended"]


def test_stay_without_request_is_the_running_inpatient_encounter() -> None:
    visit = {**ENCOUNTER, "id": "v", "class": {"code": "AMB"}}
    visit["period"] = {"start": "2026-03-02T08:00:00Z"}
    ended = {**ENCOUNTER, "id": "x", "period": {"start": "2026-02-20", "end": "2026-02-25"}}
    earlier = {**ENCOUNTER, "id": "y", "period": {"start": "2026-02-01"}}
    record = read(visit, ENCOUNTER, ended, earlier)
    assert record.stay is not None
    assert (record.stay.source, record.stay.encounter_class) == ("Encounter/e1", "IMP")
    assert record.stay.start == datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert record.stay.unit_type == "medical icu"


def test_missing_encounter_of_the_request_is_a_completeness_warning() -> None:
    record = read(encounter_id="e9")
    assert record.stay is None
    assert [line.sentence for line in record.report.incomplete] == [
        "Encounter/e9: the encounter of the request cannot be used"
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "entered-in-error"}, "status"),
        ({"status": "cancelled"}, "status"),
        ({"status": "planned"}, "status"),
        ({"status": 5}, "status"),
        ({"modifierExtension": [{"url": "urn:x"}]}, "modifier"),
        ({"period": {"start": "2026-03-02T13:00:00Z"}}, "future"),
        ({"period": {"start": "2026-03-04"}}, "future"),
    ],
)
def test_encounters_that_do_not_count(changes: dict[str, Any], reason: str) -> None:
    record = read({**ENCOUNTER, **changes})
    assert record.stay is None
    assert [reason for reason, _ in left_out(record)] == [reason]


@pytest.mark.parametrize("start", ["2026-03-02", "2026-03", "2026"])
def test_admission_known_by_its_day_only_is_no_later_than_the_prediction(start: str) -> None:
    record = read({**ENCOUNTER, "period": {"start": start}})
    assert record.stay is not None
    assert record.stay.start == PREDICTION_TIME


def test_end_of_the_stay_is_not_read() -> None:
    """It is not known at prediction time, and would tell the outcome."""
    ended = {**ENCOUNTER["period"], "end": "2026-03-09T00:00:00Z"}
    assert read({**ENCOUNTER, "period": ended, "status": "finished"}).stay == read(ENCOUNTER).stay


@pytest.mark.parametrize("status", ["finished", "completed", "discharged"])
def test_a_status_that_ends_the_stay_counts_for_a_live_prediction_only(status: str) -> None:
    """Retrospective data hold finished encounters as a rule; the status is that of today."""
    over = {**ENCOUNTER, "status": status}
    named, alone = chart(over, encounter_id="e1"), chart(over)
    live = build_record(named, PREDICTION_TIME, live=True)
    assert [line.reason for line in live.report.remarks] == ["ended"]
    assert live.stay is not None
    assert build_record(alone, PREDICTION_TIME, live=True).stay is None
    for one in (named, alone):
        past = build_record(one, PREDICTION_TIME)
        assert (past.stay, past.report.remarks) == (live.stay, ())


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_a_named_encounter_that_took_no_place_is_missing(status: str) -> None:
    over = chart({**ENCOUNTER, "status": status}, encounter_id="e1")
    record = build_record(over, PREDICTION_TIME, live=True)
    assert record.stay is None
    assert [line.reason for line in record.report.incomplete] == ["missing"]


@pytest.mark.parametrize(
    ("text", "unit_type"),
    [
        ("Coronary Care Unit", "coronary care unit"),
        ("CCU-CTICU", "coronary care and cardiothoracic icu"),
        ("Cardiac Surgery Recovery Unit", "cardiac surgery recovery unit"),
        ("Med-Surg ICU", "medical-surgical icu"),
        ("MICU 4 West", "medical icu"),
        ("SICU", "surgical icu"),
        ("Neuro Stepdown", "step-down unit"),
        ("Neuro ICU", "neurological icu"),
        ("Emergency Department", "emergency department"),
        ("Intensive Care", "icu"),
        ("Internal Medicine", ""),
        ("Medical education", ""),
    ],
)
def test_unit_type_is_told_from_the_words_of_the_service(text: str, unit_type: str) -> None:
    record = read({**ENCOUNTER, "serviceType": {"coding": [{"display": text}]}})
    assert record.stay is not None
    assert record.stay.unit_type == unit_type


def test_unit_type_is_that_of_the_location_at_prediction_time() -> None:
    def at(name: str, start: str) -> dict[str, Any]:
        return {"location": {"display": name}, "period": {"start": start}}

    moves = [
        at("MICU", "2026-03-02T10:00:00Z"),
        at("SICU", "2026-03-02T13:00:00Z"),
        at("Emergency", "2026-03-01T08:00:00Z"),
        {"location": {"display": 5}},
        7,
    ]
    record = read({**ENCOUNTER, "location": moves})
    assert record.stay is not None
    assert record.stay.unit_type == "medical icu"


# Resources inside resources


def test_contained_results_of_a_report_are_read_as_the_patients() -> None:
    inner = {**observation("r"), "subject": None}
    del inner["subject"]
    report = {
        "resourceType": "DiagnosticReport",
        "id": "d",
        "status": "final",
        "subject": ME,
        "issued": "2026-03-02T09:00:00Z",
        "contained": [inner, 5, {"resourceType": "Practitioner"}],
    }
    record = read(report)
    assert [m.source for m in record.measurements] == ["DiagnosticReport/d#r"]
    assert read({**report, "status": "entered-in-error"}).measurements == ()


REFUSALS: list[dict[str, Any]] = [
    {"status": "Entered-In-Error"},
    {"status": "retracted"},
    {"modifierExtension": [{"url": "urn:x:negated", "valueBoolean": True}]},
    {"implicitRules": "urn:x"},
]


@pytest.mark.parametrize(
    "outer",
    [
        *({"resourceType": "DiagnosticReport", "status": "final", **one} for one in REFUSALS),
        *({"resourceType": "DocumentReference", "status": "current", **one} for one in REFUSALS),
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "docStatus": "entered-in-error",
        },
        *({**observation("panel", "24323-8"), **one} for one in REFUSALS),
        observation("panel", "24323-8", focus=[OTHER]),
    ],
)
def test_results_inside_what_may_not_be_used_are_left_out_with_it(outer: dict[str, Any]) -> None:
    potassium = observation("k", "2823-3", quantity(7.9, "mmol/L"))
    record = read({**outer, "id": "d", "subject": ME, "contained": [potassium]})
    source = f"{outer['resourceType']}/d"
    assert values(record) == []
    assert f"{source}#k: {source}, which contains it, may not be used" in [
        sentence for _, sentence in left_out(record)
    ]


def test_contained_result_about_another_patient_refuses_the_chart() -> None:
    with pytest.raises(WrongPatient):
        read(observation(contained=[observation("r", subject=OTHER)]))


def test_only_own_documents_reach_the_notes() -> None:
    record = read({**NOTE, "subject": {"display": "Jane"}}, BINARY)
    assert record.notes == ()
    assert left_out(record)[0][0] == "subject"


def test_raw_attachment_is_found_by_its_url() -> None:
    url = "https://files.example/7"
    note = {**NOTE, "content": [{"attachment": {"contentType": "text/plain", "url": url}}]}
    record = read(note, {**BINARY, "id": "fetched-1", "meta": {"source": url}})
    assert len(record.notes) == 1


# Junk


JUNK: tuple[Any, ...] = (None, True, 5, -1.5, "x", "", [], {}, [[]], [None], {"a": {}}, [5, {}])


@pytest.mark.parametrize(
    "resource",
    [
        observation(interpretation=[concept("H")], issued="2026-03-02T09:00:00Z", focus=[ME]),
        BLOOD_PRESSURE,
        sampled("80 81", lowerLimit=1, upperLimit=2),
        ENCOUNTER,
        PATIENT,
        NOTE,
        BINARY,
    ],
    ids=lambda resource: f"{resource['resourceType']}-{resource['id']}",
)
def test_junk_in_any_element_never_crashes(resource: dict[str, Any]) -> None:
    for element in resource:
        if element in ("resourceType", "id"):
            continue
        for junk in JUNK:
            changed = {**resource, element: junk}
            others = () if resource["resourceType"] == "Patient" else (PATIENT,)
            try:
                build_record(Chart("p1", (*others, changed)), PREDICTION_TIME)
            except UnsupportedFhirVersion:
                assert element == "class"


def test_one_bad_resource_never_hides_the_others() -> None:
    bad = [{**observation(f"b{n}"), "code": junk} for n, junk in enumerate(JUNK)]
    assert values(read(*bad, observation())) == [("heart_rate", 80)]


def test_values_used_are_counted_after_duplicates() -> None:
    record = read(observation("a"), observation("b"), LACTATE)
    assert record.report.values_used["structured"] == len(record.measurements) == 2
