"""A made-up patient, so that a service can be tried without a FHIR server and without real data.

The names and notes hold markup: a service that shows them has to escape it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PATIENT_ID = "conformance-sample"
ENCOUNTER_ID = "conformance-encounter"
_USER_ID = "conformance"
MARKUP = "<img src=x onerror=alert(1)>"
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_READINGS = (
    ("8867-4", "Heart rate", 104.0, "/min", "vital-signs"),
    ("9279-1", "Respiratory rate", 24.0, "/min", "vital-signs"),
    ("8480-6", "Systolic blood pressure", 96.0, "mm[Hg]", "vital-signs"),
    ("8310-5", "Body temperature", 38.4, "Cel", "vital-signs"),
    ("59408-5", "Oxygen saturation", 93.0, "%", "vital-signs"),
    ("2524-7", "Lactate", 3.8, "mmol/L", "laboratory"),
    ("2160-0", "Creatinine", 1.7, "mg/dL", "laboratory"),
    ("9269-2", "Glasgow coma score", 14.0, "{score}", "survey"),
)
_SEARCH_WORDS = {"patient", "subject"}


def sample_resources(now: datetime | None = None) -> list[dict[str, Any]]:
    """Return the patient's resources; their times are some hours before now."""
    moment = now or datetime.now(UTC)
    chart = [_patient(), _encounter(moment), _note(moment), _condition(), *_observations(moment)]
    return [*chart, *_users()]


class SampleChart:
    """Answers FHIR reads and searches over the sample patient, as far as templates need them."""

    def __init__(self) -> None:
        self._resources = sample_resources()

    def get(self, query: str) -> tuple[int, dict[str, Any]]:
        """Return status and body for a URL relative to the FHIR base."""
        parts = urlsplit(query)
        if parts.path.strip("/") == "metadata":
            return 200, self._capability_statement()
        resource_type, _, resource_id = parts.path.strip("/").partition("/")
        if resource_id:
            return self._read(resource_type, resource_id)
        found = [
            one
            for one in self._resources
            if one["resourceType"] == resource_type and _matches(one, parse_qsl(parts.query))
        ]
        return 200, searchset(found)

    def _read(self, resource_type: str, resource_id: str) -> tuple[int, dict[str, Any]]:
        for one in self._resources:
            if (one["resourceType"], one["id"]) == (resource_type, resource_id):
                return 200, one
        return 404, outcome("not-found")

    def _capability_statement(self) -> dict[str, Any]:
        types = sorted({one["resourceType"] for one in self._resources})
        reading = [{"code": "read"}, {"code": "search-type"}]
        resources = [{"type": one, "interaction": reading} for one in types]
        return {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": datetime.now(UTC).date().isoformat(),
            "kind": "instance",
            "implementation": {"description": "FHIR endpoint of the CDS Hooks conformance suite"},
            "fhirVersion": "4.0.1",
            "format": ["json"],
            "rest": [{"mode": "server", "resource": resources}],
        }


def searchset(resources: list[dict[str, Any]], **members: Any) -> dict[str, Any]:
    """Return a Bundle; without entries it has no member ``entry``."""
    entries = [{"resource": one, "search": {"mode": "match"}} for one in resources]
    found = {"resourceType": "Bundle", "type": "searchset", "total": len(entries), **members}
    return {**found, "entry": entries} if entries else found


def outcome(code: str) -> dict[str, Any]:
    """Return an OperationOutcome."""
    return {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code}]}


def _matches(resource: dict[str, Any], words: list[tuple[str, str]]) -> bool:
    """Apply the words that narrow by patient, id, category and code; others narrow nothing."""
    for name, value in words:
        options = [option.rpartition("|")[2].rpartition("/")[2] for option in value.split(",")]
        if name in _SEARCH_WORDS:
            held = resource.get("subject") or resource.get("patient") or {}
            if held.get("reference", "").removeprefix("Patient/") not in options:
                return False
        if name == "_id" and resource["id"] not in options:
            return False
        if name in ("category", "code") and not set(options) & set(_codes(resource, name)):
            return False
    return True


def _codes(resource: dict[str, Any], name: str) -> Iterator[str]:
    held = resource.get(name, [])
    for concept in held if isinstance(held, list) else [held]:
        yield from (coding["code"] for coding in concept.get("coding", ()))


def _subject() -> dict[str, str]:
    return {"reference": f"Patient/{PATIENT_ID}"}


def _patient() -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": PATIENT_ID,
        "name": [{"family": f"Sample {MARKUP}", "given": ["Conformance"]}],
        "gender": "female",
        "birthDate": "1951-03-02",
    }


def _users() -> Iterator[dict[str, Any]]:
    """Yield who may be the user of a hook request: services read userId as well."""
    name = [{"family": "Suite", "given": ["Conformance"]}]
    practitioner = {"reference": f"Practitioner/{_USER_ID}"}
    yield {"resourceType": "Practitioner", "id": _USER_ID, "active": True, "name": name}
    yield {"resourceType": "PractitionerRole", "id": _USER_ID, "practitioner": practitioner}
    yield {"resourceType": "RelatedPerson", "id": _USER_ID, "patient": _subject(), "name": name}


def _encounter(now: datetime) -> dict[str, Any]:
    act = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
    return {
        "resourceType": "Encounter",
        "id": ENCOUNTER_ID,
        "status": "in-progress",
        "class": {"system": act, "code": "IMP"},
        "subject": _subject(),
        "period": {"start": _ago(now, 30)},
    }


def _note(now: datetime) -> dict[str, Any]:
    text = f"Looks septic and confused {MARKUP}. Denies chest pain."
    data = base64.b64encode(text.encode()).decode()
    return {
        "resourceType": "DocumentReference",
        "id": "conformance-note",
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11506-3"}]},
        "category": [{"coding": [{"code": "clinical-note"}]}],
        "subject": _subject(),
        "date": _ago(now, 5),
        "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
    }


def _condition() -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": "conformance-condition",
        "category": [{"coding": [{"code": "problem-list-item"}]}],
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "91302008"}]},
        "subject": _subject(),
    }


def _observations(now: datetime) -> Iterator[dict[str, Any]]:
    for number, (code, display, value, unit, category) in enumerate(_READINGS):
        yield {
            "resourceType": "Observation",
            "id": f"conformance-observation-{number}",
            "status": "final",
            "category": [{"coding": [{"system": _CATEGORY, "code": category}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": display}]},
            "subject": _subject(),
            "effectiveDateTime": _ago(now, 2 + number / 4),
            "valueQuantity": {
                "value": value,
                "unit": re.sub(r"[\[\]{}]", "", unit),
                "system": "http://unitsofmeasure.org",
                "code": unit,
            },
        }


def _ago(now: datetime, hours: float) -> str:
    return (now - timedelta(hours=hours)).isoformat(timespec="seconds")
