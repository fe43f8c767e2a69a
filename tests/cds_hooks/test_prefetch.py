"""Requirements 28 to 38: prefetch by key, and the FHIR server behind it."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer
from werkzeug import Response

from tests.cds_hooks import world
from tests.cds_hooks.conftest import Service
from tests.cds_hooks.fhir_stub import FhirStub
from tests.cds_hooks.world import LinearPredictor

URL = "/cds-services/meam-risk"
KEYS = list(world.full_prefetch())
OPTIONAL = [key for key in KEYS if key != "patient"]
FAILED = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "forbidden"}]}


@pytest.fixture
def fhir(httpserver: HTTPServer) -> FhirStub:
    return FhirStub(httpserver)


@pytest.fixture
def client(service: Service, fhir: FhirStub) -> FlaskClient:
    return service(open_fhir_servers=(fhir.base_url,))


def _request(fhir: FhirStub, prefetch: dict[str, Any], **members: Any) -> dict[str, Any]:
    return world.hook_request(
        prefetch, fhirServer=fhir.base_url, fhirAuthorization=world.authorization(), **members
    )


def _detail(response: Any) -> str:
    assert response.status_code == 200, response.get_data()
    (card,) = response.json["cards"]
    detail = card["detail"]
    assert isinstance(detail, str)
    return detail


def _without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in world.full_prefetch().items() if key not in keys}


def _comparable(response: Any) -> Any:
    body = json.loads(response.get_data())
    for card in body["cards"]:
        del card["uuid"], card["links"]
        for suggestion in card.get("suggestions", []):
            del suggestion["uuid"]
            for action in suggestion["actions"]:
                del action["resource"]["identifier"]  # the suggestion's uuid again
    return body


@pytest.mark.parametrize("key", [key for key in OPTIONAL if key != "encounter"])
def test_r34_five_values_of_a_key_are_five_different_things(
    client: FlaskClient, fhir: FhirStub, key: str
) -> None:
    """Absent: fetched. Null: no data. Outcome: unavailable. Empty: no data. Paged: followed."""
    page = world.bundle(
        [], link=[{"relation": "next", "url": f"{fhir.base_url}/Observation?page=2"}]
    )
    fhir.answers["page-2"] = world.bundle([])
    seen = {}
    for name, value in (
        ("null", None),
        ("outcome", FAILED),
        ("empty", world.bundle([])),
        ("paged", page),
    ):
        fhir.requests.clear()
        response = client.post(URL, json=_request(fhir, {**world.full_prefetch(), key: value}))
        seen[name] = (fhir.asked, "not available" in _detail(response))
    fhir.requests.clear()
    _detail(client.post(URL, json=_request(fhir, _without(key))))
    seen["absent"] = (fhir.asked, False)
    assert seen == {
        "absent": ([key], False),
        "null": ([], False),
        "outcome": ([], True),
        "empty": ([], False),
        "paged": (["page-2"], False),
    }


def test_full_prefetch_asks_the_server_nothing(client: FlaskClient, fhir: FhirStub) -> None:
    _detail(client.post(URL, json=_request(fhir, world.full_prefetch())))
    assert fhir.requests == []


@pytest.mark.parametrize("key", KEYS)
def test_r33_only_the_missing_key_is_fetched(client: FlaskClient, fhir: FhirStub, key: str) -> None:
    whole = client.post(URL, json=_request(fhir, world.full_prefetch()))
    partial = client.post(URL, json=_request(fhir, _without(key)))
    assert fhir.asked == [key]
    assert _comparable(partial) == _comparable(whole)


def test_r37_both_ways_give_the_same_card(client: FlaskClient, fhir: FhirStub) -> None:
    prefetched = client.post(URL, json=_request(fhir, world.full_prefetch()))
    fetched = client.post(URL, json=_request(fhir, {}))
    assert fhir.asked == sorted(KEYS)
    assert _comparable(fetched) == _comparable(prefetched)


def test_r37_prefetch_alone_is_enough(service: Service) -> None:
    assert service().post(URL, json=world.hook_request()).status_code == 200


def test_r28_the_token_is_presented_on_every_call(client: FlaskClient, fhir: FhirStub) -> None:
    client.post(URL, json=_request(fhir, {}))
    assert fhir.headers("Authorization") == {f"Bearer {world.TOKEN}"}


def test_an_open_server_is_asked_without_a_token(client: FlaskClient, fhir: FhirStub) -> None:
    request = _request(fhir, {})
    del request["fhirAuthorization"]
    assert client.post(URL, json=request).status_code == 200
    assert fhir.headers("Authorization") == {None}


def test_fetched_searches_have_one_date_bound(client: FlaskClient, fhir: FhirStub) -> None:
    client.post(URL, json=_request(fhir, {}))
    dates = {r.path.rpartition("/")[2]: r.args.getlist("date") for r in fhir.requests}
    assert dates["Observation"] == ["ge2026-11-20"]
    assert dates["DocumentReference"] == ["ge2026-11-15"]


def test_r29_the_token_is_nowhere_to_be_found(
    client: FlaskClient, fhir: FhirStub, log: Any, tmp_path: Any
) -> None:
    fhir.answers["laboratory"] = 401
    responses = [client.post(URL, json=_request(fhir, {}))]
    fhir.answers["patient"] = 500
    responses.append(client.post(URL, json=_request(fhir, {})))
    assert [response.status_code for response in responses] == [200, 412]
    kept = log.getvalue() + "".join(r.get_data(as_text=True) for r in responses)
    assert world.TOKEN not in kept
    for file in tmp_path.iterdir():
        assert world.TOKEN.encode() not in file.read_bytes()


def test_r30_the_token_does_not_follow_a_redirect_elsewhere(
    client: FlaskClient, fhir: FhirStub, httpserver: HTTPServer
) -> None:
    elsewhere = httpserver.url_for("/stolen").replace("localhost", "127.0.0.1")
    assert elsewhere.partition("/stolen")[0] != fhir.base_url.partition("/r4")[0]
    fhir.answers["laboratory"] = Response(status=302, headers={"Location": elsewhere})
    assert "laboratory results: not available" in _detail(client.post(URL, json=_request(fhir, {})))
    assert not [entry for entry, _ in httpserver.log if entry.path.startswith("/stolen")]


def test_r30_the_token_does_not_follow_a_next_link_elsewhere(
    client: FlaskClient, fhir: FhirStub, httpserver: HTTPServer
) -> None:
    elsewhere = httpserver.url_for("/stolen").replace("localhost", "127.0.0.1")
    first = world.bundle(world.laboratory(), link=[{"relation": "next", "url": elsewhere}])
    prefetch = {**world.full_prefetch(), "laboratory": first}
    detail = _detail(client.post(URL, json=_request(fhir, prefetch)))
    assert "laboratory results:" in detail.partition("Limits of this answer")[2]
    assert not [entry for entry, _ in httpserver.log if entry.path.startswith("/stolen")]


def test_r30_the_token_does_not_follow_an_attachment_elsewhere(
    client: FlaskClient, fhir: FhirStub, httpserver: HTTPServer
) -> None:
    elsewhere = httpserver.url_for("/stolen").replace("localhost", "127.0.0.1")
    linked = world.note(contentType="text/plain", url=elsewhere)
    prefetch = {**world.full_prefetch(), "notes": world.bundle([linked])}
    detail = _detail(client.post(URL, json=_request(fhir, prefetch)))
    assert "clinical notes: the text of 1 note could not be read" in detail
    assert not [entry for entry, _ in httpserver.log if entry.path.startswith("/stolen")]


def test_r31_no_call_once_the_token_expired_under_way(service: Service, fhir: FhirStub) -> None:
    """It arrives with a life of 300 s; our clock is 301 s later when the first call is due."""
    arrived: list[datetime] = []

    def clock() -> datetime:
        later = timedelta(seconds=301) if arrived else timedelta(0)
        arrived.append(world.NOW)
        return world.NOW + later

    client = service(clock=clock, open_fhir_servers=(fhir.base_url,))
    arrived.clear()
    detail = _detail(client.post(URL, json=_request(fhir, _without("laboratory"))))
    assert fhir.requests == []
    assert "the FHIR server did not accept the access token" in detail


def test_r31_no_call_after_the_token_has_expired(client: FlaskClient, fhir: FhirStub) -> None:
    request = _request(fhir, _without("laboratory"))
    request["fhirAuthorization"]["expires_in"] = 0
    detail = _detail(client.post(URL, json=request))
    assert fhir.requests == []
    assert "the FHIR server did not accept the access token" in detail


def test_r32_a_server_that_is_not_listed_is_refused_without_a_socket(
    service: Service, fhir: FhirStub
) -> None:
    client = service(open_fhir_servers=("https://fhir.example.org/r4",))
    for prefetch in ({}, world.full_prefetch()):
        response = client.post(URL, json=_request(fhir, prefetch))
        assert response.status_code == 403
        assert response.json["issue"][0]["diagnostics"] == "$.fhirServer"
    assert fhir.requests == []


def test_r32_no_socket_is_opened_to_a_server_that_is_not_listed(service: Service) -> None:
    client = service(open_fhir_servers=("https://fhir.example.org/r4",))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        request = world.hook_request(
            {},
            fhirServer=f"http://127.0.0.1:{listening.getsockname()[1]}/r4",
            fhirAuthorization=world.authorization(),
        )
        assert client.post(URL, json=request).status_code == 403
        with pytest.raises(TimeoutError):
            listening.accept()


@pytest.mark.parametrize(
    "changed",
    [
        lambda url: url + "/other",
        lambda url: url.replace("/r4", ""),
        lambda url: url.replace("http://", "http://user@"),
        lambda url: url + "?x=1",
        lambda url: url.replace("localhost", "localhost.example.org"),
        lambda url: url.replace("http://", "http://fhir.example.org\\@"),
    ],
)
def test_r32_almost_the_listed_server_is_refused(
    client: FlaskClient, fhir: FhirStub, changed: Callable[[str], str]
) -> None:
    request = _request(fhir, {})
    request["fhirServer"] = changed(fhir.base_url)
    assert client.post(URL, json=request).status_code == 403
    assert fhir.requests == []


def test_r32_a_trailing_slash_is_the_same_server(client: FlaskClient, fhir: FhirStub) -> None:
    request = _request(fhir, {})
    request["fhirServer"] = fhir.base_url + "/"
    assert client.post(URL, json=request).status_code == 200


@pytest.mark.parametrize("key", OPTIONAL)
def test_r34_null_means_no_data(client: FlaskClient, fhir: FhirStub, key: str) -> None:
    prefetch = {**world.full_prefetch(), key: None}
    detail = _detail(client.post(URL, json=_request(fhir, prefetch)))
    assert fhir.requests == []
    assert "not available" not in detail


@pytest.mark.parametrize("key", [key for key in OPTIONAL if key != "encounter"])
def test_r34_an_empty_bundle_equals_null(client: FlaskClient, fhir: FhirStub, key: str) -> None:
    empty = client.post(URL, json=_request(fhir, {**world.full_prefetch(), key: world.bundle([])}))
    none = client.post(URL, json=_request(fhir, {**world.full_prefetch(), key: None}))
    assert fhir.requests == []
    assert _comparable(empty) == _comparable(none)


@pytest.mark.parametrize("key", OPTIONAL)
def test_r34_an_outcome_is_unavailable_and_not_fetched_again(
    client: FlaskClient, fhir: FhirStub, key: str
) -> None:
    prefetch = {**world.full_prefetch(), key: FAILED}
    detail = _detail(client.post(URL, json=_request(fhir, prefetch)))
    assert fhir.requests == []
    assert "not available, the client could not obtain it" in detail


@pytest.mark.parametrize("value", [None, FAILED, world.encounter(), world.bundle([])])
def test_r35_without_the_patient_412_names_the_key(
    client: FlaskClient, fhir: FhirStub, value: Any
) -> None:
    response = client.post(URL, json=_request(fhir, {**world.full_prefetch(), "patient": value}))
    assert response.status_code == 412
    (issue,) = response.json["issue"]
    assert issue["severity"] == "error"
    assert issue["code"] == "processing"
    assert "prefetch patient" in issue["diagnostics"]
    assert fhir.requests == []


def test_r35_no_prefetch_and_no_server_is_412(service: Service) -> None:
    response = service().post(URL, json=world.hook_request({}))
    assert response.status_code == 412
    assert "the client did not send it" in response.json["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (401, "did not accept the access token"),
        (403, "did not allow it"),
        (404, "does not have it"),
        (500, "could not be reached or failed"),
        (Response("<html>login</html>", mimetype="text/html"), "was not usable FHIR"),
        (world.encounter(), "was not usable FHIR"),
        (Response('{"resourceType": "Pat', mimetype="application/fhir+json"), "broke off"),
    ],
)
def test_r35_a_patient_that_cannot_be_fetched_is_412(
    client: FlaskClient, fhir: FhirStub, answer: Any, said: str
) -> None:
    fhir.answers["patient"] = answer
    response = client.post(URL, json=_request(fhir, _without("patient")))
    assert response.status_code == 412
    assert said in response.json["issue"][0]["diagnostics"]


def test_r35_a_patient_that_does_not_come_in_time_is_412(service: Service, fhir: FhirStub) -> None:
    client = service(open_fhir_servers=(fhir.base_url,), deadline_ms=450)
    fhir.delays_s["patient"] = 1.0
    response = client.post(URL, json=_request(fhir, _without("patient")))
    assert response.status_code == 412
    assert "did not answer in time" in response.json["issue"][0]["diagnostics"]


def test_r35_no_clinical_data_at_all_is_412_not_an_empty_list(
    client: FlaskClient, fhir: FhirStub
) -> None:
    for key in OPTIONAL:
        fhir.answers[key] = 503
    response = client.post(URL, json=_request(fhir, {"patient": world.patient()}))
    assert response.status_code == 412
    diagnostics = response.json["issue"][0]["diagnostics"]
    assert "vitalSigns, laboratory, notes, bedside, deviceData" in diagnostics


@pytest.mark.parametrize("answer", [403, 500, Response("<html>", mimetype="text/html")])
def test_r35_optional_data_that_cannot_be_fetched_are_stated(
    client: FlaskClient, fhir: FhirStub, answer: Any
) -> None:
    fhir.answers["laboratory"] = answer
    detail = _detail(client.post(URL, json=_request(fhir, _without("laboratory"))))
    assert "- laboratory results: not available, the FHIR server" in detail


def test_r82_what_did_not_come_in_time_is_stated(service: Service, fhir: FhirStub) -> None:
    client = service(open_fhir_servers=(fhir.base_url,), deadline_ms=450)
    fhir.delays_s["notes"] = 2.0
    detail = _detail(client.post(URL, json=_request(fhir, _without("notes"))))
    assert "- clinical notes: not available, the FHIR server did not answer in time" in detail


def test_low_risk_from_half_of_the_chart_is_not_an_empty_list(
    client: FlaskClient, fhir: FhirStub
) -> None:
    calm = world.calm_prefetch()
    assert client.post(URL, json=_request(fhir, calm)).json == {"cards": []}
    detail = _detail(client.post(URL, json=_request(fhir, {**calm, "laboratory": FAILED})))
    assert "laboratory results: not available" in detail


def test_a_site_may_declare_a_key_that_it_never_answers(service: Service) -> None:
    calm = {**world.calm_prefetch(), "laboratory": FAILED}
    client = service(quiet_despite_missing=("laboratory",))
    assert client.post(URL, json=world.hook_request(calm)).json == {"cards": []}


def test_r36_a_paged_bundle_is_followed_with_the_token(
    client: FlaskClient, fhir: FhirStub, predictor: LinearPredictor
) -> None:
    following = f"{fhir.base_url}/Observation?page=2"
    first = world.bundle(world.laboratory()[:1], link=[{"relation": "next", "url": following}])
    fhir.answers["page-2"] = world.bundle(world.laboratory()[1:])
    detail = _detail(
        client.post(URL, json=_request(fhir, {**world.full_prefetch(), "laboratory": first}))
    )
    assert fhir.asked == ["page-2"]
    assert fhir.headers("Authorization") == {f"Bearer {world.TOKEN}"}
    assert {m.source for m in predictor.records[-1].measurements} >= {
        "Observation/lac-1",
        "Observation/lac-2",
        "Observation/crea-1",
    }
    assert "Limits of this answer" not in detail


def test_a_subject_named_by_full_url_is_understood_from_the_server_as_well(
    client: FlaskClient, fhir: FhirStub, predictor: LinearPredictor
) -> None:
    """Servers behind integration engines name the patient by the fullUrl of a Bundle entry."""
    urn = "urn:uuid:6b8f1c1e-3f0e-4c53-9d1b-1a8b9a2f7c11"
    results = [{**one, "subject": {"reference": urn}} for one in world.laboratory()]
    whole = world.bundle([*results, world.patient()])
    whole["entry"][-1]["fullUrl"] = urn
    fhir.answers["laboratory"] = whole
    prefetch = {key: value for key, value in world.full_prefetch().items() if key != "laboratory"}
    assert client.post(URL, json=_request(fhir, prefetch)).status_code == 200
    assert "Observation/crea-1" in {m.source for m in predictor.records[-1].measurements}


def test_r36_a_paged_bundle_that_cannot_be_followed_is_stated(service: Service) -> None:
    first = world.bundle(world.laboratory(), link=[{"relation": "next", "url": "https://a/b"}])
    prefetch = {**world.full_prefetch(), "laboratory": first}
    detail = _detail(service().post(URL, json=world.hook_request(prefetch)))
    assert "laboratory results: incomplete, more pages follow" in detail


def test_r36_endless_pages_end_and_are_stated(client: FlaskClient, fhir: FhirStub) -> None:
    again = f"{fhir.base_url}/Observation?page=2"
    fhir.answers["page-2"] = world.bundle([], link=[{"relation": "next", "url": again}])
    first = world.bundle(world.laboratory(), link=[{"relation": "next", "url": again}])
    prefetch = {**world.full_prefetch(), "laboratory": first}
    detail = _detail(client.post(URL, json=_request(fhir, prefetch)))
    assert len(fhir.requests) < 30
    assert "laboratory results:" in detail.partition("Limits of this answer")[2]


def test_r38_another_patient_is_refused_and_never_scored(
    client: FlaskClient, fhir: FhirStub, predictor: LinearPredictor
) -> None:
    foreign = {"subject": {"reference": "Patient/pat-2"}}
    scored = len(predictor.records)
    for key, resources in (
        ("laboratory", [*world.laboratory(), {**world.laboratory()[0], "id": "x", **foreign}]),
        ("vitalSigns", [{**world.vital_signs()[0], **foreign}]),
        ("notes", [world.note(), {**world.note(identity="n2"), **foreign}]),
        ("deviceData", [{**world.device_data()[0], **foreign}]),
        ("orders", [{"resourceType": "ServiceRequest", "id": "sr-1", **foreign}]),
        ("tasks", [{"resourceType": "Task", "id": "t-1", "for": foreign["subject"]}]),
    ):
        prefetch = {**world.full_prefetch(), key: world.bundle(resources)}
        response = client.post(URL, json=_request(fhir, prefetch))
        assert response.status_code == 400, key
        assert "another patient" in response.json["issue"][0]["details"]["text"]
    assert len(predictor.records) == scored


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("patient", world.patient(id="pat-2")),
        ("encounter", {**world.encounter(), "subject": {"reference": "Patient/pat-2"}}),
    ],
)
def test_r38_another_patients_demographics_or_encounter_are_refused(
    client: FlaskClient, fhir: FhirStub, predictor: LinearPredictor, key: str, value: Any
) -> None:
    scored = len(predictor.records)
    prefetch = {**world.full_prefetch(), key: value}
    assert client.post(URL, json=_request(fhir, prefetch)).status_code == 400
    assert len(predictor.records) == scored


def test_r38_another_patient_from_the_server_is_refused(
    client: FlaskClient, fhir: FhirStub
) -> None:
    foreign = {**world.laboratory()[0], "subject": {"reference": "Patient/pat-2"}}
    fhir.answers["laboratory"] = world.bundle([foreign])
    assert client.post(URL, json=_request(fhir, {})).status_code == 400


MALFORMED = [
    ("entry is an object", {"resourceType": "Bundle", "entry": {}}),
    ("entry is null", {"resourceType": "Bundle", "entry": [None]}),
    ("no resource", {"resourceType": "Bundle", "entry": [{"fullUrl": "urn:uuid:1"}]}),
    ("no type", {"resourceType": "Bundle", "entry": [{"resource": {"id": "1"}}]}),
    ("wrong type", world.patient()),
]


@pytest.mark.parametrize("value", [m[1] for m in MALFORMED], ids=[m[0] for m in MALFORMED])
def test_malformed_bundles_are_stated(client: FlaskClient, fhir: FhirStub, value: Any) -> None:
    prefetch = {**world.full_prefetch(), "laboratory": value}
    detail = _detail(client.post(URL, json=_request(fhir, prefetch)))
    assert "- laboratory results:" in detail.partition("Limits of this answer")[2]


def test_old_fhir_versions_are_refused(client: FlaskClient, fhir: FhirStub) -> None:
    old = {**world.laboratory()[0], "context": {"reference": "Encounter/1"}}
    prefetch = {**world.full_prefetch(), "laboratory": world.bundle([old])}
    response = client.post(URL, json=_request(fhir, prefetch))
    assert response.status_code == 412
    assert "DSTU2 or STU3" in response.json["issue"][0]["details"]["text"]


def test_note_attachments_are_fetched_from_the_server(
    client: FlaskClient, fhir: FhirStub, predictor: LinearPredictor
) -> None:
    text = base64.b64encode(b"Patient looks septic.").decode()
    fhir.answers["Binary/b1"] = {
        "resourceType": "Binary",
        "id": "b1",
        "contentType": "text/plain",
        "data": text,
    }
    linked = world.note(contentType="text/plain", url="Binary/b1")
    prefetch = {**world.full_prefetch(), "notes": world.bundle([linked])}
    _detail(client.post(URL, json=_request(fhir, prefetch)))
    assert fhir.asked == ["Binary/b1"]
    (note,) = predictor.records[-1].notes
    assert note.sentences[0].text == "Patient looks septic."


def test_note_attachments_that_cannot_be_fetched_are_stated(
    client: FlaskClient, fhir: FhirStub, service: Service
) -> None:
    linked = world.note(contentType="text/plain", url="Binary/missing")
    prefetch = {**world.full_prefetch(), "notes": world.bundle([linked])}
    detail = _detail(client.post(URL, json=_request(fhir, prefetch)))
    assert "clinical notes: the text of 1 note could not be read (not-found)" in detail
    detail = _detail(service().post(URL, json=world.hook_request(prefetch)))
    assert "clinical notes: the text of 1 note not inline" in detail


def test_without_an_encounter_in_the_context_the_running_one_is_searched(
    client: FlaskClient, fhir: FhirStub, predictor: LinearPredictor
) -> None:
    fhir.answers["encounter"] = world.bundle([world.encounter()])
    request = _request(fhir, _without("encounter"))
    del request["context"]["encounterId"]
    _detail(client.post(URL, json=request))
    (asked,) = fhir.requests
    assert asked.args.to_dict() == {"patient": world.PATIENT, "status": "in-progress"}
    assert predictor.records[-1].stay is not None


def test_nothing_after_the_arrival_is_seen(
    client: FlaskClient, fhir: FhirStub, predictor: LinearPredictor
) -> None:
    later = world.observation("later", "2524-7", 9.9, "mmol/L", -1, "laboratory")
    prefetch = {**world.full_prefetch(), "laboratory": world.bundle([*world.laboratory(), later])}
    _detail(client.post(URL, json=_request(fhir, prefetch)))
    record = predictor.records[-1]
    assert record.prediction_time == world.NOW
    assert max(m.time for m in record.measurements) <= world.NOW - timedelta(hours=1)
