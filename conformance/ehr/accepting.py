"""Accepting a suggestion: what its actions create goes to the FHIR server, then feedback is sent.

The suggestion comes back from the form on the card's page, sealed when the page was made: the page
is not trusted to say what is created, and no card has to be kept on the server. Only drafts about
the patient whose chart is open are created; this EHR updates and deletes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer

from conformance.ehr.cards import Card, Suggestion
from conformance.ehr.http import post_json
from conformance.ehr.safe_markdown import plain

_LIFE_S = 8 * 3600  # a chart stays open for a shift
_CREATABLE = ("ServiceRequest", "Task", "RiskAssessment")
_STATUSES = {"ServiceRequest": "draft", "Task": "draft"}


class CannotAccept(Exception):
    """A suggestion is not carried out. The message is a sentence for the tester."""


class Seals:
    """Seals what a page carries from one request to the next."""

    def __init__(self, secret: bytes) -> None:
        self._serializer = URLSafeTimedSerializer(secret, salt="suggestion")

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


def create(fhir_server: str, resource: Mapping[str, Any], token: str) -> str:
    """Create a resource; return its reference. Raises CallFailed."""
    kind = resource["resourceType"]
    _, stored = post_json(f"{fhir_server}/{kind}", resource, token, fhir=True)
    identity = stored.get("id") if isinstance(stored, Mapping) else None
    return f"{kind}/{plain(identity)}" if identity else str(kind)


def _checked(resource: object, patient_id: str) -> Mapping[str, Any]:
    if not isinstance(resource, Mapping) or resource.get("resourceType") not in _CREATABLE:
        raise CannotAccept(f"This EHR creates {', '.join(_CREATABLE)} only.")
    kind = resource["resourceType"]
    person = resource.get("for" if kind == "Task" else "subject")
    if not isinstance(person, Mapping) or person.get("reference") != f"Patient/{patient_id}":
        raise CannotAccept("The resource is not about the patient of this chart.")
    if kind in _STATUSES and resource.get("status") != _STATUSES[kind]:
        raise CannotAccept("The resource is not a draft.")
    return resource
