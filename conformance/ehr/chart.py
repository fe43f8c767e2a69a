"""The chart beside the cards: what any EHR shows of a patient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from conformance.ehr.cds_client import Connection
from conformance.ehr.chart_lines import (
    NoteLine,
    PatientLine,
    Value,
    encounter_text,
    note_line,
    panels,
    patient_line,
)
from conformance.ehr.http import CallFailed, get_json
from conformance.ehr.shapes import object_of, objects_of, text_of

_PATIENTS = "Patient?_count=200"
_BY_NAME = "&name={}"
_ENCOUNTERS = "Encounter?patient={}&status=in-progress&_count=5"
# Asked only for types that were not prefetched: a chart is not read twice.
_SEARCHES = (
    "Observation?patient={}&category=vital-signs&_sort=-date&_count=80",
    "Observation?patient={}&category=laboratory&_sort=-date&_count=80",
    "DocumentReference?patient={}&_sort=-date&_count=20",
)


@dataclass(frozen=True, slots=True)
class OpenedPatient:
    """Whose chart is opened, and the encounter that is going on."""

    patient: PatientLine
    encounter_id: str | None
    encounter: str
    problem: str  # why the encounter is not known


@dataclass(frozen=True, slots=True)
class ChartView:
    """What the chart page shows beside the cards."""

    panels: tuple[tuple[str, tuple[Value, ...]], ...]
    notes: tuple[NoteLine, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FoundPatients:
    """Patients of a server by name, and whether it has more than it sent."""

    lines: tuple[PatientLine, ...] = ()
    more: bool = False


def read_patients(connection: Connection, name: str = "") -> FoundPatients:
    """Return the server's patients, those whose name begins so. Raises CallFailed."""
    query = _PATIENTS + (_BY_NAME.format(quote(name, safe="")) if name else "")
    bundle = object_of(get_json(f"{connection.fhir_server}/{query}", connection.fhir_token))
    found = [one for one in _resources(bundle) if one.get("resourceType") == "Patient"]
    lines = sorted(map(patient_line, found), key=lambda line: (line.name.casefold(), line.id))
    links = objects_of(bundle.get("link"))
    return FoundPatients(tuple(lines), any(link.get("relation") == "next" for link in links))


def open_patient(connection: Connection, patient_id: str) -> OpenedPatient:
    """Read the patient and the current encounter. Raises CallFailed if there is no patient."""
    path = quote(patient_id, safe="")
    url = f"{connection.fhir_server}/Patient/{path}"
    patient = object_of(get_json(url, connection.fhir_token))
    if (patient.get("resourceType"), patient.get("id")) != ("Patient", patient_id):
        raise CallFailed(f"{url} did not answer with this patient.")
    encounters, problem = _search(connection, _ENCOUNTERS.format(path))
    encounter = encounters[0] if encounters else {}
    return OpenedPatient(
        patient_line(patient),
        text_of(encounter.get("id")) or None,
        encounter_text(encounter),
        problem,
    )


def read_chart(
    connection: Connection, opened: OpenedPatient, prefetched: Iterable[object]
) -> ChartView:
    """Return the chart from what was prefetched for a hook, or from searches of our own."""
    resources = [one for answer in prefetched for one in _resources(answer)]
    present = {one["resourceType"] for one in resources}
    path = quote(opened.patient.id, safe="")
    queries = [query.format(path) for query in _SEARCHES if query.split("?")[0] not in present]
    with ThreadPoolExecutor(len(_SEARCHES)) as pool:
        answers = list(pool.map(lambda query: _search(connection, query), queries))
    resources += [one for found, _ in answers for one in found]
    unique = {
        (text_of(one["resourceType"]), text_of(one.get("id"))): one for one in resources
    }.values()
    return ChartView(
        panels([one for one in unique if one["resourceType"] == "Observation"]),
        tuple(note_line(one) for one in unique if one["resourceType"] == "DocumentReference"),
        tuple(problem for _, problem in answers if problem),
    )


def _search(connection: Connection, query: str) -> tuple[list[Mapping[str, Any]], str]:
    try:
        answer = get_json(f"{connection.fhir_server}/{query}", connection.fhir_token)
    except CallFailed as exc:
        return [], str(exc)
    return list(_resources(answer)), ""


def _resources(bundle: object) -> Iterator[Mapping[str, Any]]:
    for entry in objects_of(object_of(bundle).get("entry")):
        resource = object_of(entry.get("resource"))
        if text_of(resource.get("resourceType")) not in ("", "OperationOutcome"):
            yield resource
