"""A FHIR server on a real socket that answers what a test tells it to, and remembers who asked."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests.cds_hooks import world

FURTHER = {"metadata", "Device", "DeviceMetric", "Composition"}


class FhirStub:
    """Answers by prefetch key: a resource, a status, or a Response."""

    def __init__(self, server: HTTPServer) -> None:
        self.base_url = server.url_for("/r4").rstrip("/")
        self.answers: dict[str, Any] = world.full_prefetch()
        self.delays_s: dict[str, float] = {}
        self.requests: list[Request] = []
        server.expect_request(re.compile("/r4/.*")).respond_with_handler(self._answer)

    @property
    def asked(self) -> list[str]:
        """The prefetch keys that were asked for, sorted; further look-ups are left out."""
        return sorted({key_of(request) for request in self.requests} - FURTHER)

    def headers(self, name: str) -> set[str | None]:
        """A header of what was asked about the patient; the CapabilityStatement is about nobody."""
        asked = [request for request in self.requests if key_of(request) != "metadata"]
        return {request.headers.get(name) for request in asked}

    def _answer(self, request: Request) -> Response:
        self.requests.append(request)
        key = key_of(request)
        time.sleep(self.delays_s.get(key, 0.0))
        answer = self.answers.get(key, 404)
        if isinstance(answer, Response):
            return answer
        if isinstance(answer, int):
            return Response(status=answer)
        return Response(json.dumps(answer), mimetype="application/fhir+json")


def key_of(request: Request) -> str:
    """The prefetch key that a request is about; else its path."""
    path, category = request.path.removeprefix("/r4/"), request.args.get("category", "")
    if path.startswith(("Patient/", "Encounter")):
        return path.partition("/")[0].lower()
    observations = {
        "vital-signs": "vitalSigns",
        "laboratory": "laboratory",
        "activity": "deviceData",
        "procedure": "deviceData-procedure",
    }
    if "code" in request.args:
        return "bedside"
    if path == "Observation":
        return observations[category] if not request.args.get("page") else "page-2"
    kinds = {
        "DocumentReference": "notes",
        "DiagnosticReport": "reports",
        "ServiceRequest": "orders",
        "Task": "tasks",
    }
    return kinds.get(path, path)
