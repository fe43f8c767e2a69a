"""Requirements 82 and 20 on real sockets: slow clients, overload, large bodies, a graceful stop."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from cds_hooks.keys import KeyRing
from cds_hooks.store import Store
from tests.cds_hooks.running import HOOK, KEY, Running

LIMITS = """
read_limit_ms = 1500
max_body_bytes = 100000
max_concurrent_hooks = 1
max_waiting_hooks = 1
max_wait_ms = 1500
"""
THREADS = 1 + 1 + 8
HEAD = f"POST {HOOK} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()
SLOW = "tests.cds_hooks.serve:slow()"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(tmp_path_factory.mktemp("sockets"), LIMITS, application=SLOW)
    yield made
    made.close()


@pytest.fixture
def slow_clients(running: Running) -> Iterator[Any]:
    """Opens more connections than there are threads; each sends the same beginning."""
    opened: list[socket.socket] = []

    def begin(start: bytes) -> list[socket.socket]:
        for _ in range(THREADS + 4):
            client = running.connect()
            client.sendall(start)
            opened.append(client)
        return opened

    yield begin
    for client in opened:
        client.close()


def _received(client: socket.socket) -> bytes:
    """What the server says until it closes."""
    received = b""
    try:
        while chunk := client.recv(65_536):
            received += chunk
    except ConnectionResetError:
        return received
    return received


def _drip(clients: list[socket.socket], seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        for client in clients:
            try:
                client.sendall(b" ")
            except OSError:
                continue
        time.sleep(0.2)


def test_connections_that_say_nothing_hold_no_thread(running: Running, slow_clients: Any) -> None:
    slow_clients(b"")
    start_s = time.monotonic()
    assert running.get("/healthz").status_code == 200
    assert time.monotonic() - start_s < 1.0


@pytest.mark.parametrize(
    "start",
    [HEAD + b"X-Slow: ", HEAD + b"Content-Length: 90000\r\n\r\n{"],
    ids=["header drip", "body drip"],
)
def test_r82_dripping_clients_are_cut_off_and_others_are_answered(
    running: Running, slow_clients: Any, start: bytes
) -> None:
    clients = slow_clients(start)
    dripping = threading.Thread(target=_drip, args=(clients, 6.0))
    dripping.start()
    start_s = time.monotonic()
    assert running.get("/healthz").status_code == 200
    assert running.invoke().status_code == 200
    assert time.monotonic() - start_s < 6.0
    dripping.join()
    assert all(b"200 OK" not in _received(client) for client in clients)


def test_a_body_that_breaks_off_is_400_with_an_outcome(running: Running) -> None:
    client = running.connect()
    client.sendall(HEAD + b"Content-Length: 500\r\n\r\n{")
    client.shutdown(socket.SHUT_WR)
    received = _received(client)
    client.close()
    assert received.startswith(b"HTTP/1.1 400 ")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("chunk", [b"zz\r\n{}\r\n", b"2\r\n{}XX\r\n"])
def test_a_chunked_body_that_is_malformed_is_no_crash(running: Running, chunk: bytes) -> None:
    client = running.connect()
    client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
    client.shutdown(socket.SHUT_WR)
    received = _received(client)
    client.close()
    assert received.startswith(b"HTTP/1.1 400 ")


def test_a_body_over_the_limit_is_413_before_it_is_sent(running: Running) -> None:
    client = running.connect()
    client.sendall(HEAD + b"Content-Length: 200000\r\n\r\n")
    received = client.recv(65_536)
    client.close()
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b"application/fhir+json" in received


def test_a_chunked_body_over_the_limit_is_413(running: Running) -> None:
    def chunks() -> Iterator[bytes]:
        yield from (b" " * 20_000 for _ in range(10))

    answer = requests.post(
        f"{running.base}{HOOK}",
        data=chunks(),
        headers={"Content-Type": "application/json"},
        timeout=10,
    )
    assert answer.status_code == 413


def test_more_hooks_than_places_are_503_with_retry_after(running: Running) -> None:
    answers: list[requests.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(running.invoke())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sorted(answer.status_code for answer in answers)
    assert set(statuses) == {200, 503}
    for answer in answers:
        if answer.status_code == 503:
            assert answer.headers["Retry-After"] == "1"
            assert answer.json()["issue"][0]["code"] == "throttled"


def test_a_stop_finishes_what_was_begun(tmp_path: Path) -> None:
    running = Running(tmp_path, application=SLOW)
    body = json.dumps(running.hook_request()).encode()
    client = running.connect()
    client.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:1000])
    time.sleep(0.2)
    running.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    client.sendall(body[1000:])
    received = _received(client)
    client.close()
    assert received.startswith(b"HTTP/1.1 200 ")
    assert len(json.loads(received.partition(b"\r\n\r\n")[2])["cards"]) == 1
    assert running.process.wait(timeout=20) == 0
    running.log.close()
    store = Store(running.database, KeyRing([KEY]))
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM cards").scalar_one() == 1
    store.close()


def test_workers_add_up_their_figures(tmp_path: Path) -> None:
    running = Running(tmp_path, "workers = 2\n", application=SLOW)
    try:
        threads = [threading.Thread(target=running.invoke) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(running.workers()) == 2
        for _ in range(3):  # whichever worker answers
            page = running.get("/metrics").text
            assert 'meam_cards_total{indicator="critical",service="meam-risk"} 6.0' in page
            assert 'meam_stage_seconds_count{stage="card"} 6.0' in page
    finally:
        running.close()
