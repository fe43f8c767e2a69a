"""Request bodies of the cases: the right body, with one thing changed."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from conformance.endpoint import NEXT_PAGE
from conformance.json_path import dicts, find, remove_at, set_at
from conformance.sample import outcome, searchset
from conformance.session import NotRunnable, Session

Prefetch = dict[str, Any]
NO_ACCESS = "The run gives no access to a FHIR server."
_PREFETCHES_NOTHING = "The run prefetches nothing."


def hook_body(session: Session, step: Mapping[str, Any]) -> Any:
    """Return the hook request that a step asks for. Raises NotRunnable."""
    _require_access(session, step)
    body = session.hook_request()
    kind = step.get("prefetch", "full")
    if kind == "none" and not session.target.prefetch:
        kind = "full"  # that is nothing already
    if kind != "full":
        if not session.prefetched:
            why = "The service has no prefetch template that gave data."
            raise NotRunnable("omit", why if session.target.prefetch else _PREFETCHES_NOTHING)
        body["prefetch"] = _PREFETCHES[kind](session, body["prefetch"])
    if kind == "none":
        del body["prefetch"]
    if step.get("fhir") == "none":
        body.pop("fhirServer", None)
        body.pop("fhirAuthorization", None)
    elif step.get("fhir") == "foreign-server":
        body["fhirServer"] = f"{session.endpoint.foreign_url}/fhir"
    return changed(session, body, step.get("change", ()))


def _require_access(session: Session, step: Mapping[str, Any]) -> None:
    """Raise NotRunnable where a step is about FHIR access, and this run gives none."""
    changes = json.dumps(step.get("change", ()))
    about_access = "$.fhirServer" in changes or "$.fhirAuthorization" in changes
    fetching = step.get("prefetch") == "none" and step.get("fhir") != "none"
    served = step.get("fhir", "none") != "none"
    if not session.target.fhir_access and (about_access or fetching or served):
        raise NotRunnable("omit", NO_ACCESS)


def feedback_body(session: Session, step: Mapping[str, Any]) -> Any:
    """Return a feedback about the first card that has a uuid. Raises NotRunnable."""
    item = {
        "card": _card(session)["uuid"],
        "outcome": "overridden",
        "outcomeTimestamp": "{{now}}",
    }
    return changed(session, {"feedback": [item]}, step.get("change", ()))


def changed(session: Session, body: Any, changes: Sequence[Mapping[str, Any]]) -> Any:
    """Apply the changes of a step and put values into the placeholders."""
    for change in changes:
        if "remove" in change and change.get("optional") and not find(body, change["remove"]):
            continue
        if "remove" in change:
            remove_at(body, change["remove"])
        elif change["set"] == "$":
            body = copy.deepcopy(change["to"])
        else:
            set_at(body, change["set"], copy.deepcopy(change["to"]))
    return _filled(body, session)


def one_missing(session: Session) -> str:
    """Return the key that is left out where one is: the last of those that gave data."""
    return list(session.prefetched)[-1]


def _none(_: Session, prefetch: Prefetch) -> Prefetch:
    return prefetch


def _one_missing(session: Session, prefetch: Prefetch) -> Prefetch:
    if len(prefetch) < 2:
        raise NotRunnable("omit", "The service has fewer than two prefetch keys.")
    left_out = one_missing(session)
    return {key: value for key, value in prefetch.items() if key != left_out}


def _searches(session: Session) -> list[str]:
    found = [key for key in session.prefetched if "?" in session.queries[key]]
    if not found:
        raise NotRunnable("omit", "The service has no prefetch template that is a search.")
    return found


def _null(session: Session, prefetch: Prefetch) -> Prefetch:
    return {**prefetch, **dict.fromkeys(_searches(session), None)}


def _outcome(session: Session, prefetch: Prefetch) -> Prefetch:
    return {**prefetch, **dict.fromkeys(_searches(session), outcome("exception"))}


def _empty(session: Session, prefetch: Prefetch) -> Prefetch:
    return {**prefetch, **dict.fromkeys(_searches(session), searchset([]))}


def _foreign_patient(session: Session, prefetch: Prefetch) -> Prefetch:
    for key in _searches(session):
        for entry in dicts(prefetch[key].get("entry")):
            resource = entry.get("resource")
            if isinstance(resource, dict) and "subject" in resource:
                resource["subject"] = {"reference": "Patient/somebody-else"}
                return prefetch
    raise NotRunnable("omit", "No prefetched Bundle holds a resource with a subject.")


def _paged(session: Session, prefetch: Prefetch) -> Prefetch:
    key = _searches(session)[-1]
    url = f"{session.endpoint.url}/fhir/{NEXT_PAGE}?page=2"
    return {**prefetch, key: {**prefetch[key], "link": [{"relation": "next", "url": url}]}}


_PREFETCHES: Mapping[str, Callable[[Session, Prefetch], Prefetch]] = {
    "none": _none,
    "one-missing": _one_missing,
    "null": _null,
    "outcome": _outcome,
    "empty": _empty,
    "foreign-patient": _foreign_patient,
    "paged": _paged,
}


def _filled(value: Any, session: Session) -> Any:
    if isinstance(value, dict):
        return {name: _filled(member, session) for name, member in value.items()}
    if isinstance(value, list):
        return [_filled(member, session) for member in value]
    if isinstance(value, str) and value in _PLACEHOLDERS:
        return _PLACEHOLDERS[value](session)
    return value


def _card(session: Session) -> dict[str, Any]:
    for card in session.cards:
        if isinstance(card.get("uuid"), str):
            return card
    raise NotRunnable("omit", "No card has a uuid, so that no feedback can be given.")


def _suggestion(session: Session) -> str:
    for card in session.cards:
        for one in dicts(card.get("suggestions")):
            if isinstance(one.get("uuid"), str) and "uuid" in card:
                return one["uuid"]
    raise NotRunnable("omit", "No card has a suggestion with a uuid.")


def _suggesting_card(session: Session) -> str:
    for card in session.cards:
        uuids = [one.get("uuid") for one in dicts(card.get("suggestions"))]
        if any(uuids) and isinstance(card.get("uuid"), str):
            return card["uuid"]
    raise NotRunnable("omit", "No card has a suggestion with a uuid.")


_PLACEHOLDERS: Mapping[str, Callable[[Session], str]] = {
    "{{now}}": lambda _: datetime.now(UTC).isoformat(timespec="milliseconds")[:23] + "Z",
    "{{uuid}}": lambda _: str(uuid.uuid4()),
    "{{patientAsUser}}": lambda session: f"Patient/{session.target.patient_id}",
    "{{card}}": lambda session: str(_card(session)["uuid"]),
    "{{suggestion}}": _suggestion,
    "{{suggestingCard}}": _suggesting_card,
}
