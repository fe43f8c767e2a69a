"""The token rules: where a token goes, until when, and what happens after a 401."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from fhir_adapters.client import AccessToken, FhirClient
from fhir_adapters.deadline import Deadline
from fhir_adapters.errors import (
    FhirBadAnswer,
    FhirError,
    FhirForeignOrigin,
    FhirRejected,
    FhirTemporaryError,
    FhirUnauthorized,
)
from fhir_adapters.origin import parse_base_url, resolve
from tests.fhir_adapters.fhir_answers import (
    TOKEN,
    bundle,
    client_of,
    ids,
    json_response,
    observation,
    patient,
    reasons,
)
from tests.fhir_adapters.raw_server import raw_server

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LABS = "Observation?patient=1&category=laboratory"


def accepting(*tokens: str) -> Callable[[Request], Response]:
    """A server that answers 401 to any other token."""

    def answer(request: Request) -> Response:
        if request.headers.get("Authorization") not in {f"Bearer {token}" for token in tokens}:
            return Response("", 401)
        if request.path.endswith("/p2"):
            return json_response(bundle(observation("2")))
        if request.path.endswith("/Observation"):
            return json_response(bundle(observation("1"), next_url="p2"))
        return json_response(patient())

    return answer


def test_the_token_is_presented_as_bearer_on_every_call(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_json(patient())
    httpserver.expect_request("/fhir/p2").respond_with_json(bundle(observation("2")))
    httpserver.expect_request("/fhir/Observation").respond_with_json(
        bundle(observation("1"), next_url="p2")
    )
    httpserver.expect_request("/fhir/doc").respond_with_data("hi")
    client = client_of(httpserver, access_token=TOKEN)
    client.read("Patient/1")
    client.search(LABS)
    client.attachment("doc")
    assert [request.headers["Authorization"] for request, _ in httpserver.log] == [
        f"Bearer {TOKEN}"
    ] * 4


def test_without_token_nothing_is_presented(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_json(patient())
    client_of(httpserver).read("Patient/1")
    assert "Authorization" not in httpserver.log[0][0].headers


def test_an_opaque_token_is_sent_byte_for_byte_and_never_decoded(httpserver: HTTPServer) -> None:
    opaque = "not.a.jwt-_~+/=="
    httpserver.expect_request("/fhir/Patient/1").respond_with_json(patient())
    client_of(httpserver, access_token=opaque).read("Patient/1")
    assert httpserver.log[0][0].headers["Authorization"] == f"Bearer {opaque}"


def test_credentials_of_the_environment_do_not_replace_the_token(
    httpserver: HTTPServer, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = f"{tmp_path}/netrc"
    with open(netrc, "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("machine localhost login somebody password else\n")
    monkeypatch.setenv("NETRC", netrc)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    httpserver.expect_request("/fhir/Patient/1").respond_with_json(patient())
    client_of(httpserver, access_token=TOKEN).read("Patient/1")
    assert httpserver.log[0][0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_cookie_of_one_answer_is_not_sent_with_the_next_request(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_data(
        '{"resourceType":"Patient","id":"1"}', headers={"Set-Cookie": "session=1; Path=/"}
    )
    client = client_of(httpserver)
    client.read("Patient/1")
    client.read("Patient/1")
    assert "Cookie" not in httpserver.log[1][0].headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_is_refused_and_no_socket_opened(
    httpserver: HTTPServer, status: int
) -> None:
    with raw_server(lambda connection, _: None) as foreign:
        httpserver.expect_request("/fhir/Patient/1").respond_with_data(
            "", status, headers={"Location": f"{foreign.url}/Patient/1"}
        )
        with pytest.raises(FhirForeignOrigin, match="Patient/1: redirect: the link leads to"):
            client_of(httpserver, access_token=TOKEN).read("Patient/1")
        assert foreign.connections == 0


def test_a_redirect_within_the_origin_is_followed_with_the_token(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_data(
        "", 307, headers={"Location": "/r4/Patient/1"}
    )
    httpserver.expect_request(
        "/r4/Patient/1", headers={"Authorization": f"Bearer {TOKEN}"}
    ).respond_with_json(patient())
    assert client_of(httpserver, access_token=TOKEN).read("Patient/1") == patient()


def test_redirects_without_end_are_an_error(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_data(
        "", 302, headers={"Location": "/fhir/Patient/1"}
    )
    with pytest.raises(FhirBadAnswer, match="more than 3 redirects"):
        client_of(httpserver).read("Patient/1")


@pytest.mark.parametrize(
    "link",
    [
        "https://fhir.example/r4/p2",  # another scheme is another origin
        "http://fhir.example:8080/r4/p2",
        "http://fhir.example.evil.example/p2",
        "http://fhir.example@evil.example/p2",
        "http://evil.example#@fhir.example/",
        "//evil.example/p2",
        "ftp://fhir.example/p2",
        "file:///etc/passwd",
        "data:text/plain,hi",
    ],
)
def test_a_link_to_any_other_origin_is_refused(link: str) -> None:
    base, home = parse_base_url("http://fhir.example/r4")
    with pytest.raises(FhirForeignOrigin):
        resolve(link, f"{base}/", home, "next link")


@pytest.mark.parametrize(
    "link",
    ["http://fhir.example\\@evil.example/", "http://fhir.example/\r\nHost: evil", "p 2", "\tp2"],
)
def test_a_link_that_two_parsers_may_read_differently_is_refused(link: str) -> None:
    base, home = parse_base_url("http://fhir.example/r4")
    with pytest.raises((FhirBadAnswer, FhirForeignOrigin)):
        resolve(link, f"{base}/", home, "next link")


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("HTTP://FHIR.example:80/r4/p2", "http://fhir.example:80/r4/p2"),
        ("http://fhir.example/other/p2?a=b", "http://fhir.example/other/p2?a=b"),
        ("p2#part", "http://fhir.example/r4/p2"),
    ],
)
def test_the_same_origin_may_be_written_differently(link: str, url: str) -> None:
    base, home = parse_base_url("http://fhir.example/r4/")
    assert resolve(link, f"{base}/", home, "next link") == url


@pytest.mark.parametrize(
    "base",
    ["fhir.example/r4", "ftp://fhir.example", "http://", "http://u:p@h/", "http://h/?a", "h\\x"],
)
def test_a_base_url_that_is_no_plain_http_url_is_refused(base: str) -> None:
    with pytest.raises(FhirRejected, match="not a plain http or https URL"):
        FhirClient(base, deadline=Deadline.after(1))


def test_no_call_is_made_after_the_token_has_expired(httpserver: HTTPServer) -> None:
    now = [NOON]

    def answer(_: Request) -> Response:
        now[0] += timedelta(seconds=61)
        return json_response(bundle(observation("1"), next_url="p2"))

    httpserver.expect_request("/fhir/Observation").respond_with_handler(answer)
    client = client_of(
        httpserver,
        access_token=TOKEN,
        token_expires_at=NOON + timedelta(seconds=60),
        clock=lambda: now[0],
    )
    result = client.search(LABS)
    assert (ids(result), reasons(result)) == (["1"], ["unauthorized"])
    with pytest.raises(FhirUnauthorized, match="the access token has expired; no call was made"):
        client.read("Patient/1")
    assert len(httpserver.log) == 1


def test_an_expired_token_is_renewed_before_the_call_where_that_is_possible(
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_handler(accepting("new"))
    client = client_of(
        httpserver,
        access_token="old",
        token_expires_at=NOON,
        refresh=lambda: AccessToken("new", NOON + timedelta(minutes=5)),
        clock=lambda: NOON,
    )
    assert client.read("Patient/1") == patient()
    assert len(httpserver.log) == 1


def test_a_renewed_token_that_has_expired_is_not_sent(httpserver: HTTPServer) -> None:
    client = client_of(httpserver, refresh=lambda: AccessToken("new", NOON), clock=lambda: NOON)
    with pytest.raises(FhirUnauthorized, match="renewed access token has already expired"):
        client.read("Patient/1")
    assert httpserver.log == []


def test_after_one_401_the_same_page_is_resumed_with_a_renewed_token(
    httpserver: HTTPServer,
) -> None:
    answer = accepting("old", "new")

    def old_token_dies_on_page_2(request: Request) -> Response:
        return (accepting("new") if request.path.endswith("/p2") else answer)(request)

    httpserver.expect_request("/fhir/Observation").respond_with_handler(old_token_dies_on_page_2)
    httpserver.expect_request("/fhir/p2").respond_with_handler(old_token_dies_on_page_2)
    client = client_of(httpserver, access_token="old", refresh=lambda: AccessToken("new"))
    result = client.search(LABS)
    assert (ids(result), result.incomplete) == (["1", "2"], ())
    assert [request.path for request, _ in httpserver.log] == [
        "/fhir/Observation",
        "/fhir/p2",
        "/fhir/p2",
    ]


def test_a_second_401_in_a_row_is_an_error(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_data("", 401)
    client = client_of(httpserver, access_token="old", refresh=lambda: AccessToken("new"))
    with pytest.raises(FhirUnauthorized, match="Patient/1: the FHIR server answered 401"):
        client.read("Patient/1")
    assert len(httpserver.log) == 2


def test_a_401_without_refresh_is_an_error_at_once(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_data("", 401)
    with pytest.raises(FhirUnauthorized):
        client_of(httpserver, access_token=TOKEN).read("Patient/1")
    assert len(httpserver.log) == 1


def test_parallel_searches_that_find_a_stale_token_renew_it_once(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_handler(accepting("new"))
    httpserver.expect_request("/fhir/p2").respond_with_handler(accepting("new"))
    httpserver.expect_request("/fhir/Observation").respond_with_handler(accepting("new"))
    renewals: list[str] = []
    lock = threading.Lock()

    def refresh() -> AccessToken:
        with lock:
            renewals.append("new")
        return AccessToken("new")

    client = client_of(httpserver, access_token="old", refresh=refresh)
    queries = {str(n): f"Observation?patient=1&category=c{n}" for n in range(6)}
    results = client.search_all(queries)
    assert [ids(result) for result in results.values()] == [["1", "2"]] * 6
    assert renewals == ["new"]


def test_a_refresh_that_fails_is_the_error_that_is_reported(httpserver: HTTPServer) -> None:
    def refresh() -> AccessToken:
        raise FhirUnauthorized("token endpoint: invalid_client")

    httpserver.expect_request("/fhir/Patient/1").respond_with_data("", 401)
    with pytest.raises(FhirUnauthorized, match="token endpoint: invalid_client"):
        client_of(httpserver, access_token="old", refresh=refresh).read("Patient/1")


def test_the_token_is_in_no_message_log_repr_or_traceback(
    httpserver: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    httpserver.expect_request("/fhir/Observation").respond_with_data("", 500)
    httpserver.expect_request("/fhir/Patient/1").respond_with_data("", 401)
    clients = [
        client_of(httpserver, access_token=TOKEN),
        FhirClient("http://127.0.0.1:9/fhir", access_token=TOKEN, deadline=Deadline.after(1)),
    ]
    said = [repr(AccessToken(TOKEN))]
    for client in clients:
        for query in (LABS, "Patient/1"):
            error = client.search_all({"it": query})["it"]
            assert isinstance(error, FhirError)
            said += traceback.format_exception(error)
            said.append(repr(client))
    assert TOKEN not in "".join(said) + caplog.text


def test_tracebacks_quote_no_query() -> None:
    client = FhirClient("http://127.0.0.1:9/fhir", deadline=Deadline.after(1))
    query = LABS.replace("=1", "=mrn-4711")
    with pytest.raises(FhirTemporaryError) as raised:
        client.search(query)
    text = "".join(traceback.format_exception(raised.value))
    assert "Connection refused" in text
    assert "4711" not in text
