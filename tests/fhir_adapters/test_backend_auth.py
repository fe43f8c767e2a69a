"""SMART Backend Services, against an authorisation server that verifies what it is sent."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from conformance.fhir_server import FhirServerMissing, find_executable, start
from fhir_adapters.backend_auth import BackendServices
from fhir_adapters.client import FhirClient
from fhir_adapters.deadline import Deadline
from fhir_adapters.errors import (
    FhirBadAnswer,
    FhirError,
    FhirNotFound,
    FhirRejected,
    FhirUnauthorized,
    FhirUnavailable,
)
from fhir_adapters.signing_keys import Algorithm, KeyFolder, SigningKey
from tests.fhir_adapters.fhir_answers import json_response, patient

ES = SigningKey.generate("ES384")
RS = SigningKey.generate("RS384")
JWKS = jwt.PyJWKSet.from_dict({"keys": [ES.public_jwk(), RS.public_jwk()]})
CLIENT = "meam-background"


class AuthorisationServer:
    """Issues numbered tokens for assertions that hold, and answers 401 for all others."""

    def __init__(self, server: HTTPServer) -> None:
        self.endpoint = server.url_for("/auth/token")
        self.accepted: list[dict[str, Any]] = []
        self.headers: list[dict[str, Any]] = []
        self.issued: list[str] = []
        self.forms: list[dict[str, str]] = []
        self.life_s = 300
        self.configuration: dict[str, Any] = {
            "token_endpoint": self.endpoint,
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
        }
        server.expect_request("/fhir/.well-known/smart-configuration").respond_with_handler(
            lambda _: Response(json.dumps(self.configuration), content_type="application/json")
        )
        server.expect_request("/auth/token", method="POST").respond_with_handler(self.token)

    def token(self, request: Request) -> Response:
        form = request.form.to_dict()
        self.forms.append(form)
        assertion = form["client_assertion"]
        header = jwt.get_unverified_header(assertion)
        try:
            claims = jwt.decode(
                assertion,
                JWKS[header["kid"]],
                algorithms=["RS384", "ES384"],
                audience=self.endpoint,
                issuer=CLIENT,
                # A test moves the client's clock forward: iat must be there, but may be early.
                options={
                    "require": ["iss", "sub", "aud", "exp", "iat", "jti"],
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, KeyError):
            return Response('{"error": "invalid_client"}', 401)
        if claims["jti"] in {one["jti"] for one in self.accepted}:
            return Response('{"error": "invalid_client"}', 401)
        self.accepted.append(claims)
        self.headers.append(header)
        self.issued.append(f"token-{len(self.issued) + 1}")
        answer = {
            "access_token": self.issued[-1],
            "token_type": "bearer",
            "expires_in": self.life_s,
            "scope": form["scope"],
        }
        return Response(json.dumps(answer), content_type="application/json")


@pytest.fixture
def authority(httpserver: HTTPServer) -> AuthorisationServer:
    return AuthorisationServer(httpserver)


def services(server: HTTPServer, key: SigningKey = ES, **kwargs: Any) -> BackendServices:
    return BackendServices(server.url_for("/fhir"), CLIENT, lambda: key, **kwargs)


@pytest.mark.parametrize("key", [ES, RS], ids=["ES384", "RS384"])
def test_a_token_is_issued_for_a_signed_assertion(
    httpserver: HTTPServer, authority: AuthorisationServer, key: SigningKey
) -> None:
    before = datetime.now(UTC)
    token = services(httpserver, key).token()
    assert (token.value, token.scope) == ("token-1", "system/*.rs")
    assert token.expires_at is not None
    assert timedelta(seconds=299) < token.expires_at - before < timedelta(seconds=302)
    assert authority.headers == [{"alg": key.algorithm, "kid": key.key_id, "typ": "JWT"}]
    assert {**authority.forms[0], "client_assertion": ""} == {
        "grant_type": "client_credentials",
        "scope": "system/*.rs",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "",
    }


def test_an_assertion_lives_at_most_five_minutes_and_names_the_client_twice(
    httpserver: HTTPServer, authority: AuthorisationServer
) -> None:
    services(httpserver).token()
    claims = authority.accepted[0]
    assert 0 < claims["exp"] - claims["iat"] <= 300
    assert claims["iss"] == claims["sub"] == CLIENT


def test_every_assertion_has_a_fresh_jti(
    httpserver: HTTPServer, authority: AuthorisationServer
) -> None:
    backend = services(httpserver)
    for _ in range(5):
        backend.new_token()
    assert len({claims["jti"] for claims in authority.accepted}) == 5


def test_the_jwk_set_url_is_named_where_one_is_published(
    httpserver: HTTPServer, authority: AuthorisationServer
) -> None:
    url = "https://cds.example/.well-known/jwks.json"
    services(httpserver, jwk_set_url=url).token()
    assert authority.headers[0]["jku"] == url


def test_a_token_is_kept_until_shortly_before_it_expires(
    httpserver: HTTPServer, authority: AuthorisationServer
) -> None:
    now = [datetime.now(UTC)]
    backend = services(httpserver, clock=lambda: now[0])
    assert backend.token().value == backend.token().value == "token-1"
    now[0] += timedelta(seconds=269)
    assert backend.token().value == "token-1"
    now[0] += timedelta(seconds=2)
    assert backend.token().value == "token-2"
    assert len([1 for request, _ in httpserver.log if "smart" in request.path]) == 1


def test_a_rotated_key_comes_into_use_without_a_restart(
    httpserver: HTTPServer, authority: AuthorisationServer
) -> None:
    key = [ES]
    backend = BackendServices(httpserver.url_for("/fhir"), CLIENT, lambda: key[0])
    backend.new_token()
    key[0] = RS
    backend.new_token()
    assert [header["kid"] for header in authority.headers] == [ES.key_id, RS.key_id]


def test_an_unknown_key_is_refused_with_the_oauth_error_word_only(
    httpserver: HTTPServer, authority: AuthorisationServer
) -> None:
    with pytest.raises(FhirUnauthorized, match=r"it answered 401 \(invalid_client\)"):
        services(httpserver, SigningKey.generate("ES384")).token()


def test_a_named_token_endpoint_needs_no_discovery(
    httpserver: HTTPServer, authority: AuthorisationServer
) -> None:
    services(httpserver, token_endpoint=authority.endpoint).token()
    assert [request.path for request, _ in httpserver.log] == ["/auth/token"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"token_endpoint": None}, FhirBadAnswer, "names no token_endpoint"),
        ({"token_endpoint": "auth/token"}, FhirBadAnswer, "not an http or https URL"),
        (
            {"token_endpoint_auth_methods_supported": ["client_secret_basic"]},
            FhirRejected,
            "does not support private_key_jwt",
        ),
        (
            {"token_endpoint_auth_signing_alg_values_supported": ["RS384"]},
            FhirRejected,
            "takes no ES384 signatures",
        ),
    ],
)
def test_a_server_that_cannot_be_used_is_refused_with_the_reason(
    httpserver: HTTPServer,
    authority: AuthorisationServer,
    change: dict[str, Any],
    error: type[FhirError],
    message: str,
) -> None:
    authority.configuration.update(change)
    with pytest.raises(error, match=message):
        services(httpserver).token()
    assert authority.forms == []


def test_a_server_without_discovery_is_told_apart(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/.well-known/smart-configuration").respond_with_data("", 404)
    with pytest.raises(FhirNotFound, match="name its token endpoint"):
        services(httpserver).token()


def test_an_assertion_is_not_sent_without_tls_to_a_server_with_tls() -> None:
    backend = BackendServices("https://fhir.example/r4", CLIENT, lambda: ES)
    with pytest.raises(FhirBadAnswer, match="not reached by TLS"):
        backend._read_configuration({"token_endpoint": "http://auth.example/token"}, "it")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, "{}", FhirBadAnswer),
        (200, "<html>", FhirBadAnswer),
        (200, '{"access_token": "a", "token_type": "mac", "expires_in": 9}', FhirBadAnswer),
        (200, '{"access_token": "a", "token_type": "bearer"}', FhirBadAnswer),
        (200, '{"access_token": "a", "token_type": "bearer", "expires_in": -1}', FhirBadAnswer),
        (302, "", FhirRejected),
        (400, '{"error": "invalid_scope", "error_description": "for Jane"}', FhirUnauthorized),
        (503, "", FhirUnavailable),
    ],
)
def test_a_bad_token_answer_is_an_error_and_is_not_repeated(
    httpserver: HTTPServer, status: int, body: str, error: type[FhirError]
) -> None:
    httpserver.expect_request("/auth/token").respond_with_data(
        body, status, headers={"Location": httpserver.url_for("/elsewhere")}
    )
    backend = services(httpserver, token_endpoint=httpserver.url_for("/auth/token"))
    with pytest.raises(error) as raised:
        backend.token()
    assert "Jane" not in str(raised.value)
    assert len(httpserver.log) == 1


def test_a_token_endpoint_that_is_not_there_is_unavailable() -> None:
    backend = BackendServices(
        "http://127.0.0.1:9/fhir", CLIENT, lambda: ES, token_endpoint="http://127.0.0.1:9/token"
    )
    with pytest.raises(FhirUnavailable, match="token endpoint: no connection"):
        backend.token()


def test_a_client_gets_and_renews_its_token_by_itself(
    httpserver: HTTPServer, authority: AuthorisationServer
) -> None:
    def only_second_token(request: Request) -> Response:
        if request.headers.get("Authorization") != "Bearer token-2":
            return Response("", 401)
        return json_response(patient())

    httpserver.expect_request("/fhir/Patient/1").respond_with_handler(only_second_token)
    client = FhirClient(
        httpserver.url_for("/fhir"),
        deadline=Deadline.after(5),
        refresh=services(httpserver).new_token,
    )
    assert client.read("Patient/1") == patient()
    assert authority.issued == ["token-1", "token-2"]


def test_assertion_and_token_are_in_no_log_or_traceback(
    httpserver: HTTPServer, authority: AuthorisationServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    services(httpserver).token()
    error = None
    try:
        services(httpserver, SigningKey.generate("ES384")).token()
    except FhirUnauthorized as exc:
        error = "".join(traceback.format_exception(exc))
    assert error is not None
    said = caplog.text + error
    for form in authority.forms:
        assert form["client_assertion"] not in said
        assert form["client_assertion"].split(".")[2] not in said
    assert "token-1" not in said


@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
def test_a_real_server_issues_a_token_and_takes_it(tmp_path: Path, algorithm: Algorithm) -> None:
    folder = KeyFolder(tmp_path / "keys")
    folder.rotate(algorithm)
    settings = {
        "server_auth": {
            "types": ["smart"],
            "smart_clients": [
                {"client_id": CLIENT, "jwks": folder.jwk_set(), "scopes": "system/*.cruds"}
            ],
        }
    }
    try:
        executable = find_executable()
    except FhirServerMissing as exc:
        pytest.skip(str(exc))
    with start(None, tmp_path / "server", executable=executable, settings=settings) as server:
        backend = BackendServices(
            server.base_url, CLIENT, lambda: folder.signing_key(algorithm), scope="system/*.rs"
        )
        client = FhirClient(server.base_url, deadline=Deadline.after(20), refresh=backend.new_token)
        assert client.search("Patient?_count=1").resources == ()
        stranger = BackendServices(server.base_url, CLIENT, lambda: SigningKey.generate(algorithm))
        with pytest.raises(FhirUnauthorized, match="invalid_client"):
            stranger.token()
        with pytest.raises(FhirUnauthorized):
            FhirClient(server.base_url, deadline=Deadline.after(5)).read("Patient/1")


def test_a_clock_ahead_or_behind_of_the_servers_is_no_reason_for_a_longer_assertion(
    httpserver: HTTPServer,
) -> None:
    clock: Callable[[], datetime] = lambda: datetime(2026, 1, 1, tzinfo=UTC)  # noqa: E731
    assertion = services(httpserver, clock=clock).assertion(ES, "https://auth.example/token")
    claims = jwt.decode(assertion, options={"verify_signature": False})
    assert claims["exp"] == int(clock().timestamp()) + 240
