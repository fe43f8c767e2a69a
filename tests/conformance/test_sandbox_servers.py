"""Two real FHIR servers with the same patients: what differs, and that the record does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cds_hooks.app import create_app
from cds_hooks.explain_command import chart_of_server
from conformance.endpoint import Endpoint, UpstreamChart
from conformance.exchange import Wire
from conformance.fhir_server import FhirServer, load
from conformance.runner import run_cases
from conformance.sandbox.run import Run
from conformance.target import Target
from fhir_adapters.bulk_links import RECORD_TYPES
from fhir_adapters.chart import Chart
from fhir_adapters.client import FhirClient
from fhir_adapters.datasets.sample_patients import sample_charts
from fhir_adapters.deadline import Deadline
from fhir_adapters.record_builder import build_record
from tests.cds_hooks import world
from tests.conformance.suite_world import cases, running
from tests.conformance.test_sandbox import run_on, verdicts
from tests.medplum_server import MedplumServer
from tests.test_one_door import content, renamed

NOW = datetime.now(UTC).replace(microsecond=0)  # a service asks for the last days
CHARTS = [renamed(sample_charts(NOW)[name], "two") for name in ("observation", "delirium")]
# What each server fails, measured; docs/sandbox.md has the same in words.
FAILED = {
    "sekmet": {"types-declared", "gzip"},
    "medplum": {"unknown-parameter-is-refused"},
}
FEW = ("hook-answers-200-with-cards", "missing-prefetch-is-fetched", "detail-is-a-string")


@pytest.fixture(scope="module")
def servers(fhir_server: FhirServer, medplum_server: MedplumServer) -> dict[str, str]:
    bases = {"sekmet": fhir_server.base_url, "medplum": medplum_server.base_url}
    for base in bases.values():
        for chart in CHARTS:
            load(base, chart.resources)
    return bases


def checked(base: str) -> Run:
    return run_on(base, patients=(CHARTS[0].patient_id,))


@pytest.mark.parametrize("name", FAILED)
def test_nothing_that_is_needed_fails_on_a_real_server(servers: dict[str, str], name: str) -> None:
    run = checked(servers[name])
    assert verdicts(run, "fail", "error", "skip").keys() == FAILED[name]
    assert not run.failed("needed")
    assert run.facts["device_categories"] == ["activity", "vital-signs"]


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.patient_id)
def test_the_same_chart_is_the_same_record_from_both(servers: dict[str, str], chart: Chart) -> None:
    records = [
        build_record(chart_of_server(base, chart.patient_id, "", NOW), NOW)
        for base in servers.values()
    ]
    assert [record.report.incomplete for record in records] == [(), ()]
    first, second = map(content, records)
    assert first == second
    own = tuple(one for one in chart.resources if one["resourceType"] in RECORD_TYPES)
    direct = build_record(Chart(chart.patient_id, own, encounter_id=chart.encounter_id), NOW)
    assert first == content(direct)


def test_paging_of_the_router_loses_nothing(servers: dict[str, str]) -> None:
    search = f"Observation?patient={CHARTS[0].patient_id}&category=vital-signs"
    with FhirClient(servers["medplum"], deadline=Deadline.after(60)) as fhir:
        small, large = fhir.search(f"{search}&_count=7"), fhir.search(f"{search}&_count=1000")
    assert len(small.resources) > 21
    assert {one["id"] for one in small.resources} == {one["id"] for one in large.resources}
    assert small.incomplete == large.incomplete == ()


def test_a_filter_that_the_router_does_not_know_is_no_empty_chart(
    servers: dict[str, str],
) -> None:
    search = f"Observation?patient={CHARTS[0].patient_id}&category=laboratory&_count=500"
    with FhirClient(servers["medplum"], deadline=Deadline.after(60)) as fhir:
        plain, filtered = fhir.search(search), fhir.search(f"{search}&ward=3")
    assert plain.resources
    assert len(filtered.resources) == len(plain.resources)
    assert [line.reason for line in filtered.incomplete] == ["unsupported-parameter"]


@pytest.fixture
def endpoint(servers: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    with Endpoint(UpstreamChart(servers[request.param])) as opened:
        yield opened


@pytest.mark.parametrize("endpoint", FAILED, indirect=True)
def test_the_suite_runs_our_service_on_a_patient_of_a_real_server(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    settings = world.settings(
        tmp_path,
        open_fhir_servers=(f"{endpoint.url}/fhir",),
        deadline_ms=9000,
        show_low_risk=True,
    )
    app = create_app(settings, predictor=world.LinearPredictor())
    assert _until_ready(app)
    wire = Wire()
    with running(_Served(app)) as base:  # type: ignore[arg-type]  # it has an app()
        target = Target(base, patient_id=CHARTS[0].patient_id, encounter_id="")
        chosen = [case for case in cases() if case.id in FEW]
        run = run_cases(target, chosen, endpoint, wire)
    wire.close()
    found = {one.case.id: (one.verdict, one.findings) for one in run.results}
    assert {verdict for verdict, _ in found.values()} == {"pass"}, found


class _Served:
    def __init__(self, app: object) -> None:
        self._app = app

    def app(self) -> object:
        return self._app


def _until_ready(app: object) -> bool:
    client = app.test_client()  # type: ignore[attr-defined]
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        if client.get("/readyz").status_code == 200:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("endpoint", FAILED, indirect=True)
def test_pages_of_a_real_server_stay_on_the_endpoint_of_the_suite(endpoint: Endpoint) -> None:
    """Otherwise a careful service would not follow them, and read the first page only."""
    search = f"Observation?patient={CHARTS[0].patient_id}&category=vital-signs&_count=5"
    endpoint.access_token = "of-this-run"
    deadline = Deadline.after(60)
    with FhirClient(f"{endpoint.url}/fhir", access_token="of-this-run", deadline=deadline) as fhir:
        result = fhir.search(search)
    assert len(result.resources) > 21
    assert result.incomplete == ()
