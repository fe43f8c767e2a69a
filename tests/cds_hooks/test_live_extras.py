"""What is looked up on a real FHIR server beside the prefetch keys."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

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
    fhir_server.load(world())
    return fhir_server


def live(server: FhirServer, caps: Caps | None = None) -> PatientRecord:
    request = HookRequest(
        hook="patient-view",
        hook_instance="8a8b9f3e-0000-4000-8000-000000000001",
        context=HookContext("Practitioner/1", "extra-1"),
        arrived_at=NOW,
    )
    with FhirClient(server.base_url, deadline=Deadline.after(60), caps=caps or Caps()) as fhir:
        return build_record(gather(request, TEMPLATES, fhir), NOW)


def test_devices_that_observations_name_are_read_with_their_names(server: FhirServer) -> None:
    (series,) = live(server).device_series
    assert series.device == "Device/extra-m, Device/extra-w"  # the metric leads to its device
    assert series.device_name == "Bedside monitor"
    assert len(series.values) == 2


def test_compositions_and_documents_of_other_categories_are_read(server: FhirServer) -> None:
    notes = {note.source: [one.text for one in note.sentences] for note in live(server).notes}
    assert notes == {
        "DocumentReference/extra-d": ["Patient is septic."],
        "Composition/extra-c": ["Denies chest pain."],
    }


def test_a_cap_on_entries_is_said_of_them_too(server: FhirServer) -> None:
    record = live(server, Caps(entries=3))
    assert any("cap" in line.reason or "large" in line.reason for line in record.report.incomplete)
