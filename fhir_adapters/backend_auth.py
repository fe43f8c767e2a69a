"""SMART Backend Services: an access token for work without a user, by a signed assertion.

https://hl7.org/fhir/smart-app-launch/backend-services.html
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
import requests
from urllib3.exceptions import HTTPError

from fhir_adapters.access_token import AccessToken, utc_now
from fhir_adapters.body import Budget, parse_json, read_body
from fhir_adapters.connections import new_session
from fhir_adapters.deadline import Deadline
from fhir_adapters.errors import (
    FhirBadAnswer,
    FhirError,
    FhirNotFound,
    FhirRejected,
    FhirTimeout,
    FhirUnauthorized,
    FhirUnavailable,
)
from fhir_adapters.origin import parse_base_url
from fhir_adapters.signing_keys import SigningKey

# SMART allows 5 minutes. One less, because a server whose clock is behind ours would count more.
_ASSERTION_LIFE = timedelta(minutes=4)
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_RENEW_EARLY = timedelta(seconds=30)  # a token must not run out on its way
_ANSWER_BYTES = 64 * 1024
_OAUTH_ERROR = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True, slots=True)
class SmartConfiguration:
    """What ``.well-known/smart-configuration`` says about getting a token."""

    token_endpoint: str
    signing_algorithms: tuple[str, ...]  # empty: the server does not say
    authentication_methods: tuple[str, ...]


class BackendServices:
    """Gets tokens for one client at one FHIR server; may be used by several threads.

    ``signing_key`` is asked for a key each time, so that a rotated one comes into use without a
    restart. ``new_token`` fits ``FhirClient(refresh=...)``.
    """

    def __init__(
        self,
        fhir_base_url: str,
        client_id: str,
        signing_key: Callable[[], SigningKey],
        *,
        scope: str = "system/*.rs",
        token_endpoint: str | None = None,
        jwk_set_url: str | None = None,
        session: requests.Session | None = None,
        timeout_s: float = 20.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._base_url, home = parse_base_url(fhir_base_url)
        self._secure = home.scheme == "https"
        self._client_id = client_id
        self._signing_key = signing_key
        self._scope = scope
        self._jwk_set_url = jwk_set_url
        self._session = session or new_session(connections=1)
        self._timeout_s = timeout_s
        self._clock = clock
        self._lock = threading.Lock()
        self._token: AccessToken | None = None
        self._configuration = SmartConfiguration(token_endpoint, (), ()) if token_endpoint else None

    def token(self) -> AccessToken:
        """Return the token in use, or a new one shortly before it expires. Raises FhirError."""
        with self._lock:
            if self._token is None or self._token.expired(self._clock() + _RENEW_EARLY):
                self._token = self._request_token()
            return self._token

    def new_token(self) -> AccessToken:
        """Return a token that was just issued, whatever the old one's expiry. Raises FhirError."""
        with self._lock:
            self._token = self._request_token()
            return self._token

    def configuration(self) -> SmartConfiguration:
        """Return the server's SMART configuration, read once. Raises FhirError."""
        if self._configuration is None:
            what = ".well-known/smart-configuration"
            status, answer = self._exchange("GET", f"{self._base_url}/{what}", what, {})
            if status in (404, 410):
                raise FhirNotFound(f"{what}: the FHIR server has none; name its token endpoint")
            if status != 200:
                raise _by_status(status, f"{what}: the server answered {status}")
            self._configuration = self._read_configuration(answer, what)
        return self._configuration

    def assertion(self, key: SigningKey, token_endpoint: str) -> str:
        """Return a client assertion, good for one use."""
        now = self._clock()
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": token_endpoint,
            "iat": int(now.timestamp()),
            "exp": int((now + _ASSERTION_LIFE).timestamp()),
            "jti": secrets.token_urlsafe(24),
        }
        headers = {"kid": key.key_id, "typ": "JWT"}
        if self._jwk_set_url:
            headers["jku"] = self._jwk_set_url
        return jwt.encode(claims, key.private_key, algorithm=key.algorithm, headers=headers)

    def _request_token(self) -> AccessToken:
        configuration = self.configuration()
        key = self._signing_key()
        if (
            configuration.signing_algorithms
            and key.algorithm not in configuration.signing_algorithms
        ):
            offered = ", ".join(configuration.signing_algorithms)
            raise FhirRejected(
                f"token endpoint: it takes no {key.algorithm} signatures ({offered})"
            )
        form = {
            "grant_type": "client_credentials",
            "scope": self._scope,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": self.assertion(key, configuration.token_endpoint),
        }
        asked_at = self._clock()
        status, answer = self._exchange(
            "POST", configuration.token_endpoint, "token endpoint", form
        )
        if status != 200:
            raise _by_status(status, f"token endpoint: it answered {status}{_oauth_error(answer)}")
        return _read_token(answer, asked_at)

    def _read_configuration(self, answer: Any, what: str) -> SmartConfiguration:
        endpoint = answer.get("token_endpoint") if isinstance(answer, dict) else None
        if not isinstance(endpoint, str):
            raise FhirBadAnswer(f"{what}: it names no token_endpoint")
        try:
            _, origin = parse_base_url(endpoint.partition("?")[0])
        except FhirRejected as exc:
            raise FhirBadAnswer(f"{what}: its token_endpoint is not an http or https URL") from exc
        if self._secure and origin.scheme != "https":
            raise FhirBadAnswer(f"{what}: its token_endpoint is not reached by TLS")
        methods = _strings(answer, "token_endpoint_auth_methods_supported")
        if methods and "private_key_jwt" not in methods:
            raise FhirRejected(f"{what}: the server does not support private_key_jwt")
        algorithms = _strings(answer, "token_endpoint_auth_signing_alg_values_supported")
        return SmartConfiguration(endpoint, algorithms, methods)

    def _exchange(
        self, method: str, url: str, what: str, form: Mapping[str, str]
    ) -> tuple[int, Any]:
        """Return status and JSON. Not repeated: an assertion is good for one use only."""
        deadline = Deadline.after(self._timeout_s)
        try:
            with self._session.request(
                method,
                url,
                data=form or None,
                headers={"Accept": "application/json", "Accept-Encoding": "gzip"},
                auth=lambda request: request,  # keeps requests from looking for credentials
                timeout=(self._timeout_s, self._timeout_s),
                stream=True,
                allow_redirects=False,
            ) as response:
                encoding = response.headers.get("Content-Encoding", "")
                budget = Budget(_ANSWER_BYTES, "bytes")
                body = read_body(response.raw, encoding, what, deadline, budget)
                return response.status_code, _json(body, what, response.status_code)
        except (requests.Timeout, TimeoutError) as exc:
            raise FhirTimeout(f"{what}: no answer within {self._timeout_s:.0f} s") from exc
        except (requests.RequestException, HTTPError, OSError) as exc:
            raise FhirUnavailable(f"{what}: no connection, or it broke off") from exc


