"""Reads from one FHIR server for one request: within one deadline, with one token, under caps.

The thread that asks only waits; worker threads fetch. When the deadline has passed, the waiting
thread takes what has been read so far and cuts the connections, so that neither a slow name
lookup nor a dripping server can hold a request up. `FETCHING.md` lists every rule that is kept
here and below, with its test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from datetime import datetime
from threading import TIMEOUT_MAX
from types import TracebackType

import requests

from fhir_adapters.access_token import AccessToken, Refresh, TokenHolder, utc_now
from fhir_adapters.body import Budget
from fhir_adapters.capability import Capabilities, CapabilityCache
from fhir_adapters.chart import Resource
from fhir_adapters.connections import new_session
from fhir_adapters.deadline import Deadline
from fhir_adapters.errors import FhirError, FhirForeignOrigin, FhirTimeout
from fhir_adapters.origin import parse_base_url, resolve
from fhir_adapters.paging import Caps, Collected, Page, SearchResult, link_of, next_link
from fhir_adapters.search_plan import Query, loinc_codes
from fhir_adapters.searching import Searcher
from fhir_adapters.server import RawAnswer, Server
from fhir_adapters.transport import Transport

__all__ = [
    "AccessToken",
    "CapabilityCache",
    "Caps",
    "FhirClient",
    "RawAnswer",
    "SearchResult",
    "new_session",
]


class FhirClient(AbstractContextManager["FhirClient"]):
    """One request's way to its FHIR server.

    ``access_token`` goes to the origin of ``base_url`` and nowhere else; it is not sent after
    ``token_expires_at``. ``refresh`` returns a new token when the old one has expired or was
    refused. ``session`` (see ``new_session``) and ``capability_cache`` are to be shared by the
    clients of a process. ``on_answer`` receives the bytes of every answer used, for audit.
    """

    def __init__(
        self,
        base_url: str,
        *,
        access_token: str | None = None,
        token_expires_at: datetime | None = None,
        deadline: Deadline,
        caps: Caps = Caps(),
        refresh: Refresh | None = None,
        session: requests.Session | None = None,
        clock: Callable[[], datetime] = utc_now,
        capability_cache: CapabilityCache | None = None,
        fallback_codes: Sequence[str] | None = None,
        on_answer: Callable[[RawAnswer], None] | None = None,
    ) -> None:
        url, home = parse_base_url(base_url)
        token = AccessToken(access_token, token_expires_at) if access_token else None
        self._own_session = new_session(connections=caps.parallel) if session is None else None
        self._deadline = deadline
        self._transport = Transport(
            session or self._own_session or new_session(),
            home,
            TokenHolder(token, refresh, clock),
            deadline,
            Budget(caps.bytes, "bytes"),
            clock=clock,
        )
        self._server = Server(
            url,
            home,
            self._transport,
            capability_cache or CapabilityCache(),
            clock=clock,
            on_answer=on_answer,
        )
        codes = loinc_codes() if fallback_codes is None else fallback_codes
        self._searcher = Searcher(self._server, caps, codes)
        self._workers = ThreadPoolExecutor(caps.parallel, thread_name_prefix="fhir")

    def read(self, path: str) -> Resource:
        """Read one resource, ``Patient/1``. Raises FhirError."""
        return self._wait_for(self._workers.submit(self._server.read, path), path)

    def search(self, query: str) -> SearchResult:
        """Run one search, ``Observation?patient=1&category=laboratory``, with all its pages.

        What can be said to be missing is in ``incomplete``. Raises FhirError if nothing could be
        read.
        """
        collected = Collected(_label(query))
        return self._settle(self._submit(query, collected), collected)

    def search_all(self, queries: Mapping[str, str]) -> Mapping[str, SearchResult | FhirError]:
        """Run searches and reads side by side; an error takes the place of its own result only."""
        running: dict[str, tuple[Future[None], Collected]] = {}
        by_query: dict[str, tuple[Future[None], Collected]] = {}
        for key, query in queries.items():
            if query not in by_query:
                collected = Collected(_label(query))
                by_query[query] = self._submit(query, collected), collected
            running[key] = by_query[query]
        self._wait([future for future, _ in by_query.values()])
        return {key: self._settled_or_error(*pair) for key, pair in running.items()}

    def attachment(self, url: str) -> Resource:
        """Read an attachment as a Binary: the server's own, or raw bytes wrapped as one.

        The wrapped one has ``meta.source`` (``url`` as given), ``contentType`` and ``data``.
        Raises FhirError; FhirForeignOrigin for a URL that is not the FHIR server's.
        """
        return self._wait_for(self._workers.submit(self._server.attachment, url), "an attachment")

    def attachments(self, urls: Iterable[str]) -> Mapping[str, Resource | FhirError]:
        """Read several attachments side by side."""
        running = {url: self._workers.submit(self._server.attachment, url) for url in urls}
        self._wait(running.values())
        return {url: self._done_or_error(future) for url, future in running.items()}

    def follow(self, bundle: Resource, source: str = "Bundle") -> SearchResult:
        """Read a prefetched Bundle with its following pages. ``source`` names it in messages.

        Raises FhirBadAnswer if it is not a Bundle.
        """
        collected = Collected(source)
        page = Page(self._url_of(bundle), bundle)
        if next_link_or_none(bundle) is None:
            self._searcher.read_on(page, collected)
            return collected.result()
        return self._settle(self._workers.submit(self._searcher.read_on, page, collected), collected)

    def capabilities(self) -> Capabilities:
        """Return what the server's CapabilityStatement says; cached by base URL."""
        return self._wait_for(self._workers.submit(self._server.capabilities), "metadata")

    def close(self) -> None:
        """Stop all work; the client cannot be used afterwards."""
        self._transport.watch.cut()
        self._workers.shutdown(wait=False, cancel_futures=True)
        if self._own_session is not None:
            self._own_session.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
