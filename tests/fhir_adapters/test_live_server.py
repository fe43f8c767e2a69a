"""The client against a real FHIR R4 server: paging over 1,200 Observations, degrading, records."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from conformance.fhir_server import FhirServer
from fhir_adapters.bulk import read_bulk, write_bulk
from fhir_adapters.chart import Chart, Resource
from fhir_adapters.client import Caps, FhirClient, SearchResult
from fhir_adapters.datasets.sample_patients import sample_charts
from fhir_adapters.deadline import Deadline
from fhir_adapters.documents import DOCUMENT_TYPES
from fhir_adapters.errors import FhirError, FhirNotFound
from fhir_adapters.notes import attachment_urls
from fhir_adapters.record_builder import build_record
from tests.fhir_adapters.bulk_world import comparable
from tests.fhir_adapters.fhir_answers import ids, reasons

_LOG = logging.getLogger(__name__)
COUNT = 1200
LABS = "Observation?patient=live-1&category=laboratory"
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def laboratory(number: int) -> dict[str, Any]:
    when = NOW - timedelta(minutes=number)
    return {
        "resourceType": "Observation",
        "id": f"live-{number:04}",
        "status": "final",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                        "code": "laboratory",
                    }
                ]
            }
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": "2524-7"}]},
        "subject": {"reference": "Patient/live-1"},
        "effectiveDateTime": when.isoformat(),
        "valueQuantity": {
            "value": round(1 + number / 1000, 3),
            "unit": "mmol/L",
            "system": "http://unitsofmeasure.org",
            "code": "mmol/L",
        },
    }


@pytest.fixture(scope="module")
def server(fhir_server: FhirServer) -> FhirServer:
    patient = {"resourceType": "Patient", "id": "live-1", "birthDate": "1950-01-01"}
    binary = {"resourceType": "Binary", "id": "live-b", "contentType": "text/plain", "data": "aGk="}
    fhir_server.load([patient, binary, *map(laboratory, range(COUNT))])
    return fhir_server


@pytest.fixture
def client(server: FhirServer) -> Iterator[FhirClient]:
    with FhirClient(server.base_url, deadline=Deadline.after(60)) as made:
        yield made


def test_1200_observations_of_one_patient_are_all_read_through_paging(client: FhirClient) -> None:
    started = time.perf_counter()
    result = client.search(f"{LABS}&_count=100")
    took_s = time.perf_counter() - started
    _LOG.info("%d Observations in 12 pages: %.2f s", COUNT, took_s)
    assert sorted(ids(result)) == [f"live-{number:04}" for number in range(COUNT)]
    assert result.incomplete == ()


def test_all_values_read_live_reach_the_record(client: FhirClient) -> None:
    results = client.search_all({"patient": "Patient/live-1", "labs": f"{LABS}&_count=200"})
    resources = [
        r for one in results.values() if isinstance(one, SearchResult) for r in one.resources
    ]
    record = build_record(Chart("live-1", tuple(resources)), NOW)
    assert len(record.measurements) == COUNT
    assert record.measurements[-1].value == 1.0
    assert record.measurements[-1].source == "Observation/live-0000"


def test_the_servers_page_size_and_our_cap_on_pages_are_flagged_when_they_cut(
    server: FhirServer,
) -> None:
    with FhirClient(server.base_url, deadline=Deadline.after(30), caps=Caps(pages=3)) as few:
        result = few.search(f"{LABS}&_count=50")
    assert (len(result.resources), reasons(result)) == (150, ["page-cap"])


def test_a_short_deadline_leaves_a_partial_result_flagged(server: FhirServer) -> None:
    with FhirClient(server.base_url, deadline=Deadline.after(60)) as warm:
        warm.capabilities()
    started = time.monotonic()
    with FhirClient(server.base_url, deadline=Deadline.after(1), caps=Caps(pages=2000)) as few:
        result = few.search(f"{LABS}&_count=1")
    assert time.monotonic() - started < 2
    assert 0 < len(result.resources) < COUNT
    assert reasons(result) == ["timeout"]


def test_a_parameter_that_the_server_does_not_know_is_left_out_and_reported(
    client: FhirClient,
) -> None:
    result = client.search(f"{LABS}&device=Device/5&_count=1000")
    assert len(result.resources) == COUNT
    assert reasons(result) == ["unsupported-parameter"]


def test_the_capability_statement_is_understood(client: FhirClient) -> None:
    capabilities = client.capabilities()
    assert capabilities.fhir_version == "4.0.1"
    assert capabilities.offers("Observation")
    assert not capabilities.lacks("Observation", "category")
    assert capabilities.lacks("Observation", "device")


def test_a_binary_is_read(client: FhirClient) -> None:
    assert client.attachment("Binary/live-b")["data"] == "aGk="


def test_a_patient_that_is_not_there_is_an_error(client: FhirClient) -> None:
    with pytest.raises(FhirNotFound, match=r"Patient/nobody: .*404 with an OperationOutcome"):
        client.read("Patient/nobody")


def test_the_same_record_comes_from_prefetch_a_live_server_and_an_export(
    server: FhirServer, client: FhirClient, tmp_path: Path
) -> None:
    direct = next(iter(sample_charts(NOW).values()))
    server.load(direct.resources)
    write_bulk([direct], tmp_path)
    (exported,) = read_bulk(tmp_path, report=lambda _: None)
    queries = queries_of(direct.patient_id)
    fetched = chart_of(direct.patient_id, client.search_all(queries), client)
    first_pages = {key: prefetched(server, query) for key, query in queries.items()}
    followed = {key: client.follow(page, key) for key, page in first_pages.items()}
    assert any("link" in page and len(page["entry"]) == 100 for page in first_pages.values())
    expected = comparable(build_record(direct, NOW))
    assert comparable(build_record(exported, NOW)) == expected
    assert comparable(build_record(fetched, NOW)) == expected
    assert comparable(build_record(chart_of(direct.patient_id, followed, client), NOW)) == expected


def queries_of(patient_id: str) -> dict[str, str]:
    mine = f"patient={patient_id}&_count=100"
    return {
        "patient": f"Patient?_id={patient_id}",
        "encounters": f"Encounter?{mine}",
        "observations": f"Observation?{mine}&category="
        "vital-signs,laboratory,activity,survey,exam,procedure,therapy",
        "documents": f"DocumentReference?{mine}",
        "reports": f"DiagnosticReport?{mine}",
        "devices": f"Device?{mine}",
    }


def prefetched(server: FhirServer, query: str) -> dict[str, Any]:
    """Return the first page of a search as a CDS Client would send it along."""
    page: dict[str, Any] = requests.get(f"{server.base_url}/{query}", timeout=30).json()
    return page


def chart_of(
    patient_id: str, found: Mapping[str, SearchResult | FhirError], client: FhirClient
) -> Chart:
    """Put together a chart as the service does: search results, then the texts of the notes."""
    resources: list[Resource] = []
    for result in found.values():
        assert isinstance(result, SearchResult)
        assert result.incomplete == ()
        resources += result.resources
    documents = [r for r in resources if r["resourceType"] in DOCUMENT_TYPES]
    for text in client.attachments(attachment_urls(documents)).values():
        assert not isinstance(text, FhirError)
        resources.append(text)
    return Chart(patient_id, tuple(resources))
