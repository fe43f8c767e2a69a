"""How the resources of an export hang together: whose a resource is, and what it refers to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_adapters.chart import Resource
from fhir_adapters.documents import canonical_reference
from fhir_adapters.elements import dict_of, dicts_of, text_of

RECORD_TYPES = frozenset(
    {
        "Binary",
        "Composition",
        "Device",
        "DeviceMetric",
        "DiagnosticReport",
        "DocumentReference",
        "Encounter",
        "Observation",
        "Patient",
    }
)
# Those that may name no patient, and are then whoever's refers to them.
SHARED_TYPES = frozenset({"Binary", "Device", "DeviceMetric"})
_HOLDERS = ("subject", "patient", "securityContext")


def subject_of(resource: Resource) -> str:
    """Return the name of the patient that a resource is about, "" if it names none.

    The name is a reference, ``Patient/1``, or an identifier where the subject has only that.
    """
    if resource.get("resourceType") == "Patient":
        identity = text_of(resource.get("id"))
        return f"Patient/{identity}" if identity else ""
    for holder in _HOLDERS:
        subject = dict_of(resource.get(holder))
        reference = text_of(subject.get("reference"))
        if reference:
            return _patient_reference(reference)
        if subject:
            return next(_identifier_names([subject.get("identifier")]), "")
    return ""


def names_of(resource: Resource) -> list[str]:
    """Return the names by which others may refer to a resource."""
    kind, identity = text_of(resource.get("resourceType")), text_of(resource.get("id"))
    names = [f"{kind}/{identity}"] if identity else []
    if kind == "Patient":
        names += _identifier_names(resource.get("identifier"))
    elif kind == "Binary":
        url = text_of(dict_of(resource.get("meta")).get("source"))
        names += [url] if url else []
    return list(dict.fromkeys(names))


def needs_of(resource: Resource) -> Iterator[str]:
    """Yield the names of what else belongs to a resource: devices and attachments."""
    kind = resource.get("resourceType")
    if kind == "Observation":
        yield from _reference(resource, "device")
    elif kind == "DocumentReference":
        for content in dicts_of(resource.get("content")):
            yield from _urls([content.get("attachment")])
    elif kind == "DiagnosticReport":
        yield from _urls(resource.get("presentedForm"))
    elif kind in ("Device", "DeviceMetric"):
        yield from _reference(resource, "source")
        yield from _reference(resource, "parent")


def _patient_reference(reference: str) -> str:
    if reference.startswith(("urn:uuid:", "urn:oid:")):
        return f"Patient/{reference.split(':', 2)[2]}"
    canonical = canonical_reference(reference.partition("#")[0])
    return canonical if canonical.startswith("Patient/") else ""


def _identifier_names(identifiers: object) -> Iterator[str]:
    for identifier in dicts_of(identifiers):
        system, value = text_of(identifier.get("system")), text_of(identifier.get("value"))
        if system and value:
            yield f"identifier {system}|{value}"


def _reference(resource: Resource, element: str) -> Iterator[str]:
    reference = text_of(dict_of(resource.get(element)).get("reference"))
    if reference and not reference.startswith("#"):
        yield canonical_reference(reference)


def _urls(attachments: Any) -> Iterator[str]:
    for attachment in dicts_of(attachments):
        url = text_of(attachment.get("url"))
        if url and not url.startswith(("#", "data:")):
            yield url
            yield canonical_reference(url)
