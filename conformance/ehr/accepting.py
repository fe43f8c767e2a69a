"""Accepting a suggestion: what its actions create goes to the FHIR server, then feedback is sent.

The suggestion comes back from the form on the card's page, sealed when the page was made: the page
is not trusted to say what is created, and no card has to be kept on the server. Only drafts about
the patient whose chart is open are created; this EHR updates and deletes nothing.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from itsdangerous import BadData, URLSafeTimedSerializer

from conformance.ehr.cards import Card, Suggestion
from conformance.ehr.http import CallFailed, get_json, post_json
from conformance.ehr.safe_markdown import plain

_LIFE_S = 8 * 3600  # a chart stays open for a shift
_CREATABLE = ("ServiceRequest", "Task", "RiskAssessment")
_STATUSES = {"ServiceRequest": "draft", "Task": "draft"}
_URI_SYSTEM = "urn:ietf:rfc:3986"
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")  # of FHIR
_ONE_AT_A_TIME = threading.Lock()  # of this process: its tabs are its threads


@dataclass(frozen=True, slots=True)
class Identified:
    """A resource with the identifier by which it is found again."""

    resource: Mapping[str, Any]
    identifier: str  # "urn:uuid:..."


@dataclass(frozen=True, slots=True)
class Said:
    """What became of a decision that was reported."""

    created: tuple[str, ...]  # references of drafts; none for an override


class CannotAccept(Exception):
    """A suggestion is not carried out. The message is a sentence for the tester."""


class Seals:
    """Seals what a page carries from one request to the next."""

    def __init__(self, secret: bytes) -> None:
        self._serializer = URLSafeTimedSerializer(secret, salt="suggestion")
        self._decisions = URLSafeTimedSerializer(secret, salt="decision")

    def seal(self, card: Card, suggestion: Suggestion, service_id: str, patient_id: str) -> str:
        """Return what the form of a suggestion carries."""
        return self._serializer.dumps(
            {
                "card": card.uuid,
                "suggestion": suggestion.uuid,
                "service": service_id,
                "patient": patient_id,
                "actions": [dict(action) for action in suggestion.actions],
            }
        )

    def open(self, sealed: str, patient_id: str) -> dict[str, Any]:
        """Return it. Raises CannotAccept if it is not ours, old, or of another patient."""
        try:
            found: dict[str, Any] = self._serializer.loads(sealed, max_age=_LIFE_S)
        except BadData as exc:
            raise CannotAccept("The suggestion is not of this page, or too old.") from exc
        if found["patient"] != patient_id:
            raise CannotAccept("The suggestion is of another patient.")
        return found

    def say(self, patient_id: str, created: Sequence[str]) -> str:
        """Return what the address of a chart carries after a decision."""
        return self._decisions.dumps([patient_id, *created])

    def said(self, sealed: str, patient_id: str) -> Said | None:
        """Return what was done, None where the address says nothing that is ours."""
        try:
            whose, *created = self._decisions.loads(sealed, max_age=_LIFE_S)
        except BadData:
            return None
        return Said(tuple(created)) if whose == patient_id else None


def resources_to_create(actions: object, patient_id: str) -> list[Mapping[str, Any]]:
    """Return the resources of all actions. Raises CannotAccept for what this EHR does not do."""
    resources = []
    for action in actions if isinstance(actions, list) else []:
        kind = action.get("type") if isinstance(action, Mapping) else None
        if kind != "create":
            raise CannotAccept(f"This EHR carries out create actions only, not {plain(kind)}.")
        resources.append(_checked(action.get("resource"), patient_id))
    if not resources:
        raise CannotAccept("The suggestion has no action.")
    return resources


def identified(resource: Mapping[str, Any], suggestion_uuid: str, index: int) -> Identified:
    """Give a resource the suggestion's uuid as an identifier, unless it carries it already.

    The second and later resources of one suggestion get uuids made from it, so that they are told
    apart.
    """
    value = f"urn:uuid:{_identity(suggestion_uuid, index)}"
    own = {"system": _URI_SYSTEM, "value": value}
    present = resource.get("identifier")
    identifiers = list(present) if isinstance(present, list) else []
    if not _carries(resource, value):
        identifiers.append(own)
    return Identified({**resource, "identifier": identifiers}, value)


def _identity(suggestion_uuid: str, index: int) -> uuid.UUID:
    try:
        base = uuid.UUID(suggestion_uuid)
    except ValueError:  # the specification leaves the form of a suggestion's uuid open
        base = uuid.uuid5(uuid.NAMESPACE_OID, suggestion_uuid)
    return base if index == 0 else uuid.uuid5(base, str(index))


def _carries(resource: object, value: str) -> bool:
    identifiers = resource.get("identifier") if isinstance(resource, Mapping) else None
    return any(
        isinstance(one, Mapping) and one.get("system") == _URI_SYSTEM and one.get("value") == value
        for one in (identifiers if isinstance(identifiers, list) else [])
    )


def create(fhir_server: str, wanted: Identified, token: str) -> str:
    """Create a resource once; return its reference. Raises CallFailed.

    Accepting a suggestion twice must not order twice. So the server is asked for a resource with
    our identifier first, and told not to create a second one; a server that does not know either
    is asked for all resources of the patient. Two tabs at the same moment take turns: between a
    server's own look and its writing there may be time for another one.
    """
    with _ONE_AT_A_TIME:
        return _create(fhir_server, wanted, token)


def _create(fhir_server: str, wanted: Identified, token: str) -> str:
    kind = wanted.resource["resourceType"]
    condition = f"identifier={_URI_SYSTEM}|{wanted.identifier}"
    found = _search(f"{fhir_server}/{kind}?{quote(condition, safe='=:')}", wanted, token)
    if found:
        return found
    try:
        _, stored = post_json(
            *(f"{fhir_server}/{kind}", wanted.resource, token), fhir=True, if_none_exist=condition
        )
    except CallFailed as exc:
        if exc.status not in (400, 501):  # sekmet knows no identifier of a RiskAssessment
            raise
        stored = _create_after_search(fhir_server, wanted, token)
    reference = _reference(stored, kind)
    if reference is None:
        raise CallFailed(f"{fhir_server}/{kind} did not say which resource it created.")
    return reference


def read_back(fhir_server: str, reference: str, wanted: Identified, token: str) -> None:
    """Make sure that the server holds what was created. Raises CallFailed."""
    held = get_json(f"{fhir_server}/{reference}", token)
    if not _carries(held, wanted.identifier):
        raise CallFailed(f"{fhir_server}/{reference} is not what was created.")


def _create_after_search(fhir_server: str, wanted: Identified, token: str) -> Any:
    kind = wanted.resource["resourceType"]
    person = quote(_person(wanted.resource)["reference"], safe="")
    name = "patient" if kind == "Task" else "subject"
    found = _search(f"{fhir_server}/{kind}?{name}={person}&_count=200", wanted, token)
    if found:
        return {"id": found.partition("/")[2]}
    return post_json(f"{fhir_server}/{kind}", wanted.resource, token, fhir=True)[1]


def _search(url: str, wanted: Identified, token: str) -> str | None:
    """Return the reference of the resource with our identifier; other hits do not count.

    Servers answer a search by a parameter that they do not know with everything they have.
    """
    try:
        bundle = get_json(url, token)
    except CallFailed as exc:
        if exc.status is None or exc.status >= 500 or exc.status in (401, 403):
            raise
        return None  # not searchable: the conditional create has to do
    entries = bundle.get("entry") if isinstance(bundle, Mapping) else None
    for entry in entries if isinstance(entries, list) else []:
        resource = entry.get("resource") if isinstance(entry, Mapping) else None
        if _carries(resource, wanted.identifier):
            return _reference(resource, wanted.resource["resourceType"])
    return None


def _reference(stored: object, kind: str) -> str | None:
    identity = stored.get("id") if isinstance(stored, Mapping) else None
    if not isinstance(identity, str) or not _ID.fullmatch(identity):
        return None
    return f"{kind}/{identity}"


def _person(resource: Mapping[str, Any]) -> Any:
    return resource.get("for" if resource["resourceType"] == "Task" else "subject")


def _checked(resource: object, patient_id: str) -> Mapping[str, Any]:
    if not isinstance(resource, Mapping) or resource.get("resourceType") not in _CREATABLE:
        raise CannotAccept(f"This EHR creates {', '.join(_CREATABLE)} only.")
    kind = resource["resourceType"]
    person = _person(resource)
    if not isinstance(person, Mapping) or person.get("reference") != f"Patient/{patient_id}":
        raise CannotAccept("The resource is not about the patient of this chart.")
    if kind in _STATUSES and resource.get("status") != _STATUSES[kind]:
        raise CannotAccept("The resource is not a draft.")
    return resource
