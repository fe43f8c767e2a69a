"""A FHIR server with one patient and a CDS service with one card, on real sockets."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug.wrappers import Request, Response

PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "name": [{"given": ["Ada"], "family": "Example"}],
    "gender": "female",
    "birthDate": "1951-03-02",
}
ENCOUNTER = {
    "resourceType": "Encounter",
    "id": "e1",
    "status": "in-progress",
    "class": {"code": "IMP", "display": "inpatient encounter"},
}
LACTATE = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "2524-7", "display": "Lactate"}]},
    "effectiveDateTime": "2026-11-23T06:40:00Z",
    "valueQuantity": {"value": 4.6, "unit": "mmol/L"},
    "interpretation": [{"coding": [{"code": "H"}]}],
}
NOTE = {
    "resourceType": "DocumentReference",
    "id": "n1",
    "status": "current",
    "type": {"text": "Progress note"},
    "date": "2026-11-23T02:40:00Z",
    "content": [
        {
            "attachment": {
                "contentType": "text/plain",
                "data": base64.b64encode(b"Septic shock. <b>Denies</b> chest pain.").decode(),
            }
        }
    ],
}
SERVICE = {
    "hook": "patient-view",
    "title": "Risk of an adult inpatient",
    "description": "A risk with reasons.",
    "id": "meam-risk",
    "prefetch": {
        "patient": "Patient/{{context.patientId}}",
        "laboratory": "Observation?patient={{context.patientId}}&category=laboratory&_count=500",
    },
}
CARD = {
    "uuid": "6d1f6bbd-6b0a-4a5e-9d1a-0c2f6f0f9a11",
    "summary": "In-hospital death: 37 %, 2.7 times the average",
    "indicator": "warning",
    "detail": "**Risk** 37 %\n\n- Lactate 4.6 mmol/L\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    "source": {"label": "MEAM risk", "url": "https://example.org/about"},
    "links": [{"label": "Why?", "url": "http://127.0.0.1:5000/explanations/x", "type": "absolute"}],
    "overrideReasons": [{"code": "seen", "system": "urn:reasons", "display": "Already known"}],
}

ORDER = {
    "resourceType": "ServiceRequest",
    "status": "draft",
    "intent": "proposal",
    "code": {"coding": [{"system": "http://loinc.org", "code": "2524-7"}], "text": "Lactate"},
    "subject": {"reference": "Patient/p1"},
}
SUGGESTION = {
    "uuid": "0b7d7a0e-4a43-4f60-8d0b-2f6f4a1c9d10",
    "label": "Consider measuring lactate again",
    "isRecommended": True,
    "actions": [
        {"type": "create", "description": "Create a draft order proposal", "resource": ORDER}
    ],
}
ADVICE = {**CARD, "suggestions": [SUGGESTION], "selectionBehavior": "any"}


class PracticeWorld:
    """Records what the EHR sends; ``answer`` makes the service's answer to a hook call."""

    def __init__(self, server: HTTPServer) -> None:
        self.server = server
        self.fhir = server.url_for("/fhir")
        self.service = server.url_for("/cds").rstrip("/")
        self.hook_calls: list[Request] = []
        self.fhir_calls: list[Request] = []
        self.feedback: list[Any] = []
        self.feedback_status = 200
        self.created: list[Any] = []
        self.patients = [PATIENT]
        self.broken: set[str] = set()  # paths below /fhir/ that answer 500
        self.conditional = self.searchable = True  # whether If-None-Exist and identifier are known
        self.answer: Callable[[], Response] = lambda: json_response({"cards": [CARD]})
        server.expect_request("/cds/cds-services").respond_with_json({"services": [SERVICE]})
        server.expect_request("/cds/cds-services/meam-risk", method="POST").respond_with_handler(
            self._hook
        )
        server.expect_request("/cds/cds-services/meam-risk/feedback").respond_with_handler(
            self._feedback
        )
        for path, resources in (
            ("/fhir/Patient", self.patients),
            ("/fhir/Encounter", [ENCOUNTER]),
            ("/fhir/Observation", [LACTATE]),
            ("/fhir/DocumentReference", [NOTE]),
        ):
            server.expect_request(path).respond_with_handler(self._fhir(resources))
        for kind in ("ServiceRequest", "Task", "RiskAssessment"):
            server.expect_request(f"/fhir/{kind}", method="POST").respond_with_handler(self._create)
            server.expect_request(f"/fhir/{kind}", method="GET").respond_with_handler(self._search)
            server.expect_request(re.compile(f"/fhir/{kind}/.+")).respond_with_handler(self._read)
        server.expect_request("/fhir/Patient/p1").respond_with_handler(self._fhir(PATIENT))

    def _hook(self, request: Request) -> Response:
        self.hook_calls.append(request)
        return self.answer()

    def _create(self, request: Request) -> Response:
        self.fhir_calls.append(request)
        if request.path.removeprefix("/fhir/") in self.broken:
            return Response("<html>", 500, content_type="text/html")
        condition = request.headers.get("If-None-Exist", "")
        if condition and self.conditional:
            known = self._with_identifier(condition.rpartition("|")[2])
            if known:
                return json_response(known[0], 200)
        self.created.append(request.get_json())
        return json_response(self._stored(len(self.created)), 201)

    def _stored(self, number: int) -> dict[str, Any]:
        return {**self.created[number - 1], "id": f"new-{number}"}

    def _with_identifier(self, value: str) -> list[dict[str, Any]]:
        every = [self._stored(number) for number in range(1, len(self.created) + 1)]
        return [one for one in every if any(i["value"] == value for i in one["identifier"])]

    def _search(self, request: Request) -> Response:
        self.fhir_calls.append(request)
        if not self.searchable:
            return json_response({"resourceType": "OperationOutcome"}, 400)
        return json_response(
            bundle(self._with_identifier(request.args["identifier"].split("|")[1]))
        )

    def _read(self, request: Request) -> Response:
        self.fhir_calls.append(request)
        number = request.path.rpartition("-")[2]
        if not number.isdigit() or not 1 <= int(number) <= len(self.created):
            return json_response({"resourceType": "OperationOutcome"}, 404)
        return json_response(self._stored(int(number)))

    def _feedback(self, request: Request) -> Response:
        if self.feedback_status != 200:
            return Response(status=self.feedback_status, headers={"Retry-After": "7"})
        self.feedback.append(request.get_json())
        return Response(status=200)

    def _fhir(self, body: Any) -> Callable[[Request], Response]:
        def handler(request: Request) -> Response:
            self.fhir_calls.append(request)
            if request.path.removeprefix("/fhir/") in self.broken:
                return Response("<html>", 500, content_type="text/html")
            return json_response(bundle(body) if isinstance(body, list) else body)

        return handler


def bundle(resources: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a searchset."""
    entries = [{"resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries}


def json_response(body: Any, status: int = 200) -> Response:
    """Return an answer with a JSON body."""
    return Response(json.dumps(body), status, content_type="application/json")
