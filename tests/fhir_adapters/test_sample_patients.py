"""The sample patients: valid R4, coherent, read back from a real FHIR server."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import requests
from fhir.resources.R4B import get_fhir_model_class

from conformance.fhir_server import FhirServer
from fhir_adapters.chart import Chart
from fhir_adapters.datasets.sample_charting import Fact, QuotedFacts
from fhir_adapters.datasets.sample_documents import as_html
from fhir_adapters.datasets.sample_patients import CASES, sample_bundles, sample_charts
from fhir_adapters.record_builder import build_record
from model.record import PatientRecord

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
NAMES = [case.name for case in CASES]

# Required bindings of R4 that fhir.resources does not check.
BINDINGS = {
    ("Bundle", "type"): {"transaction"},
    ("Condition", "resourceType"): {"Condition"},
    ("Device", "status"): {"active"},
    ("DiagnosticReport", "status"): {"final"},
    ("DocumentReference", "docStatus"): {"final"},
    ("DocumentReference", "status"): {"current"},
    ("Encounter", "status"): {"in-progress"},
    ("MedicationRequest", "intent"): {"order"},
    ("MedicationRequest", "status"): {"active"},
    ("Observation", "status"): {"final"},
    ("Patient", "gender"): {"female", "male"},
    ("ServiceRequest", "intent"): {"order"},
    ("ServiceRequest", "status"): {"active"},
}
CONDITION_BINDINGS = {"clinicalStatus": {"active"}, "verificationStatus": {"confirmed"}}


@pytest.fixture(scope="module")
def charts() -> dict[str, Chart]:
    return dict(sample_charts(NOW))


@pytest.fixture(scope="module")
def records(charts: dict[str, Chart]) -> dict[str, PatientRecord]:
    return {name: build_record(chart, NOW) for name, chart in charts.items()}


def of_type(chart: Chart, resource_type: str) -> list[dict[str, Any]]:
    return [dict(r) for r in chart.resources if r["resourceType"] == resource_type]


def values(record: PatientRecord, variable: str) -> list[float]:
    return [m.value for m in record.measurements if m.variable == variable]


def note_text(record: PatientRecord) -> str:
    return " ".join(s.text for note in record.notes for s in note.sentences)


@pytest.mark.parametrize("name", NAMES)
def test_resources_are_valid_r4(charts, name):
    for resource in charts[name].resources:
        kind = resource["resourceType"]
        get_fhir_model_class(kind).model_validate(resource)
        assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", resource["id"])
        for (bound_kind, element), codes in BINDINGS.items():
            if kind == bound_kind and element in resource:
                assert resource[element] in codes, resource["id"]
    for condition in of_type(charts[name], "Condition"):
        for element, codes in CONDITION_BINDINGS.items():
            assert condition[element]["coding"][0]["code"] in codes


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_unique_and_references_resolve(charts, name):
    resources = charts[name].resources
    ids = Counter(f"{r['resourceType']}/{r['id']}" for r in resources)
    assert max(ids.values()) == 1
    named = set(re.findall(r'"(?:reference|url)": "([A-Z]\w+/[^"]+)"', json.dumps(resources)))
    assert named <= set(ids)


@pytest.mark.parametrize("name", NAMES)
def test_every_item_is_read_and_nothing_is_left_out_but_artefacts(records, name):
    record = records[name]
    unexpected = [line for line in record.report.left_out if line.reason != "artefact"]
    assert unexpected == []
    assert record.report.incomplete == ()
    assert record.report.values_used["structured"] > 50
    assert record.report.values_used["note"] > 40
    assert record.report.values_used["device"] > 5000


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_later_than_now(charts, name):
    written = re.findall(r"20\d\d-\d\d-\d\dT[\d:]+Z", json.dumps(charts[name].resources))
    assert max(written) <= NOW.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("name", NAMES)
def test_notes_of_several_types_and_forms(charts, name):
    chart = charts[name]
    documents = of_type(chart, "DocumentReference")
    reports = of_type(chart, "DiagnosticReport")
    attachments = [d["content"][0]["attachment"] for d in documents]
    assert 4 <= len(documents) + len(reports) <= 8
    assert len({d["type"]["text"] for d in documents}) >= 3
    assert reports
    assert sum(a["contentType"] == "text/html" for a in attachments) == 1
    assert sum("url" in a for a in attachments) == len(of_type(chart, "Binary")) == 2


@pytest.mark.parametrize("name", NAMES)
def test_notes_deny_findings_and_hold_irrelevant_text(records, name):
    text = note_text(records[name])
    assert re.search(r"\b(No|Denies|denies)\b", text)
    assert re.search(r"diet|visit|insurance|Insurance|phone|tray|parakeet|knitting|password", text)
    assert "{" not in text


@pytest.mark.parametrize("name", NAMES)
def test_names_are_recognisably_made_up(charts, name):
    (patient,) = of_type(charts[name], "Patient")
    assert patient["name"][0]["family"].startswith("Example-")
    assert patient["meta"]["tag"][0]["code"] == "HTEST"


def test_progress_notes_are_copied_forward(charts):
    texts = [
        base64.b64decode(d["content"][0]["attachment"]["data"]).decode()
        for d in of_type(charts["heart-failure"], "DocumentReference")
        if d["type"]["text"] == "Progress note"
    ]
    assert len(texts) == 2
    assert all("No evidence of acute coronary syndrome." in text for text in texts)


def test_septic_shock_worsens(records):
    record = records["sepsis"]
    assert values(record, "lactate")[-1] > 5
    assert values(record, "mean_blood_pressure")[-1] < 62
    assert values(record, "creatinine")[-1] > 2 * values(record, "creatinine")[0]
    assert values(record, "platelets")[-1] < values(record, "platelets")[0]
    assert values(record, "glasgow_coma_scale")[-1] < 14
    assert "norepinephrine" in note_text(record)


def test_heart_failure_improves(records):
    record = records["heart-failure"]
    assert values(record, "nt_pro_bnp")[-1] < 0.7 * values(record, "nt_pro_bnp")[0]
    assert values(record, "fraction_inspired_oxygen")[-1] < 25
    assert values(record, "respiratory_rate")[-1] < values(record, "respiratory_rate")[0]
    assert max(values(record, "troponin_i")) < 0.04
    # Charted in degrees Fahrenheit, read in Celsius.
    assert all(36 < celsius < 38 for celsius in values(record, "body_temperature"))


def test_respiratory_failure_is_hypercapnic(records):
    record = records["respiratory-failure"]
    assert values(record, "arterial_ph")[0] < 7.3 < values(record, "arterial_ph")[-1]
    assert values(record, "arterial_carbon_dioxide_pressure")[0] > 60
    assert values(record, "oxygen_saturation")[0] < 90


def test_bleeding_recurs(records):
    record = records["gi-bleeding"]
    rates = [m for m in record.measurements if m.variable == "heart_rate"]
    start = NOW - timedelta(hours=46)
    hours = [(m.time - start).total_seconds() / 3600 for m in rates]
    by_hour = dict(zip(hours, [m.value for m in rates], strict=True))
    before = np.mean([v for h, v in by_hour.items() if 20 < h < 28])
    during = np.mean([v for h, v in by_hour.items() if 30 < h < 32])
    assert during > before + 25
    assert min(values(record, "hemoglobin")) < 9.6


def test_recovery_and_observation_stay_well(records):
    for name in ("postoperative", "observation"):
        record = records[name]
        assert 50 < values(record, "heart_rate")[-1] < 100
        assert values(record, "oxygen_saturation")[-1] >= 94
        assert values(record, "glasgow_coma_scale")[-1] == 15
    assert values(records["postoperative"], "mechanical_ventilation") == [1, 1, 1, 0, 0]


def test_ketoacidosis_resolves(records):
    record = records["ketoacidosis"]
    bicarbonate = values(record, "bicarbonate")
    assert bicarbonate[0] < 10 < 22 < bicarbonate[-1]
    assert values(record, "glucose")[0] > 400
    (sensor,) = [s for s in record.device_series if s.channel == "glucose"]
    assert sensor.values.max() == 400  # the sensor's upper limit


def test_delirium_is_charted_in_si_units_and_read_in_canonical_ones(charts, records):
    units = {
        o["valueQuantity"]["code"]
        for o in of_type(charts["delirium"], "Observation")
        if o["code"]["text"] == "Creatinine"
    }
    assert units == {"umol/L"}
    assert 2 < values(records["delirium"], "creatinine")[0] < 5
    assert records["delirium"].stay is not None


def test_wearables_have_rhythm_gaps_and_artefacts(charts, records):
    record = records["observation"]
    series = {s.channel: s for s in record.device_series}
    assert set(series) == {
        "heart_rate",
        "oxygen_saturation",
        "respiratory_rate",
        "skin_temperature",
        "step_count",
    }
    steps = series["step_count"]
    hour = (steps.times_s / 3600) % 24
    assert steps.values[(hour < 5)].sum() < 0.1 * steps.values[(hour > 8) & (hour < 20)].sum()
    gaps_s = np.diff(series["heart_rate"].times_s)
    assert gaps_s.max() >= 20 * 60
    assert series["oxygen_saturation"].values.min() < 92  # movement, not the patient
    data = [
        o["valueSampledData"]["data"]
        for o in of_type(charts["observation"], "Observation")
        if "valueSampledData" in o
    ]
    assert any(" E " in samples for samples in data)


def test_the_same_now_and_seed_give_the_same_charts(charts):
    assert sample_charts(NOW)["observation"] == charts["observation"]
    assert sample_charts(NOW, seed=1)["observation"] != charts["observation"]


def test_times_move_with_now(charts):
    later = sample_charts(NOW + timedelta(days=3))["sepsis"]
    (encounter,) = of_type(later, "Encounter")
    (before,) = of_type(charts["sepsis"], "Encounter")
    moved = datetime.fromisoformat(encounter["period"]["start"]) - datetime.fromisoformat(
        before["period"]["start"]
    )
    assert moved == timedelta(days=3)


def test_now_without_time_zone_is_refused():
    with pytest.raises(ValueError, match="now must state its time zone"):
        sample_charts(NOW.replace(tzinfo=None))


def test_a_note_quotes_nothing_that_was_not_there():
    facts = [Fact(1, "lactate", "2.1"), Fact(5, "lactate", "4.0")]
    assert "{first_lactate} {lactate}".format_map(QuotedFacts(facts, 4.9)) == "2.1 2.1"
    assert "{first_lactate} {lactate}".format_map(QuotedFacts(facts, 5)) == "2.1 4.0"
    with pytest.raises(KeyError):
        "{lactate}".format_map(QuotedFacts(facts, 0.5))


def test_html_notes_escape_their_text():
    assert "<h3>PLAN</h3><p>Keep pH &lt; 7.5 &amp; wait.</p>" in as_html(
        "PLAN:\nKeep pH < 7.5 & wait.\n"
    )


def test_an_active_order_exists_for_the_septic_patient(charts):
    (order,) = of_type(charts["sepsis"], "ServiceRequest")
    assert order["code"]["coding"][0]["code"] == "2524-7"


def test_a_fhir_server_accepts_the_bundles_and_returns_the_same_record(
    fhir_server: FhirServer, records
):
    now = NOW
    for bundle in sample_bundles(now).values():
        answer = requests.post(fhir_server.base_url, json=bundle, timeout=60)
        assert answer.status_code == 200, answer.text[:500]
    chart = read_back(fhir_server, "sample-delirium")
    record = build_record(chart, now)
    expected = records["delirium"]
    assert record.report.values_used == expected.report.values_used
    assert record.measurements == expected.measurements
    assert record.notes == expected.notes


def read_back(server: FhirServer, patient_id: str) -> Chart:
    """Fetch a chart as a client would: searches by patient, Binaries by their reference."""
    resources = [_get(server, f"Patient/{patient_id}")]
    for kind in ("Encounter", "Observation", "DocumentReference", "DiagnosticReport", "Device"):
        url: str | None = f"{kind}?patient={patient_id}&_count=500"
        while url:
            page = _get(server, url)
            resources += [entry["resource"] for entry in page.get("entry", [])]
            links = {link["relation"]: link["url"] for link in page.get("link", [])}
            url = links.get("next")
    for resource in list(resources):
        for content in resource.get("content", []):
            if "url" in content["attachment"]:
                resources.append(_get(server, content["attachment"]["url"]))
    return Chart(patient_id, tuple(resources), encounter_id=f"{patient_id}-stay")


def _get(server: FhirServer, path: str) -> dict[str, Any]:
    url = path if path.startswith("http") else f"{server.base_url}/{path}"
    answer = requests.get(url, timeout=30)
    answer.raise_for_status()
    return answer.json()
