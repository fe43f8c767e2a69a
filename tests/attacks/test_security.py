"""Faults that the attacks found, and threats that no other test holds. See docs/security.md."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from cds_hooks import jwks
from cds_hooks.audit_check import verify_audit
from cds_hooks.errors import BadRequest, NotReady
from cds_hooks.feedback import parse_feedback, store_feedback
from cds_hooks.json_body import parse_json
from cds_hooks.parts import parts_of
from cds_hooks.trust import TrustedIssuer
from fhir_adapters.client import FhirClient, new_session
from fhir_adapters.deadline import Deadline
from fhir_adapters.errors import FhirBadAnswer
from tests.attacks.fuzz import one_mutant
from tests.attacks.fuzz_sockets import raw_requests
from tests.attacks.results import Results
from tests.attacks.site import ROOT
from tests.attacks.target import FEEDBACK, FHIR, HOOK, Target, jwt_settings, target
from tests.cds_hooks import signing, world
from tests.fhir_adapters.raw_server import raw_server

_LOADS_THE_MODEL = """
from cds_hooks.settings import Settings
from cds_hooks.warm_up import warm_up_record
from model.predictor import load_predictor
load_predictor(Settings().checkpoint)(warm_up_record())
"""


def _target(folder: Path, **settings: Any) -> Any:
    return target(folder, Results("one"), predictor=world.LinearPredictor(), **settings)


def _good(made: Target) -> None:
    assert not made.results.faults, made.results.examples


def test_a_token_life_beyond_all_dates_is_400(tmp_path: Path) -> None:
    with _target(tmp_path) as made:
        for expires_in in (10**30, 10**9):
            given = world.authorization(expires_in=expires_in)
            request = world.hook_request(fhirServer=FHIR, fhirAuthorization=given)
            assert made.post("hook", HOOK, request) == 400
        _good(made)


def test_many_members_and_one_twice_take_no_time() -> None:
    names = ", ".join(f'"n{number}": 0' for number in range(200_000))
    start_s = time.process_time()
    with pytest.raises(BadRequest, match="stands twice"):
        parse_json(f'{{{names}, "n199999": 1}}'.encode())
    assert time.process_time() - start_s < 3


def test_a_compressed_body_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps(world.hook_request()).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    with _target(tmp_path) as made:
        assert made.send("hook", "POST", HOOK, body=packed, headers=headers) == 415
        _good(made)


def test_malformed_requests_are_neither_logged_nor_repeated(tmp_path: Path) -> None:
    results = Results("short")
    raw_requests(tmp_path / "site", results, 50, Random(3).getrandbits(16))
    assert not results.faults, (results.faults, results.examples)
    assert results.rows["sockets raw: 400"] > 3


def test_the_model_writes_nothing_home(tmp_path: Path) -> None:
    """onnxruntime would keep a device id and events to send below the home directory."""
    environ = {name: value for name, value in os.environ.items() if name[:4] != "ORT_"}
    environ |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environ["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", _LOADS_THE_MODEL],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert not list(tmp_path.rglob("*"))


def test_half_a_character_in_a_chart_does_not_break_the_page(tmp_path: Path) -> None:
    """JSON can escape a lone surrogate; the explanation page of such a chart was a 500."""
    results = Results("one")
    with target(tmp_path, results, predictor=world.LinearPredictor()) as made:
        assert one_mutant(made, "mutants", 23737161310066) == 200
    assert results.rows["mutants page: 200"] == 1
    assert not results.faults, results.examples


def test_a_login_page_is_no_note(httpserver: HTTPServer) -> None:
    """A portal that lost its session answers 200 with a page; it was read as the patient's note."""
    page = b'<html><p>Please log in</p><INPUT name=p Type = "password"></html>'
    httpserver.expect_request("/Binary/n1").respond_with_data(page, content_type="text/html")
    base_url = httpserver.url_for("").rstrip("/")
    with FhirClient(base_url, deadline=Deadline.after(5)) as client:
        (answer,) = client.attachments(["Binary/n1"]).values()
    assert isinstance(answer, FhirBadAnswer)


def test_a_dripping_server_of_keys_holds_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time-out bounds one read; a byte a second would have held an issuer's callers for hours."""

    def drip(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        for _ in range(50):
            connection.sendall(b" ")
            time.sleep(0.1)

    monkeypatch.setattr(jwks, "_TIME_OUT_S", 0.5)
    with raw_server(drip) as server:
        issuer = TrustedIssuer(signing.ISS, jku=(server.url,))
        start_s = time.monotonic()
        with pytest.raises(NotReady):
            jwks.KeySets(new_session()).key(issuer, server.url, "k", "ES384")
        assert time.monotonic() - start_s < 3


def test_a_clock_set_back_reopens_nothing(tmp_path: Path) -> None:
    """The chain of the audit log counts by number, and a used JWT stays used."""
    with _target(tmp_path, **jwt_settings()) as made:
        parts = parts_of(made.client.application)
        header = signing.bearer(signing.token(tenant="north"))
        request = world.hook_request()
        assert made.post("hook", HOOK, request, **header) == 200
        parts.store.clock = lambda: world.NOW - timedelta(minutes=50)
        assert made.post("hook", HOOK, request, **header) == 401
        fresh = signing.bearer(signing.token(tenant="north"))
        assert made.post("hook", HOOK, request, **fresh) == 200
        assert verify_audit(parts.store.engine, parts.store.keys) >= 2
        _good(made)


def test_feedback_of_another_issuer_does_not_count_as_the_cards(tmp_path: Path) -> None:
    with _target(tmp_path) as made:
        answer = made.client.post(HOOK, json=world.hook_request()).get_json()
        card = answer["cards"][0]["uuid"]
        item = {"card": card, "outcome": "overridden", "outcomeTimestamp": "2026-11-23T00:00:00Z"}
        items = parse_feedback({"feedback": [item]})
        store = parts_of(made.client.application).store
        assert store_feedback(store, "meam-risk", "https://other.example", items).unknown == 1
        assert made.post("feedback", FEEDBACK, {"feedback": [item]}) == 200
        rows = store.engine.connect()
        with rows:
            known = rows.exec_driver_sql("SELECT issuer, known_card FROM feedback").all()
        assert sorted(map(tuple, known)) == [("https://other.example", 0), ("open", 1)]


@pytest.mark.parametrize("piece", [b"{},", b"[],", b'"ab",'])
def test_a_body_that_would_fill_the_memory_is_refused(tmp_path: Path, piece: bytes) -> None:
    """18 MB of empty objects grew to half a gigabyte, and took seconds, for each such request."""
    body = b'{"hook": "patient-view", "x": [' + piece * 3_000_000 + b"0]}"
    start_s = time.process_time()
    with _target(tmp_path) as made:
        assert made.post("hook", HOOK, body) == 400
        assert made.post("feedback", FEEDBACK, body) == 400
        _good(made)
    assert time.process_time() - start_s < 3


def test_no_more_bodies_are_parsed_than_hooks_are_worked_on(tmp_path: Path) -> None:
    """A request that waits for a place waits as bytes."""
    with _target(tmp_path, max_concurrent_hooks=1, max_waiting_hooks=1, max_wait_ms=50) as made:
        admission = parts_of(made.client.application).admission
        with admission.place(1):
            assert made.post("hook", HOOK, b"{ this is no JSON") == 503
        assert made.post("hook", HOOK, b"{ this is no JSON") == 400
        _good(made)
