"""HTTP as the suite speaks it: one request at a time, at most so many a second, all remembered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

_LARGEST_BYTES = 20_000_000
_IDLE_S = 1.0  # of the servers that we know none closes a connection sooner
_MOST_SILENT = 5  # a service that hangs would hold up each case for half a minute
_TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)


class NoAnswer(Exception):
    """The service gave no HTTP answer; the message is one sentence."""


class NotJson(ValueError):
    """The body of an answer is not JSON."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What went out."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. The body stays in memory only: it may hold what belongs to a patient."""

    what: str  # "POST cds-services/{id}", for the report
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    elapsed_ms: float
    sent: Sent = field(repr=False)

    def json(self) -> Any:
        """Return the body's value. Raises NotJson, also for NaN and for a name given twice."""
        try:
            return json.loads(
                self.body.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_once
            )
        except (ValueError, RecursionError) as exc:
            raise NotJson(str(exc)) from exc

    def header(self, name: str) -> str:
        """Return a header, "" where there is none."""
        return self.headers.get(name, "")


class Wire:
    """Sends requests and keeps the answers of this run."""

    def __init__(
        self,
        per_second: float = 0.0,
        pause: Callable[[float], None] = time.sleep,
        authority: Path | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        """``per_second``: the most requests in a second; 0 is without limit.

        ``authority``: who certified the service, PEM; else one of this system's authorities.
        ``certificate``: ours, and its key, for services that ask for one (mutual TLS).
        """
        self.answers: list[Answer] = []
        ours, our_key = certificate or (None, None)
        self._pool = urllib3.PoolManager(
            retries=False,
            timeout=_TIMEOUT,
            ca_certs=str(authority) if authority else None,
            cert_file=str(ours) if ours else None,
            key_file=str(our_key) if our_key else None,
        )
        self._gap_s = 1 / per_second if per_second else 0.0
        self._pause = pause
        self._next_s = 0.0
        self._last_s = time.monotonic()
        self._silent = 0  # requests without an answer, in a row

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, what: str
    ) -> Answer:
        """Send one request and return the answer. Raises NoAnswer. Follows no redirect."""
        if self._silent >= _MOST_SILENT:
            raise NoAnswer(f"{what}: not sent, for {_MOST_SILENT} requests before had no answer.")
        self._wait()
        self._leave_idle()
        start = time.perf_counter()
        try:
            raw = self._pool.request(
                method,
                url,
                body=body,
                headers=headers,
                redirect=False,
                preload_content=False,
            )
            content = raw.read(_LARGEST_BYTES + 1, decode_content=True)
            raw.drain_conn()
            raw.release_conn()
        except urllib3.exceptions.HTTPError as exc:
            self._silent += 1
            raise NoAnswer(f"{what}: no HTTP answer came ({type(exc).__name__}).") from exc
        if len(content) > _LARGEST_BYTES:
            raise NoAnswer(f"{what}: the answer has more than {_LARGEST_BYTES} bytes.")
        self._silent = 0
        self._last_s = time.monotonic()
        if raw.status >= 500:  # after a fault of its own, uvicorn closes without a word
            self._pool.clear()
        elapsed_ms = 1000 * (time.perf_counter() - start)
        sent = Sent(method, url, dict(headers), body)
        answer = Answer(what, raw.status, raw.headers, content, elapsed_ms, sent)
        self.answers.append(answer)
        return answer

    def close(self) -> None:
        """Close all connections."""
        self._pool.clear()

    def _leave_idle(self) -> None:
        """Begin a new connection after a pause: a server may be closing the old one just now."""
        if time.monotonic() - self._last_s > _IDLE_S:
            self._pool.clear()

    def _wait(self) -> None:
        now_s = time.monotonic()
        if now_s < self._next_s:
            self._pause(self._next_s - now_s)
        self._next_s = max(now_s, self._next_s) + self._gap_s


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice in one object")
    return members
