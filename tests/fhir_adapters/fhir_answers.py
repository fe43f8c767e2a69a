"""Small FHIR answers for the tests of fetching, and a client on a pytest-httpserver."""

from __future__ import annotations

import json
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Response

from fhir_adapters.client import FhirClient
from fhir_adapters.deadline import Deadline

FHIR_JSON = "application/fhir+json"
TOKEN = "opaque-epic-token-7f3a"


def client_of(server: HTTPServer, *, seconds: float = 5.0, **kwargs: Any) -> FhirClient:
    return FhirClient(server.url_for("/fhir"), deadline=Deadline.after(seconds), **kwargs)


def patient(identity: str = "1") -> dict[str, Any]:
    return {"resourceType": "Patient", "id": identity}


def observation(identity: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": "Patient/1"},
    }


def bundle(*resources: dict[str, Any], next_url: str | None = None, **extra: Any) -> dict[str, Any]:
    page: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": resource} for resource in resources],
        **extra,
    }
    if next_url is not None:
        page["link"] = [{"relation": "next", "url": next_url}]
    return page


def outcome(
    severity: str = "warning", code: str | None = "suppressed", **extra: Any
) -> dict[str, Any]:
    issue = {"severity": severity, **({"code": code} if code else {}), **extra}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def ids(result: Any) -> list[str]:
    return [resource["id"] for resource in result.resources]


def reasons(result: Any) -> list[str]:
    return [line.reason for line in result.incomplete]


def json_response(body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), content_type=FHIR_JSON)
