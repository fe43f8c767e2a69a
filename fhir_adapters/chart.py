"""The raw material of a record: FHIR resources as plain dicts, from whatever way they came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model.record import ReportLine

Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Portion:
    """What one search, or one prefetch key, brought of a chart."""

    source: str  # the key, as a ReportLine's source
    display: str  # for a clinician: "laboratory results"
    resources: tuple[Resource, ...]  # of the type that was asked for


@dataclass(frozen=True, slots=True)
class Chart:
    """The resources of one patient, from prefetch, a live server, NDJSON or a data set.

    ``resources`` mixes Patient, Encounter, Observation, DocumentReference, DiagnosticReport,
    Composition, Binary, Device and DeviceMetric in any order. A raw attachment that was fetched
    is a Binary whose ``meta.source`` is the URL that it came from. ``incomplete`` says what
    may be missing and why. ``aliases`` says which resource a Bundle's ``fullUrl`` stood for.
    ``portions`` are resources again, by where they came from: of one that none can be read of,
    the record says so.
    """

    patient_id: str
    resources: tuple[Resource, ...]
    incomplete: tuple[ReportLine, ...] = ()
    encounter_id: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)  # "urn:uuid:..." -> "Patient/1"
    portions: tuple[Portion, ...] = ()