def _json(body: bytes, what: str, status: int) -> Any:
    """Parse a body; one of an error may be anything."""
    try:
        return parse_json(body, what)
    except FhirError:
        if status == 200:
            raise
        return None


def _read_token(answer: Any, asked_at: datetime) -> AccessToken:
    if not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
        raise FhirBadAnswer("token endpoint: its answer holds no access_token")
    if str(answer.get("token_type", "")).lower() != "bearer":
        raise FhirBadAnswer("token endpoint: the token is not of type bearer")
    life_s = answer.get("expires_in")
    if not isinstance(life_s, int | float) or isinstance(life_s, bool) or life_s <= 0:
        raise FhirBadAnswer("token endpoint: its answer holds no expires_in above 0")
    scope = answer.get("scope")
    return AccessToken(
        answer["access_token"],
        asked_at + timedelta(seconds=life_s),
        scope if isinstance(scope, str) else "",
    )


def _by_status(status: int, message: str) -> FhirError:
    if status == 429 or status >= 500:
        return FhirUnavailable(message)
    return FhirUnauthorized(message) if status in (400, 401, 403) else FhirRejected(message)


def _oauth_error(answer: Any) -> str:
    """Return the OAuth error word. Its description is free text and stays out."""
    word = answer.get("error") if isinstance(answer, dict) else None
    return f" ({word})" if isinstance(word, str) and _OAUTH_ERROR.fullmatch(word) else ""


def _strings(answer: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = answer.get(name)
    return tuple(v for v in values if isinstance(v, str)) if isinstance(values, list) else ()
