"""CapabilityStatements that are read beside the requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from fhir_adapters.access_token import AccessToken, TokenHolder
from fhir_adapters.client import CapabilityCache, StatementReader, new_session
from fhir_adapters.errors import FhirError, UnsupportedFhirVersion
from tests.fhir_adapters.fhir_answers import TOKEN, bundle, client_of, ids, json_response
from tests.fhir_adapters.raw_server import raw_server
from tests.fhir_adapters.test_client_degrading import LABS, searches, statement, strict_server


class Ticks:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Metadata:
    """Answers GET /metadata as told, and remembers the tokens that were shown."""

    def __init__(self, server: HTTPServer) -> None:
        self.url = server.url_for("/fhir")
        self.answer: Any = statement(Observation=["patient", "code"])
        self.delay_s = 0.0
        self.shown: list[str | None] = []
        server.expect_request("/fhir/metadata").respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        self.shown.append(request.headers.get("Authorization"))
        time.sleep(self.delay_s)
        if isinstance(self.answer, Response):
            return self.answer
        answer = self.answer(request) if callable(self.answer) else json_response(self.answer)
        return cast(Response, answer)


@pytest.fixture
def metadata(httpserver: HTTPServer) -> Metadata:
    return Metadata(httpserver)


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def failures() -> list[FhirError]:
    return []


@pytest.fixture
def reader(ticks: Ticks, failures: list[FhirError]) -> Iterator[StatementReader]:
    session = new_session(connections=2)
    yield StatementReader(session, on_failure=failures.append, clock=ticks, limit_s=5.0)
    until(lambda: not reading())
    session.close()


def reading() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "metadata"]


def until(true: Callable[[], object]) -> None:
    end_s = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end_s, "it did not come about"
        time.sleep(0.005)


def read(reader: StatementReader, metadata: Metadata) -> None:
    """Ask, and wait until the answer has been dealt with."""
    reader.of(metadata.url).wanted()
    until(lambda: not reading())


def test_a_statement_is_read_beside_whoever_wants_it(
    reader: StatementReader, metadata: Metadata
) -> None:
    metadata.delay_s = 0.3
    of_server = reader.of(metadata.url)
    start_s = time.monotonic()
    assert of_server.wanted() is None
    assert time.monotonic() - start_s < 0.2
    until(of_server.known)
    assert metadata.shown == [None], "it is about no patient: no token is shown"


def test_one_thread_reads_for_all_who_want_it(reader: StatementReader, metadata: Metadata) -> None:
    metadata.delay_s = 0.2
    for _ in range(20):
        reader.of(metadata.url).wanted()
    assert len(reading()) == 1
    until(lambda: not reading())
    reader.of(metadata.url).wanted()
    assert len(metadata.shown) == 1


def test_a_failure_is_tried_again_after_a_minute_then_ever_more_seldom(
    reader: StatementReader, metadata: Metadata, ticks: Ticks, failures: list[FhirError]
) -> None:
    metadata.answer = Response(status=404)
    asked = []
    for wait_s in (0, 59, 2, 61, 60):
        ticks.now_s += wait_s
        read(reader, metadata)
        asked.append(len(metadata.shown))
    assert asked == [1, 1, 2, 2, 3]
    assert len(failures) == 3
    metadata.answer = statement(Observation=["patient"])
    ticks.now_s += 240
    read(reader, metadata)
    assert reader.of(metadata.url).known() is not None


def test_a_pause_that_the_server_asks_for_is_kept(
    reader: StatementReader, metadata: Metadata, ticks: Ticks
) -> None:
    metadata.answer = Response(status=503, headers={"Retry-After": "600"})
    read(reader, metadata)
    before = len(metadata.shown)
    ticks.now_s += 599
    read(reader, metadata)
    assert len(metadata.shown) == before
    ticks.now_s += 2
    read(reader, metadata)
    assert len(metadata.shown) > before


def test_an_old_statement_is_used_while_it_is_read_again(
    httpserver: HTTPServer, metadata: Metadata
) -> None:
    ticks = Ticks()
    session = new_session(connections=2)
    reader = StatementReader(session, cache=CapabilityCache(clock=ticks), clock=ticks)
    read(reader, metadata)
    ticks.now_s += 25 * 3600
    metadata.answer = statement(Observation=["patient", "category"])
    of_server = reader.of(metadata.url)
    old = of_server.wanted()
    assert old is not None
    assert old.lacks("Observation", "category")
    until(lambda: not reading())
    new = of_server.known()
    assert new is not None
    assert not new.lacks("Observation", "category")
    session.close()


def test_a_server_that_drips_holds_the_thread_no_longer_than_the_limit() -> None:
    def drip(connection: Any, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for n in range(400):
            connection.sendall(f"X-{n}: y\r\n".encode())
            time.sleep(0.02)

    session = new_session(connections=2)
    failures: list[FhirError] = []
    reader = StatementReader(session, on_failure=failures.append, limit_s=0.3)
    with raw_server(drip) as server:
        start_s = time.monotonic()
        reader.of(server.url).wanted()
        until(lambda: not reading())
        assert time.monotonic() - start_s < 3
    assert len(failures) == 1
    session.close()


def test_a_server_that_wants_a_token_for_it_is_shown_the_one_at_hand(
    reader: StatementReader, metadata: Metadata
) -> None:
    def closed(request: Request) -> Response:
        known = statement(Observation=["patient"])
        return json_response(known) if "Authorization" in request.headers else Response(status=401)

    metadata.answer = closed
    of_server = reader.of(metadata.url, TokenHolder(AccessToken(TOKEN), None))
    of_server.wanted()
    until(of_server.known)
    assert metadata.shown == [None, f"Bearer {TOKEN}"]


def test_a_server_of_an_old_version_is_refused_once_that_is_known(
    reader: StatementReader, metadata: Metadata, failures: list[FhirError]
) -> None:
    metadata.answer = {"resourceType": "Conformance"}
    read(reader, metadata)
    with pytest.raises(UnsupportedFhirVersion, match="DSTU2"):
        reader.of(metadata.url).wanted()


def test_statements_are_read_ahead_of_the_first_request(
    reader: StatementReader, metadata: Metadata
) -> None:
    reader.prepare([f"{metadata.url}/", metadata.url])
    until(reader.of(metadata.url).known)
    assert len(metadata.shown) == 1


def test_a_search_does_not_wait_for_the_statement_and_the_next_one_knows_it(
    httpserver: HTTPServer, reader: StatementReader
) -> None:
    strict_server(httpserver, ["patient", "code"])
    client = client_of(httpserver, statements=reader, fallback_codes=["8867-4"])
    with pytest.raises(FhirError):
        client.search(LABS)
    until(lambda: not reading())
    known = client_of(httpserver, statements=reader, fallback_codes=["8867-4"])
    assert ids(known.search(LABS)) == ["1"]
    assert [search.get("category") for search in searches(httpserver)][-1] is None


def test_a_plain_search_asks_for_no_statement(
    httpserver: HTTPServer, reader: StatementReader, metadata: Metadata
) -> None:
    found = bundle({"resourceType": "Observation", "id": "1"})
    httpserver.expect_request("/fhir/Observation").respond_with_json(found)
    assert ids(client_of(httpserver, statements=reader).search(LABS)) == ["1"]
    assert metadata.shown == []
    assert not reading()
