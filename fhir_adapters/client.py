"""Reads from one FHIR server for one request: within one deadline, with one token, under caps.

The thread that asks only waits; worker threads fetch. When the deadline has passed, the waiting
thread takes what has been read so far and cuts the connections, so that neither a slow name
lookup nor a dripping server can hold a request up. `FETCHING.md` lists every rule that is kept
here and below, with its test.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from types import TracebackType

import requests

from fhir_adapters.access_token import AccessToken, Refresh, TokenHolder, utc_now
from fhir_adapters.body import Budget
from fhir_adapters.capability import Capabilities, CapabilityCache
from fhir_adapters.chart import Resource
from fhir_adapters.connections import new_session
from fhir_adapters.deadline import Deadline
from fhir_adapters.errors import FhirBadAnswer, FhirError
from fhir_adapters.origin import parse_base_url, resolve
from fhir_adapters.paging import Caps, Collected, Page, SearchResult, link_of
from fhir_adapters.pending import Pending, Running, failed, or_error
from fhir_adapters.search_plan import Query, loinc_codes
from fhir_adapters.searching import Searcher
from fhir_adapters.server import RawAnswer, Server
from fhir_adapters.statements import StatementReader
from fhir_adapters.transport import Transport
from fhir_adapters.workers import Workers

__all__ = [
    "AccessToken",
    "CapabilityCache",
    "Caps",
    "FhirClient",
    "Pending",
    "RawAnswer",
    "SearchResult",
    "StatementReader",
    "new_session",
]


DEFAULT_CAPS = Caps()


class FhirClient(AbstractContextManager["FhirClient"]):
    """One request's way to its FHIR server.

    ``access_token`` goes to the origin of ``base_url`` and nowhere else; it is not sent after
    ``token_expires_at``. ``refresh`` returns a new token when the old one has expired or was
    refused. ``session`` (see ``new_session``), ``capability_cache`` and ``statements`` are to be
    shared by the clients of a process; with ``statements`` no request waits for a
    CapabilityStatement. ``on_answer`` receives the bytes of every answer used, for audit.
    """

    def __init__(
        self,
        base_url: str,
        *,
        access_token: str | None = None,
        token_expires_at: datetime | None = None,
        deadline: Deadline,
        caps: Caps = DEFAULT_CAPS,
        refresh: Refresh | None = None,
        session: requests.Session | None = None,
        clock: Callable[[], datetime] = utc_now,
        capability_cache: CapabilityCache | None = None,
        statements: StatementReader | None = None,
        fallback_codes: Sequence[str] | None = None,
        on_answer: Callable[[RawAnswer], None] | None = None,
    ) -> None:
        url, home = parse_base_url(base_url)
        token = AccessToken(access_token, token_expires_at) if access_token else None
        self._own_session = session is None
        self._session = session or new_session(connections=caps.parallel)
        tokens = TokenHolder(token, refresh, clock)
        transport = Transport(
            self._session,
            home,
            tokens,
            deadline,
            Budget(caps.bytes, "bytes"),
            clock=clock,
        )
        cache = statements.cache if statements else capability_cache or CapabilityCache()
        self._server = Server(url, home, transport, cache, clock=clock, on_answer=on_answer)
        codes = loinc_codes() if fallback_codes is None else fallback_codes
        statement = statements.of(base_url, tokens) if statements else None
        self._searcher = Searcher(self._server, caps, codes, statement)
        self._workers = Workers(caps.parallel, deadline, transport.watch)

    def read(self, path: str) -> Resource:
        """Read one resource, ``Patient/1``. Raises FhirError."""
        return self._workers.result(self._workers.submit(self._server.read, path), _label(path))

    def search(self, query: str) -> SearchResult:
        """Run one search, ``Observation?patient=1&category=laboratory``, with all its pages.

        What is known to be missing is in ``incomplete``. Raises FhirError if nothing could be
        read.
        """
        collected = Collected(_label(query))
        future = self._workers.submit(self._searcher.search, query, collected)
        return Running(future, collected).settled(self._workers)

    def search_all(
        self, queries: Mapping[str, str], *, if_offered: Collection[str] = ()
    ) -> Mapping[str, SearchResult | FhirError]:
        """Run searches and reads side by side; an error takes the place of its own result only.

        The keys ``if_offered`` are asked for only where the CapabilityStatement lists their type
        and parameters; elsewhere their result is empty.
        """
        return self.start_searches(queries, if_offered=if_offered).results()

    def start_searches(
        self, queries: Mapping[str, str], *, if_offered: Collection[str] = ()
    ) -> Pending:
        """Begin what search_all does, without waiting for it."""
        optional = {queries[key] for key in if_offered}
        running: dict[str, Running] = {}
        for query in dict.fromkeys(queries.values()):
            collected = Collected(_label(query))
            ask = self._searcher.search_if_offered if query in optional else self._searcher.search
            running[query] = Running(self._workers.submit(ask, query, collected), collected)
        return Pending(self._workers, {key: running[query] for key, query in queries.items()})

    def attachment(self, url: str) -> Resource:
        """Read an attachment as a Binary: the server's own, or raw bytes wrapped as one.

        The wrapped one has ``meta.source`` (``url`` as given), ``contentType`` and ``data``.
        Raises FhirError; FhirForeignOrigin for a URL that is not the FHIR server's.
        """
        future = self._workers.submit(self._server.attachment, url)
        return self._workers.result(future, "an attachment")

    def attachments(self, urls: Iterable[str]) -> Mapping[str, Resource | FhirError]:
        """Read several attachments side by side."""
        running = {url: self._workers.submit(self._server.attachment, url) for url in urls}
        self._workers.wait(running.values())
        return {
            url: or_error(partial(self._workers.result, future, "an attachment"))
            for url, future in running.items()
        }

    def follow(self, bundle: Resource, source: str = "Bundle") -> SearchResult:
        """Read a prefetched Bundle and the pages after it. ``source`` names it in messages.

        Raises FhirBadAnswer if it is not a Bundle.
        """
        return self._following(bundle, source).settled(self._workers)

    def start_following(
        self, bundles: Mapping[str, Resource], since: Mapping[str, datetime | None]
    ) -> Pending:
        """Begin to read the pages after prefetched Bundles, by their keys.

        ``since``: where a Bundle comes newest first, a page that is older as a whole ends it.
        """
        running = {key: self._following(one, key, since.get(key)) for key, one in bundles.items()}
        return Pending(self._workers, running)

    def _following(self, bundle: Resource, source: str, since: datetime | None = None) -> Running:
        collected = Collected(source)
        page = Page(self._url_of(bundle), bundle)
        try:
            goes_on = self._searcher.take(page, collected) and link_of(bundle, "next") is not None
        except FhirBadAnswer as exc:
            return Running(failed(exc), collected)
        if not goes_on:
            return Running(None, collected)
        follow = self._searcher.follow
        return Running(self._workers.submit(follow, page, collected, since), collected)

    def capabilities(self) -> Capabilities:
        """Return what the server's CapabilityStatement says; cached by base URL."""
        return self._workers.result(self._workers.submit(self._server.capabilities), "metadata")

    def close(self) -> None:
        """Stop all work; the client cannot be used afterwards."""
        self._workers.stop()
        if self._own_session:
            self._session.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _url_of(self, bundle: Resource) -> str:
        """Return where relative links of a prefetched Bundle start: its self link, if ours."""
        own = link_of(bundle, "self")
        root = f"{self._server.base_url}/"
        try:
            if not isinstance(own, str) or not own:
                return root
            return resolve(own, root, self._server.home, "self link")
        except FhirError:
            return root


def _label(query: str) -> str:
    """Name a query in messages, without what may identify the patient."""
    if "?" not in query:
        return query
    try:
        return Query.parse(query).label
    except FhirError:
        return "search"
