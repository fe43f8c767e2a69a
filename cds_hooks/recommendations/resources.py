"""The resource that a step creates: a draft proposal, ServiceRequest or Task, in FHIR R4."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from cds_hooks.recommendations.step import Step
from model.prediction import TokenAttribution
from model.record import PatientRecord

_REASONS = ("Condition", "Observation", "DiagnosticReport", "DocumentReference")  # R4 allows these
_REFERENCE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")
_MOST_REASONS = 5
_URI = "urn:ietf:rfc:3986"  # the system of identifiers that are URIs


def created_by(
    step: Step, record: PatientRecord, tokens: Sequence[TokenAttribution], suggestion_uuid: str
) -> dict[str, Any]:
    """Return what a clinician creates by accepting; ``tokens`` are the reasons it addresses."""
    resource: dict[str, Any] = {
        "resourceType": step.kind,
        "identifier": identifiers(suggestion_uuid),
        "status": "draft",
        "intent": "proposal",
    }
    resource["instantiatesCanonical"] = (
        [step.plan_url] if step.kind == "ServiceRequest" else step.activity["url"]
    )
    resource["code"] = step.activity["code"]
    if "priority" in step.activity:
        resource["priority"] = step.activity["priority"]
    patient = "subject" if step.kind == "ServiceRequest" else "for"
    resource[patient] = {"reference": record.demographics.source}
    if record.stay is not None and _REFERENCE.fullmatch(record.stay.source):
        resource["encounter"] = {"reference": record.stay.source}
    resource["authoredOn"] = record.prediction_time.isoformat()
    reasons = [{"reference": one} for one in reason_references(tokens)]
    if step.kind == "ServiceRequest":
        if reasons:
            resource["reasonReference"] = reasons
    else:
        resource["description"] = step.title
        if reasons:
            resource["reasonReference"] = reasons[0]  # a Task has one
    cited = "; ".join(f"{one.text} {one.url}" for one in step.citations)
    resource["note"] = [
        {"text": f"{step.title}. Proposed by decision support (research software). {cited}"}
    ]
    return resource


def identifiers(suggestion_uuid: str) -> list[dict[str, str]]:
    """Name what a suggestion creates, so that two clicks on it can be made one draft.

    A client that creates with ``If-None-Exist: identifier=urn:ietf:rfc:3986|urn:uuid:...`` gets
    the draft of the first click back.
    """
    return [{"system": _URI, "value": f"urn:uuid:{suggestion_uuid}"}]


def reason_references(tokens: Iterable[TokenAttribution]) -> list[str]:
    """The resources behind tokens that may be the reason of an order, the strongest first."""
    sources = (source.partition("#")[0] for token in tokens for source in token.sources)
    distinct = dict.fromkeys(
        one for one in sources if _REFERENCE.fullmatch(one) and one.partition("/")[0] in _REASONS
    )
    return list(distinct)[:_MOST_REASONS]
