"""The moment of a chart's newest data, for charts that are read after the stay.

A prediction at that moment sees everything that the chart holds, as if it had been made when the
last of it came in. A result counts from when it was issued, a note from when its text was known.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from fhir_adapters.chart import Chart, Resource
from fhir_adapters.codes import CodeTable
from fhir_adapters.documents import DOCUMENT_TYPES, Document, read_document
from fhir_adapters.elements import dicts_of, text_of
from fhir_adapters.record_builder import build_record
from fhir_adapters.times import Moment, effective_moment, parse_moment, proof_of_existence
from model.record import PatientRecord


def record_at_last_moment(
    chart: Chart, now: datetime, *, codes: CodeTable | None = None
) -> PatientRecord | None:
    """Return the record at the moment of the chart's newest data that can be used, up to ``now``.

    None where the chart holds no measurement, note or device data. Raises as build_record does.
    """
    moment = _last_moment(chart, build_record(chart, now, codes=codes))
    return None if moment is None else build_record(chart, min(moment, now), codes=codes)


def _last_moment(chart: Chart, record: PatientRecord) -> datetime | None:
    """Return when the newest item of a record had become known, in whole seconds."""
    times = list(_item_times(record))
    if not times:
        return None
    used = set(_sources(record))
    for resource in chart.resources:
        if f"{resource.get('resourceType')}/{resource.get('id')}" in used:
            times.extend(_known(resource))
    newest = max(times)
    return newest.replace(microsecond=0) + timedelta(seconds=1 if newest.microsecond else 0)


def _item_times(record: PatientRecord) -> Iterator[datetime]:
    yield from (measurement.time for measurement in record.measurements)
    yield from (note.time for note in record.notes)
    for series in record.device_series:
        yield datetime.fromtimestamp(float(series.times_s[-1]), UTC) + timedelta(microseconds=1)


def _sources(record: PatientRecord) -> Iterator[str]:
    """Yield the resources that hold the items; what one contains is known when it is."""
    sources = [measurement.source for measurement in record.measurements]
    sources += [note.source for note in record.notes]
    sources += [source for series in record.device_series for source in series.sources]
    yield from (source.partition("#")[0] for source in sources)


def _known(resource: Resource) -> Iterator[datetime]:
    """Yield the times from which a resource, and the Observations in it, are known."""
    if text_of(resource.get("resourceType")) in DOCUMENT_TYPES:
        document = read_document(resource)
        if isinstance(document, Document) and document.known_since is not None:
            yield document.known_since.latest
    else:
        yield from _observation_known(resource)
    for inner in dicts_of(resource.get("contained")):
        if inner.get("resourceType") == "Observation":
            yield from _observation_known(inner)


def _observation_known(observation: Resource) -> Iterator[datetime]:
    for moment in (effective_moment(observation), parse_moment(observation.get("issued"))):
        if moment is not None:
            yield _past_everywhere(moment, observation)


def _past_everywhere(moment: Moment, observation: Resource) -> datetime:
    """A time that is not exact is past when it is past in every zone, or proved to be."""
    proof = None if moment.exact else proof_of_existence(observation)
    return moment.latest if proof is None else min(proof, moment.latest)
