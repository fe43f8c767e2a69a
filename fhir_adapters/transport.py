"""One GET at a time: token, redirects, retries, pauses and limits, all within one deadline."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import requests
import urllib3
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError

from fhir_adapters.access_token import AccessToken, TokenHolder
from fhir_adapters.body import Budget, read_body
from fhir_adapters.connections import SocketWatch
from fhir_adapters.deadline import Deadline
from fhir_adapters.errors import (
    FhirBadAnswer,
    FhirError,
    FhirTemporaryError,
    FhirTimeout,
    FhirTooLarge,
    FhirTruncated,
    FhirUnavailable,
)
from fhir_adapters.origin import Origin, resolve
from fhir_adapters.rate_limit import pause_s, retry_after_s

_LOG = logging.getLogger(__name__)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 3
_IDLE_S = 30.0  # a connection silent for so long is dead, also where the deadline is far away
_ERROR_BODY_BYTES = 64 * 1024  # an OperationOutcome is smaller; of an HTML page nothing is used
_OWN_HEADERS = {"Accept-Encoding": "gzip", "User-Agent": "meam-cds"}

RETRY = urllib3.Retry(
    total=2,
    backoff_factor=0.05,
    backoff_jitter=0.05,
    allowed_methods=frozenset({"GET"}),
    status_forcelist=frozenset({429, 500, 502, 503, 504}),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. ``url`` is where it came from, after redirects."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


class Transport:
    """Sends requests of one client to one origin; may be used by several threads."""

    def __init__(
        self,
        session: requests.Session,
        home: Origin,
        tokens: TokenHolder,
        deadline: Deadline,
        budget: Budget,
        *,
        clock: Callable[[], datetime],
        retry: urllib3.Retry = RETRY,
    ) -> None:
        self.watch = SocketWatch()  # for the threads that call ``get``
        self._session = session
        self._home = home
        self._tokens = tokens
        self._deadline = deadline
        self._budget = budget
        self._clock = clock
        self._retry = retry
        self._pause_until_s = 0.0
        self._pause_lock = threading.Lock()

    def get(self, url: str, what: str, headers: Mapping[str, str]) -> Answer:
        """Return the answer to a GET of a URL of the home origin, whatever its status.

        A 401 is answered once with a renewed token, for the same URL: paging resumes where it
        was. ``what`` names the request in messages; it must hold no query string.
        """
        token = self._tokens.current(what)
        answer = self._follow(url, what, headers, token)
        if answer.status == 401 and self._tokens.renew(token):
            answer = self._follow(url, what, headers, self._tokens.current(what))
        return answer

    def _follow(
        self, url: str, what: str, headers: Mapping[str, str], token: AccessToken | None
    ) -> Answer:
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self._persist(url, what, headers, token)
            if answer.status not in _REDIRECTS:
                return answer
            location = answer.headers.get("Location", "")
            url = resolve(location, answer.url, self._home, f"{what}: redirect")
        raise FhirBadAnswer(f"{what}: more than {_MOST_REDIRECTS} redirects")

    def _persist(
        self, url: str, what: str, headers: Mapping[str, str], token: AccessToken | None
    ) -> Answer:
        """Try again what may succeed, as far as urllib3's Retry and the deadline allow.

        Only GET is sent, so every repetition is safe. What urllib3 would do by itself is done
        here because its pauses know no deadline.
        """
        retry = self._retry
        while True:
            self._await_turn(what)
            outcome = self._try(url, what, headers, token)
            if isinstance(outcome, Answer):
                self._pause(pause_s(outcome.headers, self._clock()))
                if not retry.is_retry("GET", outcome.status):
                    return outcome
                self._pause(retry_after_s(outcome.headers, self._clock()) or 0.0)
            try:
                retry = retry.increment("GET", what)
            except MaxRetryError:
                return _returned_or_raised(outcome)
            kind = re.sub(r"/[^?]*", "", what)  # without the id: it may be the patient's
            _LOG.info("%s: trying again after a temporary failure", kind)
            time.sleep(min(retry.get_backoff_time(), self._deadline.remaining_s()))

    def _try(
        self, url: str, what: str, headers: Mapping[str, str], token: AccessToken | None
    ) -> Answer | FhirTemporaryError:
        try:
            return self._attempt(url, what, headers, token)
        except FhirTemporaryError as exc:
            if self._deadline.expired:
                raise
            return exc

    def _attempt(
        self, url: str, what: str, headers: Mapping[str, str], token: AccessToken | None
    ) -> Answer:
        timeout_s = min(self._deadline.require(what), _IDLE_S)
        try:
            with self._session.get(
                url,
                headers={**_OWN_HEADERS, **headers},
                auth=_Bearer(token),
                timeout=(timeout_s, timeout_s),
                stream=True,
                allow_redirects=False,
            ) as response:
                body = self._read(response, what)
                return Answer(url, response.status_code, response.headers, body)
        except (requests.RequestException, HTTPError, OSError) as exc:
            raise self._translated(exc, what) from _root(exc)
        finally:
            self.watch.release()

    def _read(self, response: requests.Response, what: str) -> bytes:
        if response.status_code in _REDIRECTS:
            return b""
        encoding = response.headers.get("Content-Encoding", "")
        if response.status_code < 400:
            return read_body(response.raw, encoding, what, self._deadline, self._budget)
        budget = Budget(_ERROR_BODY_BYTES, "bytes")
        try:
            return read_body(response.raw, encoding, what, self._deadline, budget)
        except (FhirBadAnswer, FhirTooLarge, FhirTruncated):
            return b""  # the status alone says what went wrong

    def _translated(self, exc: Exception, what: str) -> FhirError:
        """Turn an HTTP library's error, which quotes the whole URL, into one of ours."""
        if self._deadline.expired:
            return FhirTimeout(f"{what}: no answer within the time allowed for this request")
        if isinstance(exc, requests.Timeout | urllib3.exceptions.TimeoutError):
            return FhirTimeout(f"{what}: the FHIR server kept silent too long")
        if isinstance(exc, ProtocolError | requests.exceptions.ChunkedEncodingError):
            return FhirTruncated(f"{what}: the connection broke off inside the answer")
        if isinstance(exc, requests.exceptions.SSLError):
            return FhirUnavailable(f"{what}: no trusted TLS connection to {self._home}")
        if isinstance(exc, requests.ConnectionError | OSError) and not isinstance(exc, ValueError):
            return FhirUnavailable(f"{what}: no connection to {self._home}, or it was closed")
        return FhirBadAnswer(f"{what}: the answer is not HTTP that can be read")

    def _await_turn(self, what: str) -> None:
        """Sleep as long as the server asked its clients to; give up if that is too long."""
        with self._pause_lock:
            pause = self._pause_until_s - time.monotonic()
        if pause <= 0:
            return
        if pause >= self._deadline.remaining_s():
            raise FhirUnavailable(
                f"{what}: the FHIR server asks for a pause of {pause:.1f} s, longer than the "
                "time allowed for this request",
                retry_after_s=pause,
            )
        time.sleep(pause)

    def _pause(self, seconds: float) -> None:
        with self._pause_lock:
            self._pause_until_s = max(self._pause_until_s, time.monotonic() + seconds)


class _Bearer(AuthBase):
    """Presents the token, and being there keeps requests from looking for other credentials."""

    def __init__(self, token: AccessToken | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token.value}"
        return request


def _returned_or_raised(outcome: Answer | FhirTemporaryError) -> Answer:
    if isinstance(outcome, Answer):
        return outcome
    raise outcome


def _root(exc: BaseException) -> BaseException | None:
    """Return the innermost operating system error: its text quotes no URL, as the outer ones do."""
    root: BaseException | None = None
    inner: BaseException | None = exc
    while inner is not None:
        if isinstance(inner, OSError) and not isinstance(inner, requests.RequestException):
            root = inner
        inner = inner.__cause__ or inner.__context__
    return root
