"""The encounter that the prediction is about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from fhir_adapters.chart import Resource
from fhir_adapters.reading_log import ReadingLog
from fhir_adapters.times import parse_moment, surely_later
from model.record import Stay

# Not begun, never took place, or recorded for the wrong patient.
UNUSED_STATUSES = frozenset({"cancelled", "entered-in-error", "planned", "discontinued"})
# Over, whatever its period says: the words of R4 and of R5.
_ENDED_STATUSES = frozenset({"finished", "completed", "discharged"})
# Classes of a stay in hospital come first when no encounter was named.
_INPATIENT_CLASSES = ("IMP", "ACUTE", "NONAC", "EMER", "OBSENC", "SS")

# First match counts; the words of unit names in US and PhysioNet usage.
_UNIT_TYPES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), unit_type)
    for pattern, unit_type in (
        (r"step-? ?down|intermediate|\bpcu\b|telemetry", "step-down unit"),
        (r"neonatal|\bnicu\b", "neonatal icu"),
        (r"p(a)?ediatric (icu|intensive)|\bpicu\b", "pediatric icu"),
        (r"cardiac surgery recovery|\bcsru\b", "cardiac surgery recovery unit"),
        (r"\bccu-cticu\b", "coronary care and cardiothoracic icu"),
        (r"cardio-?thoracic|\bcticu\b|\bcsicu\b|\bcvicu\b|cardiovascular", "cardiothoracic icu"),
        (r"coronary|\bccu\b|cardiac (icu|intensive)|cardiac care", "coronary care unit"),
        (r"med(ical)?[-/ ]*surg", "medical-surgical icu"),
        (r"medical (icu|intensive)|\bmicu\b", "medical icu"),
        (r"trauma", "trauma icu"),
        (r"neuro", "neurological icu"),
        (r"burn", "burn icu"),
        (r"surgical (icu|intensive)|\bt?sicu\b", "surgical icu"),
        (r"\bicu\b|intensive care|critical care", "icu"),
        (r"emergency|\bed\b", "emergency department"),
    )
)


def read_stay(
    encounters: Mapping[str, Resource],
    encounter_id: str | None,
    prediction_time: datetime,
    log: ReadingLog,
    *,
    live: bool = False,
) -> Stay | None:
    """Return the named encounter, else the patient's latest stay that had begun, if any.

    ``encounters`` are the patient's own, by reference. The end of the stay is not read: before
    the prediction time it is not known, and it would tell the outcome. Nor is a status that says
    that it is over, unless the prediction is ``live``: the status is that of today.
    """
    stays: dict[str, Stay] = {}
    for source, encounter in encounters.items():
        stay = _read_encounter(encounter, source, prediction_time, log)
        if stay is not None:
            stays[source] = stay
    if encounter_id is not None:
        named = f"Encounter/{encounter_id.rpartition('/')[2]}"
        if named not in stays:
            log.add_incomplete(named, "missing", "the encounter of the request cannot be used")
        elif not _is_running(encounters[named], prediction_time, live=live):
            log.remark(named, "ended", "the encounter of the request ended before prediction time")
        return stays.get(named)
    running = [
        stay
        for stay in stays.values()
        if _is_running(encounters[stay.source], prediction_time, live=live)
    ]
    return max(running, key=_stay_rank, default=None)


def _read_encounter(
    encounter: Resource, source: str, prediction_time: datetime, log: ReadingLog
) -> Stay | None:
    status = encounter.get("status")
    if not isinstance(status, str) or status in UNUSED_STATUSES:
        log.leave_out(source, "status", "its status says that it did not take place")
        return None
    if encounter.get("modifierExtension") or encounter.get("implicitRules"):
        log.leave_out(source, "modifier", "it has a modifier that is not known")
        return None
    if surely_later(_bound(encounter, "start"), prediction_time):
        log.leave_out(source, "future", "it starts after the prediction time")
        return None
    start = parse_moment(_bound(encounter, "start"))
    return Stay(
        source=source,
        encounter_class=_encounter_class(encounter),
        unit_type=_unit_type(encounter, prediction_time),
        # The day of admission is known even where its hour is not.
        start=min(start.time, prediction_time) if start is not None else None,
    )


def _bound(encounter: Resource, end: str) -> object:
    """Return start or end of an encounter: of ``period`` in R4, of ``actualPeriod`` in R5."""
    for element in ("period", "actualPeriod"):
        period = encounter.get(element)
        if isinstance(period, dict):
            return period.get(end)
    return None


def _is_running(encounter: Resource, prediction_time: datetime, *, live: bool) -> bool:
    if live and encounter.get("status") in _ENDED_STATUSES:
        return False
    end = parse_moment(_bound(encounter, "end"))
    return end is None or end.latest >= prediction_time


def _stay_rank(stay: Stay) -> tuple[bool, float, str]:
    started = stay.start.timestamp() if stay.start is not None else float("-inf")
    return stay.encounter_class in _INPATIENT_CLASSES, started, stay.source


def _encounter_class(encounter: Resource) -> str:
    """Return the class code: a Coding in R4, a list of CodeableConcepts in R5."""
    raw = encounter.get("class")
    for entry in raw if isinstance(raw, list) else [raw]:
        if not isinstance(entry, dict):
            continue
        codings = entry.get("coding", [entry])
        for coding in codings if isinstance(codings, list) else []:
            code = coding.get("code") if isinstance(coding, dict) else None
            if isinstance(code, str):
                return code
    return ""


def _unit_type(encounter: Resource, prediction_time: datetime) -> str:
    """Return the kind of ward, from the location at prediction time, else service or type."""
    candidates = [*_locations(encounter, prediction_time)]
    for element in ("serviceType", "type"):
        candidates.extend(_texts(encounter.get(element)))
    for text in candidates:
        for pattern, unit_type in _UNIT_TYPES:
            if pattern.search(text):
                return unit_type
    return ""


def _locations(encounter: Resource, prediction_time: datetime) -> list[str]:
    """Return the names of the locations that the patient had come to, the latest first."""
    found: list[tuple[float, str]] = []
    locations = encounter.get("location")
    for entry in locations if isinstance(locations, list) else []:
        location = entry.get("location") if isinstance(entry, dict) else None
        name = location.get("display") if isinstance(location, dict) else None
        period = entry.get("period") if isinstance(entry, dict) else None
        since = parse_moment(period.get("start")) if isinstance(period, dict) else None
        if isinstance(name, str) and (since is None or since.time <= prediction_time):
            found.append((since.time.timestamp() if since else float("-inf"), name[:200]))
    return [name for _, name in sorted(found, reverse=True)]


def _texts(concepts: object) -> list[str]:
    """Return text and displays of CodeableConcepts, alone, in a list, or inside R5 references."""
    texts: list[str] = []
    for concept in concepts if isinstance(concepts, list) else [concepts]:
        if not isinstance(concept, dict):
            continue
        inner = concept.get("concept")
        concept = inner if isinstance(inner, dict) else concept
        codings = concept.get("coding")
        parts = [concept, *(codings if isinstance(codings, list) else [])]
        for part in parts:
            for element in ("text", "display"):
                text = part.get(element) if isinstance(part, dict) else None
                if isinstance(text, str):
                    texts.append(text[:200])
    return texts
