"""The raw material of a record: FHIR resources as plain dicts, from whatever way they came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model.record import ReportLine

Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chart:
    """The resources of one patient, from prefetch, a live server, NDJSON or a data set.

    ``resources`` mixes Patient, Encounter, Observation, DocumentReference, DiagnosticReport,
    Composition, Binary, Device and DeviceMetric in any order. A raw attachment that was fetched
    is a Binary whose ``meta.source`` is the URL that it came from. ``incomplete`` says what
    may be missing and why. ``aliases`` says which resource a Bundle's ``fullUrl`` stood for.
    """

    patient_id: str
    resources: tuple[Resource, ...]
    incomplete: tuple[ReportLine, ...] = ()
    encounter_id: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)  # "urn:uuid:..." -> "Patient/1"
