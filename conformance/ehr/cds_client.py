"""The CDS client: discovery, the hook call, feedback, and a protocol of each exchange."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from conformance.ehr.cards import Card, cards_of
from conformance.ehr.http import CallFailed, get_json, post_json
from conformance.ehr.prefetch import Prefetched, prefetch
from conformance.ehr.safe_markdown import plain
from conformance.ehr.signing import SigningKey, sign_call

HOOK = "patient-view"
USER = "Practitioner/practice-ehr"
_TOKEN_LIFE_S = 300
_SLOW_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Connection:
    """A FHIR server and the CDS service that is asked about its patients."""

    fhir_server: str
    service_base: str  # discovery is at {service_base}/cds-services
    fhir_token: str = field(default="", repr=False)  # goes to fhir_server and to the service only


@dataclass(frozen=True, slots=True)
class Exchange:
    """One hook call from beginning to end."""

    service_id: str
    title: str
    url: str
    sent: Mapping[str, Any]
    jwt_header: Mapping[str, Any]
    jwt_claims: Mapping[str, Any]
    prefetched: Prefetched
    prefetch_ms: float
    service_ms: float
    status: int | None
    received: Any  # parsed JSON, or text where it is none
    cards: tuple[Card, ...]
    problems: tuple[str, ...]

    @property
    def slowness(self) -> str:
        """A sentence about a service that a clinician would wait for, "" for a quick one."""
        if self.service_ms <= _SLOW_MS:
            return ""
        return (
            f"{self.title} took {self.service_ms / 1000:.1f} s;"
            " CDS Hooks asks for an answer on the order of 0.5 s."
        )


@dataclass(frozen=True, slots=True)
class FeedbackSent:
    """One feedback call, for those who inspect the exchange."""

    url: str
    sent: Mapping[str, Any]
    status: int


class CdsClient:
    """Calls the services of one connection and signs as one EHR."""

    def __init__(self, connection: Connection, key: SigningKey, issuer: str) -> None:
        self.connection = connection
        self._key = key
        self._issuer = issuer

    def services(self) -> list[Mapping[str, Any]]:
        """Return what discovery says about the services on our hook. Raises CallFailed."""
        url = f"{self.connection.service_base}/cds-services"
        answer = get_json(url, sign_call(self._key, self._issuer, url).token)
        services = answer.get("services") if isinstance(answer, Mapping) else None
        if not isinstance(services, list):
            raise CallFailed(f"{url} did not answer with an object that has an array 'services'.")
        return [
            service
            for service in services
            if isinstance(service, Mapping) and service.get("hook") == HOOK
        ]

    def open_chart(self, patient_id: str, encounter_id: str | None) -> list[Exchange]:
        """Call every service on our hook, as an EHR does when a chart is opened."""
        services = self.services()
        if not services:
            return []
        context = {"userId": USER, "patientId": patient_id}
        if encounter_id:
            context["encounterId"] = encounter_id
        with ThreadPoolExecutor(len(services)) as pool:
            return list(pool.map(lambda service: self._call(service, context), services))

    def send_feedback(self, service_id: str, item: Mapping[str, Any]) -> FeedbackSent:
        """Report what became of a card. Raises CallFailed."""
        url = f"{self._service_url(service_id)}/feedback"
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = {"feedback": [{**item, "outcomeTimestamp": now}]}
        status, _ = post_json(url, body, sign_call(self._key, self._issuer, url).token)
        return FeedbackSent(url, body, status)

    def _service_url(self, service_id: str) -> str:
        return f"{self.connection.service_base}/cds-services/{service_id}"

    def _call(self, service: Mapping[str, Any], context: Mapping[str, str]) -> Exchange:
        start = time.perf_counter()
        templates = service.get("prefetch")
        got = prefetch(
            templates if isinstance(templates, Mapping) else {},
            context,
            self.connection.fhir_server,
            self.connection.fhir_token,
        )
        prefetched = time.perf_counter()
        sent = self._request(context, got)
        url = self._service_url(str(service.get("id")))
        signed = sign_call(self._key, self._issuer, url)
        status, received, problems = _post(url, sent, signed.token)
        cards, faults = cards_of(received) if status == 200 else ((), ())
        return Exchange(
            service_id=str(service.get("id")),
            title=plain(service.get("title", service.get("id"))),
            url=url,
            sent=_without_token(sent),
            jwt_header=signed.header,
            jwt_claims=signed.claims,
            prefetched=got,
            prefetch_ms=1000 * (prefetched - start),
            service_ms=1000 * (time.perf_counter() - prefetched),
            status=status,
            received=received,
            cards=cards,
            problems=(*problems, *faults),
        )

    def _request(self, context: Mapping[str, str], got: Prefetched) -> dict[str, Any]:
        body: dict[str, Any] = {
            "hook": HOOK,
            "hookInstance": str(uuid.uuid4()),
            "context": dict(context),
            "fhirServer": self.connection.fhir_server,
        }
        if self.connection.fhir_token:
            body["fhirAuthorization"] = {
                "access_token": self.connection.fhir_token,
                "token_type": "Bearer",
                "expires_in": _TOKEN_LIFE_S,
                "scope": "patient/*.read",
                "subject": "practice-ehr",
                "patient": context["patientId"],
            }
        if got.data:
            body["prefetch"] = dict(got.data)
        return body


def _post(url: str, body: Mapping[str, Any], token: str) -> tuple[int | None, Any, tuple[str, ...]]:
    try:
        return (*post_json(url, body, token), ())
    except CallFailed as exc:
        return exc.status, _parsed(exc.body), (str(exc),)


def _parsed(body: str) -> Any:
    """Return the JSON of an error's body, or the body as it is."""
    try:
        return json.loads(body)
    except ValueError:
        return body


def _without_token(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request as it may be inspected: without the access token."""
    shown = dict(sent)
    if "fhirAuthorization" in shown:
        shown["fhirAuthorization"] = {**shown["fhirAuthorization"], "access_token": "(hidden)"}
    return shown
