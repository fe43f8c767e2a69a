"""One door: the same record, whether a chart comes from prefetch, a live server or an export.

The three ways are those of the product: ``gather`` with everything prefetched and no server to
call, ``gather`` with nothing prefetched against a real FHIR server, ``read_bulk`` of what
``write_bulk`` wrote. Compared is all that the model can see: demographics, stay, measurements,
notes, device series, and the references of each item. The server rewrites no reference (it adds
``meta`` only), so none is normalised. Report lines differ in what they name, and are not compared.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds_hooks.prefetch import gather
from cds_hooks.request import HookContext, HookRequest
from cds_hooks.services import PrefetchTemplate, published_services
from cds_hooks.settings import Settings
from conformance.fhir_server import FhirServer
from fhir_adapters.bulk import read_bulk, write_bulk
from fhir_adapters.bulk_links import RECORD_TYPES
from fhir_adapters.chart import Chart
from fhir_adapters.client import FhirClient
from fhir_adapters.datasets.sample_patients import sample_charts
from fhir_adapters.deadline import Deadline
from fhir_adapters.record_builder import build_record
from model.record import PatientRecord
from tests.fhir_adapters.bulk_world import comparable

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
PUBLISHED = published_services(Settings())[0].prefetch
_NAMES = count()


def renamed(chart: Chart, name: str) -> Chart:
    """Return a chart under ids of its own: a server that tests share keeps what others wrote."""
    text = json.dumps(chart.resources).replace("sample-", f"{name}-")
    patient, stay = (
        str(identity).replace("sample-", f"{name}-")
        for identity in (chart.patient_id, chart.encounter_id)
    )
    return Chart(patient, tuple(json.loads(text)), encounter_id=stay)


CHARTS = {name: renamed(chart, "door") for name, chart in sample_charts(NOW).items()}


def hook_request(chart: Chart, prefetch: Mapping[str, Any] | None = None) -> HookRequest:
    return HookRequest(
        hook="patient-view",
        hook_instance="8a8b9f3e-0000-4000-8000-000000000000",
        context=HookContext("Practitioner/1", chart.patient_id, chart.encounter_id),
        arrived_at=NOW,
        prefetch=prefetch or {},
    )


def prefetched(template: PrefetchTemplate, chart: Chart) -> dict[str, Any]:
    """Answer a template from a chart as an EHR would; the texts of notes come with the notes."""
    kind, _, search = template.query.partition("?")
    kind = kind.partition("/")[0]
    found = [dict(one) for one in chart.resources if one["resourceType"] == kind]
    if template.is_read:
        return found[0]
    asked = {name: set(values[0].split(",")) for name, values in parse_qs(search).items()}
    for element in ("category", "code"):
        if element in asked:
            found = [one for one in found if codes(one.get(element)) & asked[element]]
    if kind == "DocumentReference":
        found += [dict(one) for one in chart.resources if one["resourceType"] == "Binary"]
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": one} for one in found],
    }


def codes(concepts: Any) -> set[str]:
    listed = concepts if isinstance(concepts, list) else [concepts or {}]
    return {coding.get("code", "") for one in listed for coding in one.get("coding", [])}


def by_prefetch(chart: Chart) -> PatientRecord:
    prefetch = {one.key: prefetched(one, chart) for one in PUBLISHED}
    return build_record(gather(hook_request(chart, prefetch), PUBLISHED, None), NOW)


def by_server(chart: Chart, server: FhirServer) -> PatientRecord:
    with FhirClient(server.base_url, deadline=Deadline.after(120)) as fhir:
        gathered = gather(hook_request(chart), PUBLISHED, fhir)
    assert gathered.incomplete == ()
    return build_record(gathered, NOW)


def by_export(charts: Sequence[Chart], folder: Path) -> dict[str, PatientRecord]:
    """Write the charts into one export, packed and cut into small files, and read it."""
    write_bulk(charts, folder, compress=True, lines_per_file=97)
    return {one.patient_id: build_record(one, NOW) for one in read_bulk(folder, report=print_none)}


def print_none(_: object) -> None:
    """Take the lines about types that no record uses."""


def content(record: PatientRecord) -> Any:
    """Return all that the model can see of a record."""
    plain, series, *_ = comparable(record)
    return plain, series


@pytest.fixture(scope="module")
def server(fhir_server: FhirServer) -> FhirServer:
    for chart in CHARTS.values():
        fhir_server.load(one for one in chart.resources if one["resourceType"] in RECORD_TYPES)
    return fhir_server


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PatientRecord]:
    return by_export(list(CHARTS.values()), tmp_path_factory.mktemp("export"))


@pytest.mark.parametrize("name", sorted(CHARTS))
def test_a_sample_patient_is_the_same_by_prefetch_and_from_an_export(
    name: str, exported: Mapping[str, PatientRecord]
) -> None:
    chart = CHARTS[name]
    record = exported[chart.patient_id]
    assert record.measurements
    assert record.notes
    assert record.device_series
    assert content(by_prefetch(chart)) == content(record)


def test_the_comparison_sees_whatever_one_way_drops(
    exported: Mapping[str, PatientRecord],
) -> None:
    """Otherwise two ways that lose different things would pass for the same."""
    chart = CHARTS[min(CHARTS)]
    record = exported[chart.patient_id]
    used = [one.source for one in (*record.measurements[::17], *record.notes)]
    used += [series.sources[0] for series in record.device_series]
    used += [record.stay.source] if record.stay else []
    assert {source.partition("/")[0] for source in used} >= {"Observation", "DocumentReference"}
    whole = content(record)
    for source in used:
        kind, _, identity = source.partition("/")
        rest = tuple(
            one for one in chart.resources if (one["resourceType"], one["id"]) != (kind, identity)
        )
        assert len(rest) == len(chart.resources) - 1, source
        dropped = Chart(chart.patient_id, rest, encounter_id=chart.encounter_id)
        assert content(build_record(dropped, NOW)) != whole, source
    assert content(build_record(chart, NOW)) == whole


@pytest.mark.parametrize("name", sorted(CHARTS))
def test_a_sample_patient_is_the_same_from_a_server_and_from_an_export(
    name: str, exported: Mapping[str, PatientRecord], server: FhirServer
) -> None:
    chart = CHARTS[name]
    assert content(by_server(chart, server)) == content(exported[chart.patient_id])


def test_the_service_asks_for_every_type_that_an_export_is_read_for() -> None:
    assert {"Patient", "Encounter", "Observation", "DocumentReference", "DiagnosticReport"} <= {
        one.resource_type for one in PUBLISHED
    }


@st.composite
def thinned(draw: st.DrawFn) -> Chart:
    """Some of a sample patient's resources in any order, under ids of their own.

    The Patient and the Encounter stay, for a service asks for both, and a Binary stays as long
    as its note does: prefetch has no other way to a text than to bring it along.
    """
    chart = CHARTS[draw(st.sampled_from(sorted(CHARTS)))]
    kept = [one for one in chart.resources if one["resourceType"] in ("Patient", "Encounter")]
    others = [
        one
        for one in chart.resources
        if one["resourceType"] in RECORD_TYPES - {"Patient", "Encounter", "Binary"}
    ]
    random = draw(st.randoms(use_true_random=False))
    kept += random.sample(others, draw(st.integers(0, 40)))
    urls = {
        content["attachment"].get("url")
        for one in kept
        if one["resourceType"] == "DocumentReference"
        for content in one["content"]
    }
    kept += [one for one in chart.resources if f"{one['resourceType']}/{one['id']}" in urls]
    random.shuffle(kept)
    text = json.dumps(kept)
    name = f"door{next(_NAMES)}"
    patient, stay = (
        str(identity).replace("door-", f"{name}-")
        for identity in (chart.patient_id, chart.encounter_id)
    )
    resources = tuple(json.loads(text.replace("door-", f"{name}-")))
    return Chart(patient, resources, encounter_id=stay)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(chart=thinned())
def test_any_chart_is_the_same_by_prefetch_and_from_an_export(tmp_path: Path, chart: Chart) -> None:
    record = by_export([chart], tmp_path / chart.patient_id)[chart.patient_id]
    shutil.rmtree(tmp_path / chart.patient_id)
    assert content(by_prefetch(chart)) == content(record)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(chart=thinned())
def test_any_chart_is_the_same_from_a_server_and_from_an_export(
    tmp_path: Path, fhir_server: FhirServer, chart: Chart
) -> None:
    fhir_server.load(chart.resources)
    record = by_export([chart], tmp_path / chart.patient_id)[chart.patient_id]
    assert content(by_server(chart, fhir_server)) == content(record)
