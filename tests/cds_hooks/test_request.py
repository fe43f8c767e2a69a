"""Requirements 20 to 27: what a hook request may hold, and how a wrong one is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome
from flask.testing import FlaskClient

from cds_hooks.keys import new_key
from tests.cds_hooks import signing, world
from tests.cds_hooks.conftest import Service
from tests.cds_hooks.test_auth import issuer
from tests.cds_hooks.world import LinearPredictor

URL = "/cds-services/meam-risk"
Change = Callable[[dict[str, Any]], Any]


def _answer(client: FlaskClient, change: Change) -> Any:
    request = world.hook_request(fhirServer="https://fhir.example.org/r4")
    request["fhirAuthorization"] = world.authorization()
    change(request)
    return client.post(URL, json=request)


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return service(open_fhir_servers=("https://fhir.example.org/r4",))


def test_r20_unknown_service_is_404(client: FlaskClient) -> None:
    response = client.post("/cds-services/other", json=world.hook_request())
    assert response.status_code == 404
    assert response.json["issue"][0]["code"] == "not-found"


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_r20_other_methods_are_405(client: FlaskClient, method: str) -> None:
    assert getattr(client, method)(URL).status_code == 405


def test_a_whole_request_is_answered(client: FlaskClient) -> None:
    assert _answer(client, lambda request: None).status_code == 200


WRONG: list[tuple[str, Change, str]] = [
    ("r21 no hook", lambda r: r.pop("hook"), "$.hook: required, and missing"),
    ("r21 other hook", lambda r: r.update(hook="order-sign"), "$.hook: this service answers"),
    ("r21 hook is no string", lambda r: r.update(hook=["patient-view"]), "$.hook: expected a str"),
    ("r22 no instance", lambda r: r.pop("hookInstance"), "$.hookInstance: required"),
    ("r22 no UUID", lambda r: r.update(hookInstance="42"), "$.hookInstance: expected a UUID"),
    (
        "r22 URN",
        lambda r: r.update(hookInstance="urn:uuid:" + r["hookInstance"]),
        "$.hookInstance: expected a bare UUID",
    ),
    ("r22 number", lambda r: r.update(hookInstance=42), "got a number"),
    ("r23 no context", lambda r: r.pop("context"), "$.context: required"),
    (
        "r23 context null",
        lambda r: r.update(context=None),
        "$.context: expected an object, got nul",
    ),
    ("r23 no user", lambda r: r["context"].pop("userId"), "$.context.userId: required"),
    ("r23 bare user", lambda r: r["context"].update(userId="doc-1"), "expected Type/id"),
    ("r23 device user", lambda r: r["context"].update(userId="Device/1"), "expected Type/id"),
    ("r23 no patient", lambda r: r["context"].pop("patientId"), "$.context.patientId: required"),
    ("r23 patient typed", lambda r: r["context"].update(patientId="Patient/1"), "without its type"),
    ("r23 patient is a path", lambda r: r["context"].update(patientId=".."), "expected a FHIR id"),
    ("r23 patient is a query", lambda r: r["context"].update(patientId="1?_id=2"), "a FHIR id"),
    ("r23 patient number", lambda r: r["context"].update(patientId=1), "got a number"),
    ("r23 patient empty", lambda r: r["context"].update(patientId=""), "got an empty string"),
    ("r23 encounter null", lambda r: r["context"].update(encounterId=None), "got null"),
    ("r24 token, no server", lambda r: r.pop("fhirServer"), "$.fhirServer: required where"),
    ("r25 other scheme", lambda r: r.update(fhirServer="file:///etc"), "$.fhirServer: expected a"),
    (
        "r26 token missing",
        lambda r: r["fhirAuthorization"].pop("access_token"),
        "access_token: req",
    ),
    (
        "r26 token splits headers",
        lambda r: r["fhirAuthorization"].update(access_token="a\r\nX: b"),
        "access_token: expected visible ASCII",
    ),
    ("r26 no type", lambda r: r["fhirAuthorization"].pop("token_type"), "token_type: required"),
    ("r26 type", lambda r: r["fhirAuthorization"].update(token_type="MAC"), "expected Bearer"),
    ("r26 no expiry", lambda r: r["fhirAuthorization"].pop("expires_in"), "expires_in: required"),
    ("r26 expiry text", lambda r: r["fhirAuthorization"].update(expires_in="300"), "of seconds"),
    ("r26 expiry bool", lambda r: r["fhirAuthorization"].update(expires_in=True), "of seconds"),
    ("r26 no scope", lambda r: r["fhirAuthorization"].pop("scope"), "scope: required"),
    ("r26 no subject", lambda r: r["fhirAuthorization"].pop("subject"), "subject: required"),
    (
        "r26 other patient",
        lambda r: r["fhirAuthorization"].update(patient="pat-2"),
        "$.fhirAuthorization.patient: is not the patient",
    ),
    ("prefetch is a list", lambda r: r.update(prefetch=[]), "$.prefetch: expected an object"),
    (
        "prefetch text",
        lambda r: r["prefetch"].update(notes="x"),
        "$.prefetch.notes: expected an obj",
    ),
    (
        "prefetch without type",
        lambda r: r["prefetch"].update(notes={"a": 1}),
        "$.prefetch.notes: expected a FHIR resource or null",
    ),
]


@pytest.mark.parametrize(
    ("change", "message"), [case[1:] for case in WRONG], ids=[c[0] for c in WRONG]
)
def test_r21_to_r26_wrong_members_are_named(
    client: FlaskClient, change: Change, message: str
) -> None:
    response = _answer(client, change)
    assert response.status_code == 400, response.get_data()
    assert message in response.json["issue"][0]["details"]["text"]
    OperationOutcome.model_validate(response.json)


def test_messages_do_not_repeat_values(client: FlaskClient) -> None:
    response = _answer(client, lambda r: r["context"].update(patientId="Jane Doe 1956"))
    assert "Jane" not in response.get_data(as_text=True)


def test_r22_instance_in_capital_letters_is_a_uuid(client: FlaskClient) -> None:
    change = lambda r: r.update(hookInstance=r["hookInstance"].upper())  # noqa: E731
    assert _answer(client, change).status_code == 200


def test_r23_long_vendor_ids_are_accepted(service: Service, predictor: LinearPredictor) -> None:
    identity = "e" * 130
    request = json.loads(json.dumps(world.hook_request()).replace(world.PATIENT, identity))
    assert service().post(URL, json=request).status_code == 200


def test_r23_encounter_reaches_the_record(client: FlaskClient, predictor: LinearPredictor) -> None:
    _answer(client, lambda request: None)
    assert predictor.records[-1].stay is not None
    assert predictor.records[-1].stay.source == "Encounter/enc-1"


def test_r25_in_production_a_server_without_tls_is_400(service: Service) -> None:
    client = service(
        profile="production",
        tls="proxy",
        keys=(new_key(),),
        mode_auth="jwt",
        public_base_url=signing.BASE,
        issuers=(issuer(fhir_servers=("https://fhir.example.org/r4",)),),
    )
    for url, status in (("http://fhir.example.org/r4", 400), ("https://fhir.example.org/r4", 200)):
        response = client.post(
            URL,
            json=world.hook_request(fhirServer=url),
            headers=signing.bearer(signing.token()),
        )
        assert response.status_code == status


def test_r25_production_wants_https(service: Service) -> None:
    from cds_hooks.errors import BadRequest
    from cds_hooks.request import parse_hook_request

    request = world.hook_request(fhirServer="http://fhir.example.org")
    with pytest.raises(BadRequest, match=r"\$.fhirServer: expected a URL that begins with https"):
        parse_hook_request(
            request, hooks={"patient-view": False}, arrived_at=world.NOW, https_only=True
        )


@pytest.mark.parametrize(
    "scope", ["user/Patient.read launch", "user/Patient.rs user/Observation.rs?category=laboratory"]
)
def test_r26_scopes_of_both_releases(client: FlaskClient, scope: str) -> None:
    answer = _answer(client, lambda r: r["fhirAuthorization"].update(scope=scope))
    assert answer.status_code == 200


def test_r26_patient_scope_without_patient_is_a_warning(
    client: FlaskClient, log: io.StringIO
) -> None:
    answer = _answer(client, lambda r: r["fhirAuthorization"].update(scope="patient/*.rs"))
    assert answer.status_code == 200
    assert "patient/ scope and no patient" in log.getvalue()


def test_r27_unknown_members_and_extensions_are_tolerated(client: FlaskClient) -> None:
    def change(request: dict[str, Any]) -> None:
        request["extension"] = {"com.example.ward": {"name": "7b"}}
        request["futureMember"] = [1, 2]
        request["context"]["extension"] = {"a": None}
        request["fhirAuthorization"]["extension"] = {}
        request["prefetch"]["extraKey"] = {"resourceType": "Basic"}

    assert _answer(client, change).status_code == 200


BODIES = [
    ("empty", b"", "the body is not JSON"),
    ("cut", b'{"hook": "patient-view", ', "the body is not JSON"),
    ("r5 comment", b"{} // x", "the body is not JSON"),
    ("r5 trailing comma", b'{"a": 1,}', "the body is not JSON"),
    ("not UTF-8", b'{"hook": "\xff"}', "the body is not UTF-8 at byte 10"),
    ("array", b"[]", "$: expected an object, got an array"),
    ("number", b"1", "$: expected an object, got a number"),
    ("NaN", b'{"hook": NaN}', "a number that is out of range"),
    ("long number", b'{"hook": ' + b"9" * 5000 + b"}", "a number that is out of range"),
    ("deep", b"[" * 200_000, "the body is nested too deeply"),
    ("twice", b'{"hook": "a", "b": 1, "hook": "a"}', "$: the member 'hook' stands twice"),
    ("twice inside", b'{"context": {"a": [{"x": 1, "x": 2}]}}', "the member 'x' stands twice"),
    ("twice, a name of data", b'{"Doe, J": 1, "Doe, J": 2}', "the member 'Doe??J' stands twice"),
]


@pytest.mark.parametrize(("body", "message"), [b[1:] for b in BODIES], ids=[b[0] for b in BODIES])
def test_r1_malformed_bodies_are_400(client: FlaskClient, body: bytes, message: str) -> None:
    response = client.post(URL, data=body, content_type="application/json")
    assert response.status_code == 400
    assert message in response.json["issue"][0]["details"]["text"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {},
    ],
)
def test_r1_other_media_types_are_415(client: FlaskClient, headers: dict[str, str]) -> None:
    response = client.post(URL, data=b"{}", headers=headers)
    assert response.status_code == 415
    assert response.json["resourceType"] == "OperationOutcome"


def test_r1_a_charset_of_utf8_is_fine(client: FlaskClient) -> None:
    body = json.dumps(world.hook_request())
    response = client.post(URL, data=body, content_type="application/json; charset=UTF-8")
    assert response.status_code == 200


def test_a_body_over_the_limit_is_413(service: Service) -> None:
    client = service(max_body_bytes=1000)
    response = client.post(URL, json=world.hook_request())
    assert response.status_code == 413
    assert response.json["issue"][0]["code"] == "too-long"


def test_r1_feedback_with_a_name_twice_is_400(client: FlaskClient) -> None:
    body = b'{"feedback": [], "feedback": []}'
    response = client.post(f"{URL}/feedback", data=body, content_type="application/json")
    assert response.status_code == 400
    assert "'feedback' stands twice" in response.json["issue"][0]["details"]["text"]
