"""The chart beside the cards: what any EHR shows of a patient, read tolerantly."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from conformance.ehr.cds_client import Connection
from conformance.ehr.http import CallFailed, get_json
from conformance.ehr.safe_markdown import plain

_NOTE_CHARACTERS = 4000
_PANELS = (
    ("Vital signs", "Observation?patient={}&category=vital-signs&_sort=-date&_count=80"),
    ("Laboratory", "Observation?patient={}&category=laboratory&_sort=-date&_count=80"),
    ("Devices", "Observation?patient={}&category=activity&_sort=-date&_count=20"),
    (
        "Procedures and device data",
        "Observation?patient={}&category=procedure&_sort=-date&_count=20",
    ),
)
_NOTES = "DocumentReference?patient={}&_sort=-date&_count=20"
_PATIENTS = "Patient?_count=200"
_ENCOUNTERS = "Encounter?patient={}&status=in-progress&_count=5"


@dataclass(frozen=True, slots=True)
class PatientLine:
    """A patient as a list or a banner shows one."""

    id: str
    name: str
    sex: str
    birth_date: str


@dataclass(frozen=True, slots=True)
class Value:
    """The newest value of one kind of Observation."""

    what: str
    value: str
    when: str
    count: int
    flag: str


@dataclass(frozen=True, slots=True)
class NoteLine:
    """A note with its text, where it is inline."""

    title: str
    when: str
    text: str


@dataclass(frozen=True, slots=True)
class ChartView:
    """All that the chart page shows beside the cards."""

    patient: PatientLine
    encounter_id: str | None
    encounter: str
    panels: tuple[tuple[str, tuple[Value, ...]], ...]
    notes: tuple[NoteLine, ...]
    problems: tuple[str, ...]


def read_patients(connection: Connection) -> list[PatientLine]:
    """Return the server's patients by name. Raises CallFailed."""
    found = _resources(get_json(f"{connection.fhir_server}/{_PATIENTS}", connection.fhir_token))
    lines = [_patient(one) for one in found if one.get("resourceType") == "Patient"]
    return sorted(lines, key=lambda line: (line.name.casefold(), line.id))


def read_chart(connection: Connection, patient_id: str) -> ChartView:
    """Read what the page shows, in parallel. Raises CallFailed if there is no such patient."""
    path = quote(patient_id, safe="")
    patient = get_json(f"{connection.fhir_server}/Patient/{path}", connection.fhir_token)
    queries = [_ENCOUNTERS, _NOTES, *(query for _, query in _PANELS)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda query: _search(connection, query.format(path)), queries))
    (encounters, _), (notes, _), *observations = answers
    encounter = encounters[0] if encounters else {}
    return ChartView(
        patient=_patient(patient),
        encounter_id=encounter.get("id"),
        encounter=_encounter_text(encounter),
        panels=tuple(
            (title, _newest(found))
            for (title, _), (found, _) in zip(_PANELS, observations, strict=True)
            if found
        ),
        notes=tuple(_note(one) for one in notes),
        problems=tuple(problem for _, problem in answers if problem),
    )


def _search(connection: Connection, query: str) -> tuple[list[Mapping[str, Any]], str]:
    try:
        answer = get_json(f"{connection.fhir_server}/{query}", connection.fhir_token)
    except CallFailed as exc:
        return [], str(exc)
    return list(_resources(answer)), ""


def _resources(bundle: object) -> Iterator[Mapping[str, Any]]:
    entries = bundle.get("entry", []) if isinstance(bundle, Mapping) else []
    for entry in entries:
        resource = entry.get("resource")
        if resource and resource.get("resourceType") != "OperationOutcome":
            yield resource


def _patient(resource: Mapping[str, Any]) -> PatientLine:
    names = resource.get("name") or [{}]
    name = names[0].get("text") or " ".join(
        [*names[0].get("given", []), names[0].get("family", "")]
    )
    return PatientLine(
        id=str(resource.get("id", "")),
        name=plain(name.strip() or "(no name)"),
        sex=plain(resource.get("gender", "")),
        birth_date=plain(resource.get("birthDate", "")),
    )


def _encounter_text(encounter: Mapping[str, Any]) -> str:
    if not encounter:
        return "no current encounter"
    kind = encounter.get("class", {})
    where = [one.get("location", {}).get("display", "") for one in encounter.get("location", [])]
    parts = [kind.get("display") or kind.get("code", ""), *where]
    since = _when(encounter.get("period", {}).get("start"))
    return plain(", ".join(part for part in parts if part) + (f" since {since}" if since else ""))


def _newest(found: list[Mapping[str, Any]]) -> tuple[Value, ...]:
    """Return the first of each kind: the server sorts the newest first."""
    newest: dict[str, list[Mapping[str, Any]]] = {}
    for one in found:
        newest.setdefault(_concept(one.get("code")), []).append(one)
    return tuple(
        Value(
            what=what,
            value=_value(ones[0]),
            when=_when(_effective(ones[0])),
            count=len(ones),
            flag=_flag(ones[0]),
        )
        for what, ones in sorted(newest.items())
    )


def _value(resource: Mapping[str, Any]) -> str:
    if "valueQuantity" in resource:
        quantity = resource["valueQuantity"]
        unit = quantity.get("unit") or quantity.get("code") or ""
        return plain(f"{quantity.get('value', '')} {unit}".strip())
    if "valueSampledData" in resource:
        count = len(str(resource["valueSampledData"].get("data", "")).split())
        return f"{count} samples"
    if "component" in resource:
        return ", ".join(
            f"{_concept(part.get('code'))} {_value(part)}" for part in resource["component"]
        )
    for name in ("valueString", "valueInteger", "valueBoolean", "valueDateTime"):
        if name in resource:
            return plain(resource[name])
    if "valueCodeableConcept" in resource:
        return _concept(resource["valueCodeableConcept"])
    return "no value"


def _concept(concept: Mapping[str, Any] | None) -> str:
    concept = concept or {}
    codings = [one.get("display") or one.get("code") for one in concept.get("coding", [])]
    return plain(concept.get("text") or next(filter(None, codings), "(no code)"))


def _flag(resource: Mapping[str, Any]) -> str:
    found = resource.get("interpretation") or [{}]
    codes = [one.get("code", "") for one in found[0].get("coding", [])]
    return plain(codes[0]) if codes and codes[0] != "N" else ""


def _effective(resource: Mapping[str, Any]) -> str | None:
    period = resource.get("effectivePeriod", {})
    return resource.get("effectiveDateTime") or period.get("end") or period.get("start")


def _when(time: str | None) -> str:
    return plain((time or "")[:16].replace("T", " "))


def _note(resource: Mapping[str, Any]) -> NoteLine:
    contents = resource.get("content") or [{}]
    return NoteLine(
        title=_concept(resource.get("type")),
        when=_when(resource.get("date")),
        text=_attachment_text(contents[0].get("attachment", {})),
    )


def _attachment_text(attachment: Mapping[str, Any]) -> str:
    if not str(attachment.get("contentType", "")).startswith("text/plain"):
        return f"({plain(attachment.get('contentType', 'no attachment'))})"
    if "data" not in attachment:
        return "(stored apart)"
    try:
        text = base64.b64decode(attachment["data"], validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return "(the attachment is not valid base64)"
    shown = plain(text)
    return shown if len(shown) <= _NOTE_CHARACTERS else f"{shown[:_NOTE_CHARACTERS]} …"
