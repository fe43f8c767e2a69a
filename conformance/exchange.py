"""HTTP as the suite speaks it: one request at a time, at most so many a second, all remembered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

from conformance.bounded import LONGEST_S, NoAnswer, fetch

_IDLE_S = 1.0  # of the servers that we know none closes a connection sooner
# A service that hangs would hold up each case for half a minute.
_MOST_SILENT = 5  # requests without an answer, in a row
_MOST_LOST = 5  # times the longest wait, spent in all on requests without an answer
_LARGEST_BYTES = 2_000_000  # cards have some kilobytes; all answers of a run are kept
_DEEPEST = 100  # levels of JSON; what FHIR and CDS Hooks have stays below 30
_TOO_DEEP = f"it is nested more than {_DEEPEST} levels deep"


class NotJson(ValueError):
    """The body of an answer is not JSON, or none that can be looked at."""


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
            value = json.loads(
                self.body.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_once
            )
        except RecursionError as exc:
            raise NotJson(_TOO_DEEP) from exc
        except ValueError as exc:
            raise NotJson(str(exc)) from exc
        if is_deep(value):
            raise NotJson(_TOO_DEEP)
        return value

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
        longest_s: float = LONGEST_S,
        largest: int = _LARGEST_BYTES,
    ) -> None:
        """``per_second``: the most requests in a second; 0 is without limit.

        ``longest_s``: how long one answer is waited for, and ``largest``: how many bytes it has.
        ``authority``: who certified the service, PEM; else one of this system's authorities.
        ``certificate``: ours, and its key, for services that ask for one (mutual TLS).
        """
        self.answers: list[Answer] = []
        ours, our_key = certificate or (None, None)
        self._pool = urllib3.PoolManager(
            ca_certs=str(authority) if authority else None,
            cert_file=str(ours) if ours else None,
            key_file=str(our_key) if our_key else None,
        )
        self._gap_s = 1 / per_second if per_second else 0.0
        self._pause = pause
        self._next_s = 0.0
        self._last_s = time.monotonic()
        self._longest_s, self._largest = longest_s, largest
        self._silent = 0  # requests without an answer, in a row
        self._lost_s = 0.0  # spent on requests without an answer
        self.last_silence = ""  # why the last of them had none

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, what: str
    ) -> Answer:
        """Send one request and return the answer. Raises NoAnswer. Follows no redirect."""
        self._refuse_the_hopeless()
        self._wait()
        self._leave_idle()
        start = time.perf_counter()
        try:
            raw = fetch(self._pool, method, url, headers, body, self._longest_s, self._largest)
        except NoAnswer as exc:
            self._silent += 1
            self._lost_s += time.perf_counter() - start
            self.last_silence = str(exc)
            raise NoAnswer(f"{what}: no HTTP answer came: {exc}.") from exc
        self._silent = 0
        self._last_s = time.monotonic()
        # After a fault of its own uvicorn closes without a word, and so does gunicorn after a
        # refusal for which it did not read the whole request.
        if raw.status >= 400:
            self._pool.clear()
        elapsed_ms = 1000 * (time.perf_counter() - start)
        sent = Sent(method, url, dict(headers), body)
        answer = Answer(what, raw.status, raw.headers, raw.body, elapsed_ms, sent)
        self.answers.append(answer)
        return answer

    def _refuse_the_hopeless(self) -> None:
        if self._silent >= _MOST_SILENT:
            raise NoAnswer(f"Not sent: {_MOST_SILENT} requests before had no answer.")
        if self._lost_s >= _MOST_LOST * self._longest_s:
            lost = f"{self._lost_s:.0f} s were spent on requests that had no answer"
            raise NoAnswer(f"Not sent: {lost}.")

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


def is_deep(value: Any) -> bool:
    """Say whether JSON is nested so deep that a walk through it may not come back."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return False
    return True


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice in one object")
    return members
