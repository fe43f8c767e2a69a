"""Recognises the shapes of DSTU2 and STU3, which this reader must refuse.

R4, R4B and R5 name and nest what is read here alike. The older versions moved or renamed elements
that decide whether a value counts, so that reading them as R4 could be wrong without any sign.
An old resource without any such element reads the same in all versions and passes.
"""

from __future__ import annotations

from typing import Any

from fhir_adapters.chart import Resource
from fhir_adapters.errors import UnsupportedFhirVersion

_OLD_TYPES = frozenset(
    {
        "BodySite",
        "Conformance",
        "DeviceComponent",
        "DeviceUseRequest",
        "DiagnosticOrder",
        "ImagingManifest",
        "ImagingObjectSelection",
        "MedicationOrder",
        "ProcedureRequest",
        "ReferralRequest",
        "Sequence",
    }
)
# Elements that R4, R4B and R5 do not have in these types.
_OLD_ELEMENTS: dict[str, frozenset[str]] = {
    "Composition": frozenset({"class"}),
    "DiagnosticReport": frozenset({"codedDiagnosis", "context", "image"}),
    "DocumentReference": frozenset({"class", "created", "indexed"}),
    "Encounter": frozenset({"incomingReferral", "indication"}),
    "Observation": frozenset({"comment", "comments", "context", "related"}),
    "Patient": frozenset({"animal", "careProvider"}),
}
_ADVICE = (
    "FHIR R4, R4B and R5 are read; ask the server for R4 (application/fhir+json; fhirVersion=4.0)"
)


def check_observation_version(observation: dict[str, Any], source: str) -> None:
    """Raise UnsupportedFhirVersion for an Observation of DSTU2 or STU3."""
    if (  # spelt out: this runs for every Observation, and costs a quarter of a set operation
        "comment" in observation
        or "comments" in observation
        or "context" in observation
        or "related" in observation
    ):
        raise _refusal(source, _OLD_ELEMENTS["Observation"].intersection(observation))
    category = observation.get("category")
    if type(category) is dict and "coding" in category:
        raise _refusal(source, "a single object as 'category'")


def check_version(resource: Resource, kind: str, source: str) -> None:
    """Raise UnsupportedFhirVersion for any other resource of DSTU2 or STU3."""
    if kind in _OLD_TYPES:
        raise _refusal(source, f"resource type {kind}")
    old = _OLD_ELEMENTS.get(kind, frozenset()).intersection(resource)
    if old:
        raise _refusal(source, old)
    if kind == "Encounter":
        _check_encounter(resource, source)


def _check_encounter(encounter: Resource, source: str) -> None:
    if isinstance(encounter.get("class"), str):
        raise _refusal(source, "a plain string as 'class'")
    reasons = encounter.get("reason")  # R5 has it again, with 'use' and 'value'
    if isinstance(reasons, list):
        for reason in reasons:
            if isinstance(reason, dict) and "coding" in reason:
                raise _refusal(source, "codings in 'reason'")


def _refusal(source: str, shape: str | frozenset[str]) -> UnsupportedFhirVersion:
    if not isinstance(shape, str):
        shape = f"element {min(shape)!r}"
    return UnsupportedFhirVersion(f"{source}: {shape} belongs to FHIR DSTU2 or STU3. {_ADVICE}")
