"""What the service would read of a FHIR server's patients, and settings that fit the server.

The conformance suite runs this module as a program of its own (``--reader``): it gets the server,
the patients and what was learnt of the server as JSON on its input, and answers with tables and a
settings file. The token is in the environment variable CONFORMANCE_FHIR_TOKEN.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cds_hooks.errors import ServiceError
from cds_hooks.explain_command import chart_of_server
from cds_hooks.sandbox_settings import suggested_settings
from fhir_adapters.chart import Chart
from fhir_adapters.client import FhirClient
from fhir_adapters.deadline import Deadline
from fhir_adapters.errors import ChartError, FhirError
from fhir_adapters.paging import Caps
from fhir_adapters.record_builder import build_record
from fhir_adapters.times import effective_moment, parse_moment
from model.record import PatientRecord, ReportLine

_TOKEN_VARIABLE = "CONFORMANCE_FHIR_TOKEN"  # noqa: S105  # the name of a variable, not a secret
_NEWEST = {
    "vital-signs": "Observation?patient={}&category=vital-signs&_sort=-date&_count=1",
    "laboratory": "Observation?patient={}&category=laboratory&_sort=-date&_count=1",
    "documents": "DocumentReference?patient={}&_sort=-date&_count=1",
}
_PATIENCE_S = 30.0
_RECENT = timedelta(days=1)  # newer data are read as of now, as a hook would
_LINES = 6  # of what is missing; more of them say the same


@dataclass(frozen=True, slots=True)
class Yield:
    """What one patient's chart gave. ``record`` None: nothing, and ``why`` says why not."""

    patient_id: str
    moment: datetime
    fetch_ms: float
    record: PatientRecord | None = field(default=None, repr=False)
    chart: Chart | None = field(default=None, repr=False)
    why: str = ""


def read_patients(fhir_url: str, patient_ids: Sequence[str], token: str) -> list[Yield]:
    """Read each patient as the service would, at the time of the newest data if that is old."""
    return [_read(fhir_url, one, token) for one in patient_ids]


def report(fhir_url: str, yields: Sequence[Yield], facts: dict[str, Any]) -> dict[str, Any]:
    """Return what the suite shows: two tables, sentences and a settings file."""
    return {
        "title": "What the service would read",
        "tables": [_by_patient(yields), _by_variable(yields)],
        "notes": list(dict.fromkeys(_notes(yields))),
        "files": [{"name": "settings.toml", "text": suggested_settings(fhir_url, yields, facts)}],
    }


def main() -> None:
    """Answer one question of the suite."""
    question = json.load(sys.stdin)
    fhir_url, facts = question["fhir"], question.get("facts", {})
    yields = read_patients(fhir_url, question["patients"], os.environ.get(_TOKEN_VARIABLE, ""))
    json.dump(report(fhir_url, yields, facts), sys.stdout)


def _read(fhir_url: str, patient_id: str, token: str) -> Yield:
    moment = datetime.now(UTC)
    try:
        newest = _newest(fhir_url, patient_id, token)
        if newest is not None and moment - newest > _RECENT:
            moment = newest
        start = time.perf_counter()
        chart = chart_of_server(fhir_url, patient_id, token, moment)
        took_ms = 1000 * (time.perf_counter() - start)
        return Yield(patient_id, moment, took_ms, build_record(chart, moment), chart)
    except (FhirError, ServiceError, ChartError) as exc:
        return Yield(patient_id, moment, 0.0, why=str(exc))


def _newest(fhir_url: str, patient_id: str, token: str) -> datetime | None:
    """Return when the newest of what a chart holds was true: sandboxes hold old stays."""
    queries = {name: query.format(patient_id) for name, query in _NEWEST.items()}
    with FhirClient(
        fhir_url,
        access_token=token or None,
        deadline=Deadline.after(_PATIENCE_S),
        caps=Caps(pages=1),
    ) as fhir:
        results = fhir.search_all(queries).values()
    found = (
        effective_moment(one) or parse_moment(one.get("date"))
        for result in results
        if not isinstance(result, FhirError)
        for one in result.resources
    )
    return max((one.latest for one in found if one is not None), default=None)


def _by_patient(yields: Sequence[Yield]) -> dict[str, Any]:
    columns = ["Patient", "As of", "Structured", "Variables", "Notes", "Sentences"]
    columns += ["Device points", "Channels", "Span of data", "Fetched in"]
    return {
        "title": "By patient: what each modality yields",
        "columns": columns,
        "rows": [_row(one) for one in yields],
    }


def _row(one: Yield) -> list[str]:
    record = one.record
    shown = one.moment.strftime("%Y-%m-%d %H:%M")
    if record is None:
        return [one.patient_id, shown, *["0"] * 6, one.why, ""]
    used = record.report.values_used
    return [
        one.patient_id,
        shown,
        str(used.get("structured", 0)),
        str(len({measurement.variable for measurement in record.measurements})),
        str(len(record.notes)),
        str(used.get("note", 0)),
        str(used.get("device", 0)),
        str(len(record.device_series)),
        _span(record),
        f"{one.fetch_ms / 1000:.1f} s",
    ]


def _span(record: PatientRecord) -> str:
    """Say from when to when the data reach, in hours or days."""
    times = [one.time.timestamp() for one in record.measurements]
    times += [one.time.timestamp() for one in record.notes]
    times += [float(edge) for one in record.device_series for edge in one.times_s[[0, -1]]]
    if not times:
        return "none"
    hours = (max(times) - min(times)) / 3600
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} days"


def _by_variable(yields: Sequence[Yield]) -> dict[str, Any]:
    """Which variables and channels were recognised, over all patients."""
    structured: Counter[str] = Counter()
    device: Counter[str] = Counter()
    for record in _records(yields):
        structured.update(one.variable for one in record.measurements)
        device.update({one.channel: len(one.times_s) for one in record.device_series})
    names = sorted({*structured, *device}, key=lambda name: (-structured[name], name))
    return {
        "title": "By variable: what was recognised",
        "columns": ["Variable", "Structured", "Device"],
        "rows": [[name, str(structured[name]), str(device[name])] for name in names],
    }


def _notes(yields: Sequence[Yield]) -> Iterator[str]:
    missing = Counter(_plain(line) for one in _records(yields) for line in one.report.incomplete)
    for sentence, count in missing.most_common(_LINES):
        yield f"Missing for {count} of {len(yields)} patients: {sentence}."
    reasons = Counter(line.reason for one in _records(yields) for line in one.report.left_out)
    if reasons:
        told = ", ".join(f"{count} for {reason}" for reason, count in reasons.most_common())
        yield f"Left out: {told}."
    unmapped = [
        line.sentence.rpartition("code ")[2].partition(" is no variable")[0]
        for one in _records(yields)
        for line in one.report.left_out
        if line.reason == "code"
    ]
    if unmapped:
        codes = ", ".join(code for code, _ in Counter(unmapped).most_common(_LINES))
        yield f"Codes of no variable, the most frequent first: {codes}."


def _plain(line: ReportLine) -> str:
    return line.sentence.rstrip(".")


def _records(yields: Sequence[Yield]) -> list[PatientRecord]:
    return [one.record for one in yields if one.record is not None]


if __name__ == "__main__":
    main()
