"""Why an Observation may not be used at all, whatever it measures."""

from __future__ import annotations

from fhir_adapters.chart import Resource
from fhir_adapters.reading_log import quoted
from fhir_adapters.subjects import Ownership
from fhir_adapters.usual_observations import USED_STATUSES


def observation_refusal(observation: Resource, ownership: Ownership) -> tuple[str, str] | None:
    """Return reason and sentence of a ReportLine, None if it may be used."""
    status = observation.get("status")
    if type(status) is not str or (
        status not in USED_STATUSES and status.strip().casefold() not in USED_STATUSES
    ):
        return "status", f"status {quoted(status)} is not used"
    if observation.get("modifierExtension"):
        return "modifier", "it has a modifierExtension that is not known"
    if observation.get("implicitRules"):
        return "modifier", "it has implicitRules that are not known"
    if observation.get("focus") and ownership.about_somebody_else(observation):
        return "focus", "its focus is not the patient"
    return None
