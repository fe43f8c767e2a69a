"""A FHIR server whose CapabilityStatement takes longer than a hook has."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer

from cds_hooks.parts import parts_of
from cds_hooks.trust import TrustedIssuer
from tests.cds_hooks import signing, world
from tests.cds_hooks.conftest import Service
from tests.cds_hooks.fhir_stub import FhirStub, key_of
from tests.cds_hooks.running import Running
from tests.cds_hooks.world import LinearPredictor

URL = "/cds-services/meam-risk"
SLOW_S = 1.0
LISTED = ("Composition", "DocumentReference", "DiagnosticReport", "Observation")
STATEMENT = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "rest": [
        {
            "mode": "server",
            "resource": [
                {"type": kind, "searchParam": [{"name": "patient"}, {"name": "date"}]}
                for kind in LISTED
            ],
        }
    ],
}
TEXT = {
    "resourceType": "Binary",
    "id": "b1",
    "contentType": "text/plain",
    "data": base64.b64encode(b"Patient looks septic.").decode(),
}


@pytest.fixture
def fhir() -> Iterator[FhirStub]:
    server = HTTPServer(threaded=True)  # so that nothing else is slow
    server.start()
    stub = FhirStub(server)
    stub.answers["metadata"] = STATEMENT
    stub.answers["Binary/b1"] = TEXT
    stub.answers["notes"] = world.bundle([world.note(contentType="text/plain", url="Binary/b1")])
    stub.answers["Composition"] = world.bundle([])
    yield stub
    wait_for_readers()
    server.stop()


@pytest.fixture
def client(service: Service, fhir: FhirStub) -> FlaskClient:
    return service(open_fhir_servers=(fhir.base_url,), deadline_ms=800)


def wait_for_readers() -> None:
    for thread in threading.enumerate():
        if thread.name == "metadata":
            thread.join(10)


def without_notes(fhir: FhirStub) -> dict[str, Any]:
    prefetch = {key: value for key, value in world.full_prefetch().items() if key != "notes"}
    return world.hook_request(
        prefetch, fhirServer=fhir.base_url, fhirAuthorization=world.authorization()
    )


def limits(client: FlaskClient, request: dict[str, Any]) -> str:
    answer: Any = client.post(URL, json=request)
    assert answer.status_code == 200, answer.get_data()
    (card,) = answer.json["cards"]
    return str(card["detail"]).partition("Limits of this answer")[2]


def asked(fhir: FhirStub) -> list[str]:
    return [key_of(request) for request in fhir.requests]


def test_a_slow_statement_costs_no_hook_its_data(
    client: FlaskClient, fhir: FhirStub, predictor: LinearPredictor
) -> None:
    fhir.delays_s["metadata"] = SLOW_S
    for _ in range(2):
        start_s = time.monotonic()
        assert limits(client, without_notes(fhir)) == ""
        assert time.monotonic() - start_s < SLOW_S / 2
        (note,) = predictor.records[-1].notes
        assert note.sentences[0].text == "Patient looks septic."
    assert asked(fhir).count("metadata") == 1


def test_an_empty_search_waits_for_no_statement(client: FlaskClient, fhir: FhirStub) -> None:
    fhir.delays_s["metadata"] = SLOW_S
    fhir.answers.update(laboratory=world.bundle([]), notes=world.bundle([]))
    calm = world.calm_prefetch()
    del calm["laboratory"], calm["notes"]
    request = {**without_notes(fhir), "prefetch": calm}
    assert client.post(URL, json=request).json == {"cards": []}


def test_a_statement_that_came_is_used_by_the_next_hook(
    client: FlaskClient, fhir: FhirStub
) -> None:
    limits(client, without_notes(fhir))
    assert "Composition" not in asked(fhir)
    wait_for_readers()
    limits(client, without_notes(fhir))
    assert "Composition" in asked(fhir)
    assert asked(fhir).count("metadata") == 1


def test_r28_the_statement_is_read_without_the_token_of_a_hook(
    client: FlaskClient, fhir: FhirStub
) -> None:
    limits(client, without_notes(fhir))
    wait_for_readers()
    shown = {key_of(one): one.headers.get("Authorization") for one in fhir.requests}
    assert shown["metadata"] is None
    assert shown["notes"] == f"Bearer {world.TOKEN}"


def test_a_statement_that_cannot_be_read_is_logged(
    client: FlaskClient, fhir: FhirStub, log: Any
) -> None:
    fhir.answers["metadata"] = 404
    for _ in range(3):
        assert limits(client, without_notes(fhir)) == ""
        wait_for_readers()
    assert asked(fhir).count("metadata") == 1
    assert log.getvalue().count("no CapabilityStatement") == 1


def test_texts_of_notes_are_read_before_what_is_asked_beside_the_keys(
    client: FlaskClient, fhir: FhirStub, predictor: LinearPredictor
) -> None:
    parts = parts_of(client.application)
    parts.adviser.statements.prepare(parts.authenticator.fhir_servers())
    wait_for_readers()
    fhir.delays_s["Composition"] = SLOW_S
    said = limits(client, without_notes(fhir))
    assert "structured documents: not available (timeout)" in said
    assert "clinical notes" not in said
    (note,) = predictor.records[-1].notes
    assert note.sentences[0].text == "Patient looks septic."


def test_the_service_reads_statements_before_the_first_hook(fhir: FhirStub, tmp_path: Path) -> None:
    running = Running(tmp_path, f'open_fhir_servers = ["{fhir.base_url}"]')
    try:
        end_s = time.monotonic() + 10
        while "metadata" not in asked(fhir) and time.monotonic() < end_s:
            time.sleep(0.02)
    finally:
        running.close()
    assert asked(fhir) == ["metadata"]


def test_only_servers_that_hooks_may_call_are_read_ahead(service: Service) -> None:
    ehr, other = "https://ehr.example.org/fhir/", "https://other.example.org/fhir"
    client = service(
        mode_auth="jwt",
        public_base_url=signing.BASE,
        open_fhir_servers=("https://open.example.org",),
        issuers=(
            TrustedIssuer("a", jwks={"keys": []}, fhir_servers=(ehr,)),
            TrustedIssuer("b", jwks={"keys": []}, fhir_servers=(other,), prefetch_only=True),
        ),
    )
    servers = parts_of(client.application).authenticator.fhir_servers()
    assert servers == {"https://ehr.example.org:443/fhir"}
