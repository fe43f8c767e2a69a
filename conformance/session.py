"""One run's memory: discovery, the chosen service, the prefetched data and the first good answer.

The cases share these: a service is not asked twice for what is known already.
"""

from __future__ import annotations

import copy
import json
import re
import secrets
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from conformance.addresses import is_loopback
from conformance.ehr.prefetch import fill
from conformance.endpoint import Endpoint
from conformance.exchange import Answer, NotJson, Wire
from conformance.sample import SampleChart
from conformance.target import Target

HOOKS = ("patient-view", "encounter-start", "encounter-discharge")
_AS_USUAL: Mapping[str, Any] = {}


class NotRunnable(Exception):
    """A case cannot be tried; ``verdict`` is skip or omit and the message says why."""

    def __init__(self, verdict: str, reason: str) -> None:
        super().__init__(reason)
        self.verdict = verdict


class Session:
    """Sends what a case asks for, signed and addressed, and keeps what all cases need."""

    def __init__(self, target: Target, wire: Wire, endpoint: Endpoint) -> None:
        self.target = target
        self.wire = wire
        self.endpoint = endpoint
        self.access_token = f"conformance-{secrets.token_hex(16)}"
        endpoint.access_token = self.access_token
        self.known: dict[str, int] = {}  # statuses that several cases depend on
        self.not_prefetched: dict[str, int] = {}  # keys whose query failed, and how

    @property
    def made_up_patient(self) -> bool:
        """Whether the patient is the sample, so that answers hold nobody's data."""
        return isinstance(self.endpoint.chart, SampleChart)

    @property
    def foreign_reachable(self) -> bool:
        """Whether the service can reach our second origin, so that we see what it sends there."""
        service = urlsplit(self.target.service_base).hostname or ""
        foreign = urlsplit(self.endpoint.foreign_url).hostname or ""
        return is_loopback(service) or not is_loopback(foreign)

    @cached_property
    def discovery(self) -> Answer:
        """The answer of discovery, asked once."""
        return self.send("GET", self.target.discovery_url, None, "GET cds-services")

    @cached_property
    def services(self) -> list[dict[str, Any]]:
        """All services of discovery that are objects. Raises NotRunnable."""
        try:
            found = self.discovery.json()
        except NotJson as exc:
            raise NotRunnable("skip", "Discovery is not JSON.") from exc
        listed = found.get("services") if isinstance(found, dict) else None
        if self.discovery.status != 200 or not isinstance(listed, list):
            raise NotRunnable("skip", "Discovery gives no array 'services'.")
        return [one for one in listed if isinstance(one, dict)]

    @cached_property
    def service(self) -> dict[str, Any]:
        """The service that is tried. Raises NotRunnable."""
        for one in self.services:
            runnable = isinstance(one.get("id"), str) and one["id"] and one.get("hook") in HOOKS
            if runnable and self.target.service_id in ("", one["id"]):
                return one
        named = f" with the id {self.target.service_id}" if self.target.service_id else ""
        raise NotRunnable("skip", f"Discovery has no service{named} on {', '.join(HOOKS)}.")

    @property
    def service_url(self) -> str:
        """The address of the service that is tried. Raises NotRunnable."""
        return f"{self.target.discovery_url}/{self.service['id']}"

    @cached_property
    def context(self) -> dict[str, str]:
        """The context of our hook requests. Raises NotRunnable."""
        if not self.target.encounter_id and self.service["hook"] != "patient-view":
            raise NotRunnable("skip", f"{self.service['hook']} needs an encounter; name one.")
        held = {"userId": self.target.user_id, "patientId": self.target.patient_id}
        return (
            {**held, "encounterId": self.target.encounter_id} if self.target.encounter_id else held
        )

    @cached_property
    def queries(self) -> dict[str, str]:
        """The service's templates, filled, as far as they can be. By key."""
        templates = self.service.get("prefetch")
        today = datetime.now(UTC).date()
        filled = {
            key: _filled(template, self.context, today)
            for key, template in (templates if isinstance(templates, dict) else {}).items()
            if isinstance(template, str)
        }
        return {
            key: query
            for key, query in filled.items()
            if query is not None and "://" not in query and "{{" not in query
        }

    @cached_property
    def prefetched(self) -> dict[str, Any]:
        """What the templates give, by key; a query that fails is left out."""
        if not self.target.prefetch:
            return {}
        answers = {key: self.endpoint.chart.get(query) for key, query in self.queries.items()}
        self.not_prefetched = {key: status for key, (status, _) in answers.items() if status != 200}
        return {key: body for key, (status, body) in answers.items() if status == 200}

    @cached_property
    def baseline(self) -> Answer:
        """The answer to a hook request as it should be, asked once."""
        self.endpoint.start("plain")
        return self.post(self.service_url, self.hook_request(), "POST cds-services/{id}")

    @property
    def hook_was_answered(self) -> bool:
        """Whether ``baseline`` is known already; asking for it would send the hook request."""
        return "baseline" in vars(self)

    @cached_property
    def fetches(self) -> bool:
        """Whether the service asks our FHIR endpoint for what is not prefetched; tried once."""
        if not self.target.fhir_access:
            return False
        request = self.hook_request()
        request.pop("prefetch", None)
        self.endpoint.start("plain")
        self.post(self.service_url, request, "POST cds-services/{id}")
        return any(one.fhir for one in self.endpoint.seen("home"))

    @cached_property
    def cards(self) -> list[dict[str, Any]]:
        """The cards of the first answer. Raises NotRunnable where there are none to look at."""
        if self.baseline.status != 200:
            raise NotRunnable(
                "skip", f"The hook request was answered with status {self.baseline.status}."
            )
        try:
            found = self.baseline.json()
        except NotJson as exc:
            raise NotRunnable("skip", "The answer to the hook request is not JSON.") from exc
        cards = found.get("cards") if isinstance(found, dict) else None
        if not isinstance(cards, list):
            raise NotRunnable("skip", "The answer to the hook request has no array 'cards'.")
        return [one for one in cards if isinstance(one, dict)]

    def hook_request(self) -> dict[str, Any]:
        """Return a request with all that the service asked for, and access to our endpoint."""
        request: dict[str, Any] = {
            "hook": self.service["hook"],
            "hookInstance": str(uuid.uuid4()),
            "context": dict(self.context),
        }
        if self.target.fhir_access:
            request["fhirServer"] = f"{self.endpoint.url}/fhir"
            request["fhirAuthorization"] = {
                "access_token": self.access_token,
                "token_type": "Bearer",
                "expires_in": 300,
                "scope": self._scope(),
                "subject": "conformance-suite",
                "patient": self.target.patient_id,
            }
        if self.prefetched:
            request["prefetch"] = copy.deepcopy(self.prefetched)
        return request

    def post(self, url: str, body: Any, what: str, jwt: Mapping[str, Any] = _AS_USUAL) -> Answer:
        """Send a JSON body."""
        content = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        return self.send("POST", url, content, what, headers, jwt)

    def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        what: str,
        headers: Mapping[str, str] = _AS_USUAL,
        jwt: Mapping[str, Any] = _AS_USUAL,
    ) -> Answer:
        """Send one request; ``jwt`` changes or leaves out the token that goes with it."""
        whole = {"Accept": "application/json", **headers}
        if "raw" in jwt:
            whole["Authorization"] = jwt["raw"]
        elif self.target.keys and not jwt.get("absent"):
            whole["Authorization"] = f"Bearer {self._token(url, jwt)}"
        return self.wire.send(method, url, whole, body, what)

    def _token(self, url: str, change: Mapping[str, Any]) -> str:
        keys = self.target.keys
        if keys is None:
            raise NotRunnable("omit", "The run signs no JWT.")
        if change.get("header", {}).get("jku") == "{{foreign}}":
            header = {
                **change["header"],
                "jku": f"{self.endpoint.foreign_url}/.well-known/jwks.json",
            }
            return keys.token(url, {**change, "header": header})
        return keys.token(url, change)

    def _scope(self) -> str:
        action = "rs" if self.target.version == "3.0" else "read"
        return f"patient/Patient.{action} patient/Observation.{action} patient/*.{action}"


def _filled(template: str, context: Mapping[str, str], today: date) -> str | None:
    """Return a filled template, None where it cannot be filled: no day is a million years off."""
    try:
        return fill(template, context, today)
    except (OverflowError, ValueError, re.error):
        return None
