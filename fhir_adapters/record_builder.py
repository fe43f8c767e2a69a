"""From a chart to the patient record: the one builder for training and serving."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fhir_adapters.bundle import unique_resources, unpacked
from fhir_adapters.chart import Chart, Resource
from fhir_adapters.codes import CodeTable, standard_codes
from fhir_adapters.demographics import read_demographics
from fhir_adapters.devices import device_of_metrics, name_of_device
from fhir_adapters.documents import DOCUMENT_TYPES, document_refusal
from fhir_adapters.errors import NoPatient, WrongPatient
from fhir_adapters.notes import read_notes
from fhir_adapters.observation_refusal import observation_refusal
from fhir_adapters.reading_log import ReadingLog
from fhir_adapters.stays import read_stay
from fhir_adapters.subjects import Ownership
from fhir_adapters.unread import unread_portions, used_sources
from fhir_adapters.versions import check_version
from fhir_adapters.vitals import ObservationReader
from model.record import PatientRecord


def build_record(
    chart: Chart,
    prediction_time: datetime,
    *,
    codes: CodeTable | None = None,
    allow_pdf: bool = False,
    live: bool = False,
) -> PatientRecord:
    """Read the chart into a record that holds nothing later than ``prediction_time``.

    ``codes`` may hold a site's own codes beside the standard ones (`concept_map.py`). Notes that
    are PDF only are left out and reported unless ``allow_pdf``: reading them may take seconds,
    which a hook does not have, and training must see what serving sees. ``live`` says that
    ``prediction_time`` is now: only then do a death and a status that the chart states count.
    Of a past moment they say nothing, and would tell the outcome. Raises NoPatient,
    WrongPatient or UnsupportedFhirVersion; whatever else is wrong with a resource leaves out that
    resource or value, with a sentence in the record's report.
    """
    if prediction_time.tzinfo is None:
        raise ValueError("prediction_time must state its time zone")
    prediction_time = prediction_time.astimezone(UTC)
    log = ReadingLog(chart.incomplete)
    parts = _sort_resources(chart, log)
    source = f"Patient/{parts.patient_id}"

    metrics = device_of_metrics(parts.metrics)
    reader = ObservationReader(
        parts.ownership, prediction_time, log, codes or standard_codes(), metrics, parts.aliases
    )
    for reference, observation in parts.observations:
        reader.read(observation, reference)
    notes = read_notes(
        parts.documents,
        parts.binaries,
        prediction_time,
        allow_pdf=allow_pdf,
        aliases=chart.aliases,
    )
    log.left_out.extend(notes.left_out)
    log.incomplete.extend(notes.incomplete)
    measurements = reader.measurements()
    names = {source: name_of_device(device) for source, device in parts.devices.items()}
    series = reader.channels.series(log, {key: name for key, name in names.items() if name})

    used = used_sources(measurements, notes.notes, series) if chart.portions else set()
    log.incomplete.extend(unread_portions(chart.portions, used, log))
    log.values_used["structured"] = len(measurements)
    log.values_used["note"] = sum(len(note.sentences) for note in notes.notes)
    log.values_used["device"] = sum(len(one.times_s) for one in series)
    return PatientRecord(
        demographics=read_demographics(parts.patient, source, prediction_time, log, live=live),
        prediction_time=prediction_time,
        measurements=measurements,
        notes=notes.notes,
        device_series=series,
        stay=read_stay(parts.encounters, chart.encounter_id, prediction_time, log, live=live),
        report=log.report(),
    )


_TIMES = (
    *("effectiveDateTime", "effectivePeriod", "effectiveInstant", "effectiveTiming"),
    "issued",
)


@dataclass(slots=True)
class _Parts:
    """The chart's resources by what reads them; documents and encounters are the patient's own."""

    patient_id: str
    patient: Resource
    ownership: Ownership
    aliases: dict[str, str]  # fullUrl -> "Patient/1"
    observations: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    documents: list[Resource] = field(default_factory=list)
    binaries: dict[str, Resource] = field(default_factory=dict)
    encounters: dict[str, Resource] = field(default_factory=dict)
    metrics: dict[str, Resource] = field(default_factory=dict)
    devices: dict[str, Resource] = field(default_factory=dict)


def _sort_resources(chart: Chart, log: ReadingLog) -> _Parts:
    contents = unpacked(chart.resources)
    log.incomplete.extend(contents.incomplete)
    by_id, without_id, lines = unique_resources(contents.resources)
    log.left_out.extend(lines)
    patient_id = chart.patient_id.removeprefix("Patient/")
    patient = _patient(by_id, patient_id)
    aliases = {**contents.aliases, **chart.aliases}
    parts = _Parts(patient_id, patient, Ownership(patient_id, patient, aliases), aliases)
    for (kind, identity), resource in by_id.items():
        _sort_resource(parts, resource, kind, f"{kind}/{identity}", log)
    for position, resource in enumerate(without_id):
        kind = resource["resourceType"]
        _sort_resource(parts, resource, kind, f"{kind}#{position}", log)
    return parts


def _patient(by_id: Mapping[tuple[str, str], Resource], patient_id: str) -> Resource:
    for kind, identity in by_id:
        if kind == "Patient" and identity != patient_id:
            raise WrongPatient(
                f"Patient/{identity} is not the patient of this chart, Patient/{patient_id}",
                source=f"Patient/{identity}",
            )
    patient = by_id.get(("Patient", patient_id))
    if patient is None:
        raise NoPatient(f"the chart holds no Patient/{patient_id}")
    return patient


def _sort_resource(
    parts: _Parts, resource: Resource, kind: str, source: str, log: ReadingLog
) -> None:
    log.resources_read[kind] += 1
    if kind == "Observation":
        parts.observations.append((source, resource))  # type: ignore[arg-type]  # a dict
        if "contained" in resource:
            refusal = observation_refusal(resource, parts.ownership)
            _sort_contained(parts, resource, source, refusal and refusal[0], log)
        return
    check_version(resource, kind, source)
    if kind in DOCUMENT_TYPES or kind == "Encounter":
        objection = parts.ownership.objection(resource, source)
        if objection:
            log.leave_out(source, "subject", objection)
        elif kind == "Encounter":
            parts.encounters[source] = resource
        else:
            parts.documents.append(resource)
            if "contained" in resource:
                line = document_refusal(resource, kind, source)
                _sort_contained(parts, resource, source, line.reason if line else None, log)
        return
    parts.ownership.refuse_other_patients(resource, source)
    if kind == "Binary":
        parts.binaries.update((name, resource) for name in _names_of_binary(resource, source))
    elif kind == "DeviceMetric":
        parts.metrics[source] = resource
    elif kind == "Device":
        parts.devices[source] = resource


def _sort_contained(
    parts: _Parts, resource: Resource, source: str, refused: str | None, log: ReadingLog
) -> None:
    """Take the Observations inside a resource; ``refused``: why it may not be used itself.

    Results inside a retracted report are retracted with it.
    """
    for reference, inner in _contained(resource, source):
        if refused:
            sentence = f"{source}, which contains it, may not be used"
            log.leave_out(reference, refused, sentence)
        else:
            parts.observations.append((reference, inner))


def _contained(resource: Resource, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the Observations inside a resource; they share its subject and times if without."""
    contained = resource.get("contained")
    for inner in contained if isinstance(contained, list) else []:
        if isinstance(inner, dict) and inner.get("resourceType") == "Observation":
            identity = inner.get("id")
            reference = f"{source}#{identity if isinstance(identity, str) else ''}"
            yield (
                reference,
                {"subject": resource.get("subject"), **_time_of(resource, inner), **inner},
            )


def _time_of(outer: Resource, inner: Resource) -> dict[str, Any]:
    """Return the outer resource's times where a contained result has none of its own."""
    if any(name in inner for name in _TIMES):
        return {}
    return {name: outer[name] for name in _TIMES if name in outer}


def _names_of_binary(binary: Resource, source: str) -> Iterator[str]:
    yield source
    meta = binary.get("meta")
    url = meta.get("source") if isinstance(meta, dict) else None
    if isinstance(url, str):
        yield url
