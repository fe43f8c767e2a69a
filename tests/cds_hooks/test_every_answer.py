"""Requirements 1, 5, 29 and 81: what holds for every answer, by status."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer

from cds_hooks.parts import parts_of
from tests.cds_hooks import signing, world
from tests.cds_hooks.conftest import Service
from tests.cds_hooks.fhir_stub import FhirStub
from tests.cds_hooks.signing import bearer, token
from tests.cds_hooks.test_auth import issuer
from tests.cds_hooks.test_http import Crashing

URL = "/cds-services/meam-risk"
Make = Callable[[Service], Any]


def _post(client: FlaskClient, request: Any = None, **more: Any) -> Any:
    return client.post(URL, json=world.hook_request() if request is None else request, **more)


def _secured(service: Service, **changes: Any) -> FlaskClient:
    trusted = issuer(tenants=("north",), **changes)
    return service(mode_auth="jwt", public_base_url=signing.BASE, issuers=(trusted,))


ANSWERS: list[tuple[int, Make]] = [
    (200, lambda service: _post(service())),
    (200, lambda service: service().get("/cds-services")),
    (200, lambda service: service().get("/readyz")),
    (400, lambda service: _post(service(), {})),
    (403, lambda service: _post(_secured(service), headers=bearer(token(tenant="south")))),
    (404, lambda service: service().post("/cds-services/other", json={})),
    (405, lambda service: service().get(URL)),
    (412, lambda service: _post(service(), world.hook_request({}))),
    (413, lambda service: _post(service(max_body_bytes=100))),
    (415, lambda service: service().post(URL, data=b"{}", content_type="text/plain")),
    (500, lambda service: _post(service(use=Crashing()))),
    (503, lambda service: _post_to_a_full(service(max_concurrent_hooks=1, max_waiting_hooks=0))),
    (504, lambda service: _post(service(deadline_ms=121, hard_limit_ms=121, use=_Sleeper()))),
]
IDS = [f"{status}-{number}" for number, (status, _) in enumerate(ANSWERS)]


def _post_to_a_full(client: FlaskClient) -> Any:
    with parts_of(client.application).admission.place(1.0):
        return _post(client)


class _Sleeper(world.LinearPredictor):
    def __call__(self, record: Any, *, deadline_s: float | None = None) -> Any:
        if record.demographics.source != "Patient/warm-up":
            time.sleep(0.2)
        return super().__call__(record)


@pytest.mark.parametrize(("status", "make"), ANSWERS, ids=IDS)
def test_r1_r5_every_answer_is_strict_json(service: Service, status: int, make: Make) -> None:
    response = make(service)
    assert response.status_code == status
    assert response.mimetype == ("application/json" if status == 200 else "application/fhir+json")
    body = response.get_data(as_text=True)
    json.loads(body, parse_constant=_refuse, object_pairs_hook=_no_name_twice)


@pytest.mark.parametrize(("status", "make"), ANSWERS[3:], ids=IDS[3:])
def test_r81_every_refusal_carries_an_operation_outcome(
    service: Service, status: int, make: Make
) -> None:
    response = make(service)
    assert response.status_code == status
    outcome = OperationOutcome.model_validate(response.json)
    (issue,) = outcome.issue
    assert issue.severity == "error"
    assert issue.details.text
    assert "cards" not in response.json


def test_r81_a_401_carries_nothing(service: Service) -> None:
    response = _post(_secured(service))
    assert response.status_code == 401
    assert response.get_data() == b""
    assert "Content-Type" not in response.headers


def test_r29_a_crash_with_the_token_in_hand_tells_nobody(
    service: Service, httpserver: HTTPServer, log: Any, tmp_path: Any
) -> None:
    fhir = FhirStub(httpserver)
    client = service(use=Crashing(), open_fhir_servers=(fhir.base_url,))
    response = _post(
        client,
        world.hook_request({}, fhirServer=fhir.base_url, fhirAuthorization=world.authorization()),
    )
    assert response.status_code == 500
    assert fhir.headers("Authorization") == {f"Bearer {world.TOKEN}"}
    kept = log.getvalue() + response.get_data(as_text=True)
    assert world.TOKEN not in kept
    for file in tmp_path.iterdir():
        assert world.TOKEN.encode() not in file.read_bytes()


def _refuse(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)
