"""What is looked up on a real FHIR server beside the prefetch keys."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from cds_hooks.prefetch import gather
from cds_hooks.request import HookContext, HookRequest
from cds_hooks.services import published_services
from cds_hooks.settings import Settings
from conformance.fhir_server import FhirServer
from fhir_adapters.client import Caps, FhirClient
from fhir_adapters.deadline import Deadline
from fhir_adapters.record_builder import build_record
from model.record import PatientRecord

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
TEN = "2026-03-02T10:00:00+00:00"
ME = {"reference": "Patient/extra-1"}
TEMPLATES = published_services(Settings())[0].prefetch
LOINC = "http://loinc.org"
CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"


def heart_rate(identity: str, device: str, minute: int) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "category": [{"coding": [{"system": CATEGORIES, "code": "vital-signs"}]}],
        "code": {"coding": [{"system": LOINC, "code": "8867-4"}]},
        "subject": ME,
        "effectiveDateTime": f"2026-03-02T10:{minute:02}:00+00:00",
        "valueQuantity": {
            "value": 80,
            "unit": "/min",
            "system": "http://unitsofmeasure.org",
            "code": "/min",
        },
        "device": {"reference": device},
    }


def world() -> list[dict[str, Any]]:
    note = base64.b64encode(b"Patient is septic.").decode()
    return [
        {"resourceType": "Patient", "id": "extra-1", "birthDate": "1950-01-01"},
        {
            "resourceType": "Device",
            "id": "extra-w",
            "deviceName": [{"name": "Wrist monitor", "type": "user-friendly-name"}],
        },
        {
            "resourceType": "Device",
            "id": "extra-m",
            "deviceName": [{"name": "Bedside monitor", "type": "user-friendly-name"}],
        },
        {
            "resourceType": "DeviceMetric",
            "id": "extra-dm",
            "type": {"text": "heart rate"},
            "category": "measurement",
            "source": {"reference": "Device/extra-m"},
        },
        heart_rate("extra-hr1", "Device/extra-w", 1),
        heart_rate("extra-hr2", "DeviceMetric/extra-dm", 2),
        {
            "resourceType": "DocumentReference",
            "id": "extra-d",
            "status": "current",
            "type": {"text": "Nursing note"},
            "category": [{"text": "nursing"}],
            "subject": ME,
            "date": TEN,
            "content": [{"attachment": {"contentType": "text/plain", "data": note}}],
        },
        {
            "resourceType": "Composition",
            "id": "extra-c",
            "status": "final",
            "type": {"text": "Handover"},
            "subject": ME,
            "date": TEN,
            "title": "Handover",
            "author": [{"display": "nobody"}],
            "section": [
                {
                    "title": "Assessment",
                    "text": {
                        "status": "generated",
                        "div": '<div xmlns="http://www.w3.org/1999/xhtml">Denies chest pain.</div>',
                    },
                }
            ],
        },
    ]


@pytest.fixture(scope="module")
def server(fhir_server: FhirServer) -> FhirServer:
    lacking = {"Composition", "DeviceMetric"}
    fhir_server.load(one for one in world() if one["resourceType"] not in lacking)
    return fhir_server


def live(server: FhirServer | str, caps: Caps | None = None) -> PatientRecord:
    request = HookRequest(
        hook="patient-view",
        hook_instance="8a8b9f3e-0000-4000-8000-000000000001",
        context=HookContext("Practitioner/1", "extra-1"),
        arrived_at=NOW,
    )
    base_url = server if isinstance(server, str) else server.base_url
    with FhirClient(base_url, deadline=Deadline.after(60), caps=caps or Caps()) as fhir:
        return build_record(gather(request, TEMPLATES, fhir), NOW)


def test_devices_that_observations_name_are_read_with_their_names(server: FhirServer) -> None:
    (series,) = live(server).device_series
    assert series.device == "Device/extra-w"
    assert series.device_name == "Wrist monitor"


def test_documents_of_other_categories_are_read_where_none_is_a_clinical_note(
    server: FhirServer,
) -> None:
    record = live(server)
    assert [note.source for note in record.notes] == ["DocumentReference/extra-d"]
    # The server lists neither Compositions nor DeviceMetrics: it is not asked, and lacks nothing.
    assert record.report.incomplete == ()


@pytest.fixture
def listing(httpserver: HTTPServer) -> HTTPServer:
    """A server that offers Compositions and DeviceMetrics, and remembers what it was asked."""

    def answer(request: Request) -> Response:
        kind = request.path.rpartition("/")[2]
        if kind == "metadata":
            types = {"Composition": ["patient", "date"], "Device": ["patient"], "DeviceMetric": []}
            return Response(json.dumps(statement({**types, **PLAIN})))
        found = [one for one in world() if one["resourceType"] == kind]
        category = request.args.get("category")
        if kind == "Observation" and category != "vital-signs":
            found = []
        if kind == "DocumentReference" and category:
            found = []
        asked = request.args.get("_id")
        if asked:
            found = [one for one in found if one["id"] in asked.split(",")]
        return Response(json.dumps(searchset(found)))

    patient = world()[0]
    httpserver.expect_request("/r4/Patient/extra-1").respond_with_json(patient)
    httpserver.expect_request(re.compile("/r4/.*")).respond_with_handler(answer)
    return httpserver


PLAIN = {
    kind: ["patient", "date", "category", "code", "status"]
    for kind in (
        *("Patient", "Encounter", "Observation", "DocumentReference", "DiagnosticReport"),
        *("ServiceRequest", "Task"),
    )
}


def statement(types: dict[str, list[str]]) -> dict[str, Any]:
    resources = [
        {"type": kind, "searchParam": [{"name": name} for name in ("_id", *names)]}
        for kind, names in types.items()
    ]
    rest = [{"mode": "server", "resource": resources}]
    return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest}


def searchset(found: list[dict[str, Any]]) -> dict[str, Any]:
    entries = [{"resource": one} for one in found]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries}


def test_compositions_and_metrics_are_read_where_the_server_lists_them(
    listing: HTTPServer,
) -> None:
    record = live(listing.url_for("/r4"))
    (series,) = record.device_series
    assert series.device == "Device/extra-m, Device/extra-w"  # the metric leads to its device
    notes = {note.source: [one.text for one in note.sentences] for note in record.notes}
    assert notes == {
        "DocumentReference/extra-d": ["Patient is septic."],
        "Composition/extra-c": ["Denies chest pain."],
    }
    asked = {request.path.rpartition("/")[2] for request, _ in listing.log}
    assert {"Composition", "Device", "DeviceMetric", "metadata"} <= asked


def test_what_the_server_does_not_list_is_not_asked_for(httpserver: HTTPServer) -> None:
    patient = world()[0]
    httpserver.expect_request("/r4/Patient/extra-1").respond_with_json(patient)
    httpserver.expect_request("/r4/metadata").respond_with_json(statement(PLAIN))
    httpserver.expect_request(re.compile("/r4/.*")).respond_with_json(searchset([]))
    record = live(httpserver.url_for("/r4"))
    asked = {request.path.rpartition("/")[2] for request, _ in httpserver.log}
    assert "Composition" not in asked
    assert record.report.incomplete == ()


def test_a_cap_on_entries_is_said_of_them_too(server: FhirServer) -> None:
    record = live(server, Caps(entries=3))
    assert any("cap" in line.reason or "large" in line.reason for line in record.report.incomplete)
