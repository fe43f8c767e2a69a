"""When a CapabilityStatement is read: where a search needs it, or beside the requests.

Generating it takes some servers seconds, more than a hook has. A service that reads it within a
hook's deadline loses the hook's other data each time, and the statement as well, so that it never
comes to know it. There it is read in the background, once for all hooks, and a hook uses what is
known when it comes.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import requests

from fhir_adapters.access_token import TokenHolder, utc_now
from fhir_adapters.body import Budget
from fhir_adapters.capability import Capabilities, CapabilityCache
from fhir_adapters.connections import cut_after
from fhir_adapters.deadline import Deadline
from fhir_adapters.errors import (
    FhirError,
    FhirFatalError,
    FhirForbidden,
    FhirTemporaryError,
    FhirUnauthorized,
    UnsupportedFhirVersion,
)
from fhir_adapters.origin import parse_base_url
from fhir_adapters.server import Server
from fhir_adapters.transport import Transport

_LOG = logging.getLogger(__name__)
_LIMIT_S = 30.0  # a cold HAPI server needs some ten
_MOST_BYTES = 32 * 1024 * 1024  # the whole of R4, with all its profiles, is below 10 MB
_FIRST_PAUSE_S = 60.0  # after a failure; doubled after each, for it seldom heals by itself
_LONGEST_PAUSE_S = 3600.0


class Statement(Protocol):
    """What is known of one server's abilities."""

    def known(self) -> Capabilities | None:
        """Return what is known already."""

    def wanted(self) -> Capabilities | None:
        """Return what can be known now; None where that is nothing.

        Raises UnsupportedFhirVersion for a server that says to speak DSTU2 or STU3.
        """


class ReadOnDemand:
    """Reads the statement where it is wanted, within the deadline of the client that asks."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._in_vain = False  # once is enough for one request

    def known(self) -> Capabilities | None:
        """Return what was read within a day."""
        return self._server.known_capabilities()

    def wanted(self) -> Capabilities | None:
        """Read it, unless that failed before: what it was wanted for gets reported."""
        if self._in_vain:
            return None
        try:
            return self._server.capabilities()
        except (FhirTemporaryError, FhirFatalError):
            self._in_vain = True
            return None


@dataclass(slots=True)
class _Turn:
    """Where the reading of one server stands."""

    running: bool = False
    not_before_s: float = -math.inf
    pause_s: float = _FIRST_PAUSE_S
    unsupported: str = ""  # what it says of a version that is not R4


class StatementReader:
    """Reads statements in the background: each server's once a day, by one thread at a time.

    One object for a process. ``on_failure`` is told of each attempt that failed.
    """

    def __init__(
        self,
        session: requests.Session,
        *,
        cache: CapabilityCache | None = None,
        on_failure: Callable[[FhirError], None] | None = None,
        limit_s: float = _LIMIT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cache = cache or CapabilityCache()
        self._session = session
        self._on_failure = on_failure
        self._limit_s = limit_s
        self._clock = clock
        self._turns: dict[str, _Turn] = {}
        self._lock = threading.Lock()

    def of(self, base_url: str, tokens: TokenHolder | None = None) -> Statement:
        """Return what is known of a server. ``tokens``: for one that shows nothing without."""
        return _ReadBeside(self, parse_base_url(base_url)[0], tokens)

    def prepare(self, base_urls: Iterable[str]) -> None:
        """Have statements read ahead of the first request."""
        for base_url in base_urls:
            self.ask(parse_base_url(base_url)[0])

    def ask(self, base_url: str, tokens: TokenHolder | None = None) -> None:
        """Have it read, unless it is known or being read, or failed a short time ago. Never waits.

        ``base_url`` as parse_base_url returns it.
        """
        if self.cache.get(base_url) is not None:
            return
        with self._lock:
            turn = self._turns.setdefault(base_url, _Turn())
            if turn.running or self._clock() < turn.not_before_s:
                return
            turn.running = True
        threading.Thread(
            target=self._take, args=(turn, base_url, tokens), name="metadata", daemon=True
        ).start()

    def require_supported(self, base_url: str) -> None:
        """Raise UnsupportedFhirVersion if the server was found to speak another than R4."""
        turn = self._turns.get(base_url)
        if turn is not None and turn.unsupported:
            raise UnsupportedFhirVersion(turn.unsupported)

    def _take(self, turn: _Turn, base_url: str, tokens: TokenHolder | None) -> None:
        try:
            self._read(base_url, tokens)
        except FhirError as exc:
            self._postpone(turn, exc)
        else:
            turn.pause_s, turn.unsupported = _FIRST_PAUSE_S, ""
        finally:
            turn.running = False

    def _postpone(self, turn: _Turn, error: FhirError) -> None:
        asked_s = error.retry_after_s if isinstance(error, FhirTemporaryError) else None
        turn.not_before_s = self._clock() + max(turn.pause_s, asked_s or 0.0)
        turn.pause_s = min(2 * turn.pause_s, _LONGEST_PAUSE_S)
        turn.unsupported = str(error) if isinstance(error, UnsupportedFhirVersion) else ""
        _LOG.info("the CapabilityStatement could not be read: %s", error)
        if self._on_failure is not None:
            self._on_failure(error)

    def _read(self, base_url: str, tokens: TokenHolder | None) -> None:
        """Read it into the cache. Raises FhirError.

        FHIR wants no authorisation for it, and a token that was given for one patient's chart is
        kept out of what is done for all. Servers that refuse are shown it all the same.
        """
        deadline = Deadline.after(self._limit_s)
        try:
            self._read_with(TokenHolder(None, None), base_url, deadline)
        except (FhirUnauthorized, FhirForbidden):
            if tokens is None:
                raise
            self._read_with(tokens, base_url, deadline)

    def _read_with(self, tokens: TokenHolder, base_url: str, deadline: Deadline) -> None:
        url, home = parse_base_url(base_url)
        budget = Budget(_MOST_BYTES, "bytes")
        transport = Transport(self._session, home, tokens, deadline, budget, clock=utc_now)
        with cut_after(deadline.remaining_s(), transport.watch):
            Server(url, home, transport, self.cache, clock=utc_now).capabilities()


class _ReadBeside:
    """One server's statement, as a StatementReader knows it."""

    def __init__(self, reader: StatementReader, base_url: str, tokens: TokenHolder | None) -> None:
        self._reader = reader
        self._base_url = base_url
        self._tokens = tokens

    def known(self) -> Capabilities | None:
        """Return what was read last: an old statement is better than none."""
        return self._reader.cache.last(self._base_url)

    def wanted(self) -> Capabilities | None:
        """Return the same; where it is nothing or old, have it read for the hooks that follow."""
        self._reader.ask(self._base_url, self._tokens)
        self._reader.require_supported(self._base_url)
        return self.known()
