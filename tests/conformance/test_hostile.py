"""What the suite does on things that are no CDS service: one sentence, an exit status, no hang."""

from __future__ import annotations

import json
import socket
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3

from conformance.checks import JSON_CHECKS
from conformance.endpoint import Endpoint
from conformance.exchange import Answer, NotJson, Sent, Wire
from conformance.plain_text import plain
from conformance.sample import SampleChart
from conformance.secrets_in_text import holds_jwt, without_secrets
from tests.conformance.correct_service import Agreement, CorrectService
from tests.conformance.hostile_servers import (
    DISCOVERY,
    ZIPPED,
    Hostile,
    always,
    continues_for_ever,
    drips_a_body,
    drips_headers,
    hangs,
    hangs_every_second_time,
    hostile,
    redirects_to_itself,
    sends_without_end,
    whole,
    with_cards,
)
from tests.conformance.suite_world import all_reports, run_command, running

WEIRD_CARDS = [
    None,
    1,
    {"summary": {"a": 1}, "detail": [1], "indicator": {}, "source": 5, "suggestions": 5},
    {"links": "x", "overrideReasons": 7, "uuid": {}, "selectionBehavior": []},
    {"suggestions": [1, {"actions": 5, "uuid": {}}, {"actions": [1, {"type": {}, "resource": 5}]}]},
    {"links": [1, {"type": []}], "source": {"icon": 5, "topic": []}},
    {"source": {"icon": {"a": 1}}},
    {"source": {"icon": "http://[broken"}},
]
ODD_SERVICE = {
    **DISCOVERY["services"][0],
    "id": "a b/../\r\nX: y\x1b[31m\x00\ud800[/bold]\u202e",
    "prefetch": {"k\x1b": "Patient/{{today() + 99999999999 days}}?a=//[", "\ud800": "Patient"},
}


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (hangs, "nothing whole came within 0.5 s"),
        (drips_a_body, "nothing whole came within 0.5 s"),
        (drips_headers, "nothing whole came within 0.5 s"),
        (continues_for_ever, "nothing whole came within 0.5 s"),
        (sends_without_end, "more than 2000000 bytes"),
        (always(ZIPPED), "more than 2000000 bytes"),
        (always(b"", closing=True), "the connection was closed without an answer"),
        (always(b"SSH-2.0-OpenSSH_9.2\r\n", closing=True), "no whole HTTP answer (BadStatusLine)"),
        (
            always(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", closing=True),
            "no whole HTTP answer (IncompleteRead)",
        ),
        (
            always(whole(b"abcde", headers={"Content-Encoding": "gzip"})),
            "not coded as its Content-Encoding says",
        ),
    ],
    ids=lambda one: getattr(one, "__name__", str(one))[:40],
)
def test_what_gives_no_answer_is_one_sentence(behave: Callable[..., None], said: str) -> None:
    start = time.monotonic()
    with hostile(behave) as (server, base):
        result = run_command("--service", base, timeout=5.0 if "bytes" in said else 0.5)
    assert result.exit_code == 1, result.output
    assert said in result.output
    assert "rules, which --all names" in result.output
    assert len(server.requests) <= 5
    assert time.monotonic() - start < 60


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (always(whole(b"<html>Hello</html>", kind="text/html")), "Discovery is not JSON"),
        (always(whole(b"<html>No</html>", 404, "text/html")), "Discovery answered 404"),
        (redirects_to_itself, "Discovery answered 302"),
        (always(whole(b"[" * 200_000)), "nested more than 100 levels deep"),
        (always(whole(b'{"a":' * 500 + b"1" + b"}" * 500)), "nested more than 100 levels deep"),
        (always(whole("é".encode("latin-1"))), "the body is not JSON"),
        (always(whole([1, 2])), "gives no array 'services'"),
        (always(whole({"services": [None, 1, {"id": 7, "hook": []}]})), "has no service on"),
    ],
)
def test_what_is_no_cds_service_fails(behave: Callable[..., None], said: str) -> None:
    with hostile(behave) as (_, base):
        result = run_command("--service", base, timeout=5)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert said in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("answer", "discovery"),
    [
        ({"cards": WEIRD_CARDS, "systemActions": 5}, DISCOVERY),
        ({"cards": {"a": 1}}, DISCOVERY),
        (5, DISCOVERY),
        ("x", DISCOVERY),
        ([], DISCOVERY),
        ({"cards": [{"summary": "\ud800\u001b[2J\u202e", "indicator": "\0"}]}, DISCOVERY),
        ({"cards": []}, {"services": [ODD_SERVICE]}),
    ],
)
def test_answers_of_any_shape_are_judged(answer: Any, discovery: Any, tmp_path: Path) -> None:
    with hostile(with_cards(answer, discovery)) as (_, base):
        options = ("--feedback", "--origin", "https://ehr.example.org", *all_reports(tmp_path))
        result = run_command("--service", base, *options, timeout=5)
    assert result.exit_code == 1
    assert "The suite broke" not in result.output
    assert not json.loads((tmp_path / "json").read_text())["counts"]["error"]
    ElementTree.parse(tmp_path / "junit")
    for text in (result.output, *(file.read_text() for file in tmp_path.iterdir())):
        assert not {"\x1b", "\0", "\u202e"} & set(text)


@pytest.mark.parametrize(
    ("named", "hook", "said"),
    [
        ("other", "patient-view", "Discovery has no service with the id other on patient-view"),
        ("", "order-sign", "Discovery has no service on patient-view, encounter-start"),
    ],
)
def test_a_service_whose_hook_is_not_fired_is_no_good_one(
    named: str, hook: str, said: str, tmp_path: Path
) -> None:
    services = [{**DISCOVERY["services"][0], "hook": hook}]
    with hostile(with_cards({"cards": []}, {"services": services})) as (_, base):
        few = ("--case", "discovery-answers-200", "--case", "hook-answers-200-with-cards")
        page, report = tmp_path / "page", tmp_path / "report"
        written = ("--html", page, "--test-report", report)
        result = run_command("--service", base, *few, "--service-id", named, *written)
    assert result.exit_code == 2
    assert f"No hook was fired: {said}" in result.stderr
    assert f"<h1>No hook was fired: {said}" in page.read_text()
    assert json.loads(report.read_text())["result"] == "pending"


def test_an_answer_that_breaks_the_suite_ends_one_case(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: Any) -> Any:
        raise KeyError("of an answer")

    monkeypatch.setitem(JSON_CHECKS, "no-raw-html", breaks)  # type: ignore[arg-type]
    with running(CorrectService(Agreement(), "missing-jwt")) as base:
        names = ("--case", "detail-has-no-raw-html", "--case", "detail-is-a-string")
        result = run_command(
            *("--service", base), "--no-jwt", *names, "--fail-on", "ADVICE", timeout=10
        )
    assert result.exit_code == 1
    assert "The suite broke on this answer: KeyError in expectations.py" in result.output
    assert "of an answer" not in result.output


def test_a_service_that_hangs_now_and_then_ends() -> None:
    start = time.monotonic()
    with hostile(hangs_every_second_time) as (_, base):
        result = run_command("--service", base, "--no-jwt", timeout=0.3)
    assert result.exit_code == 1
    assert "were spent on requests that had no answer" in " ".join(
        result.output.replace("│", " ").split()
    )
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("status", [401, 500])
def test_a_connection_that_is_given_up_after_a_refusal_is_not_used_again(status: int) -> None:
    used: set[socket.socket] = set()

    def behave(_: Hostile, connection: socket.socket, __: str) -> None:
        if connection in used:
            connection.close()
            return
        used.add(connection)
        connection.sendall(whole(b"", status))

    with hostile(behave) as (_, base):
        wire = Wire()
        for _number in range(3):
            assert wire.send("GET", base, {}, None, "GET").status == status
        wire.close()


def test_a_service_that_calls_us_wrongly_or_hangs_up_is_borne(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with Endpoint(SampleChart()) as endpoint:
        port = int(endpoint.url.rpartition(":")[2])
        for sent in (
            b"GET /fhir/Patient HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
            b"GET //[ HTTP/1.1\r\n\r\n",
            b"GET /fhir/Observation HTTP/1.1\r\n\r\n" * 200,
        ):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.sendall(sent)
        assert urllib3.request("GET", f"{endpoint.url}/fhir/Patient/conformance").status in (
            200,
            404,
        )
    assert "Traceback" not in capfd.readouterr().err


def test_long_texts_take_no_long_time() -> None:
    start = time.monotonic()
    for text in (
        "`" * 1000 + "a``" * 200_000,
        "<" * 600_000,
        "` " * 300_000,
        "\n    " * 300_000,
        "[" * 600_000,
    ):
        list(JSON_CHECKS["no-raw-html"]({"cards": [{"detail": text}]}))
    for text in ("eyJ" * 600_000, "eyJ." * 500_000, ".eyJ" * 500_000):
        holds_jwt(text)
        without_secrets(text, "token")
    assert time.monotonic() - start < 60


@pytest.mark.parametrize(
    ("detail", "raw"),
    [
        ("`<b>`", False),
        ("``<b>`` and <b>", True),
        ("`<b>``", True),
        ("```\n<b>\n```", False),
        ("    <b>", False),
        ("<https://example.org>", False),
        ("\\<b>", False),
        ("`a` <i> `b`", True),
        ("- finding\n\n    <img src=x onerror=alert(1)>", True),  # of the list, not code
        ("text\n    <img src=x onerror=alert(1)>", True),  # goes on with the paragraph
        ("a \\\\<img src=x onerror=alert(1)> b", True),  # the backslash is escaped, not the tag
        ("p `a\n\nb <img src=x onerror=alert(1)> c ` d", True),  # code ends with its paragraph
        ("> " * 50 + "<img src=x onerror=alert(1)>", True),
        ("| a |\n|---|\n| <b> |", True),
        ("<!-- a comment -->", True),
        ("Lactate <normal; if HR <baseline", False),
        ("~~~\n<b>\n~~~", False),
    ],
)
def test_code_is_no_html(detail: str, raw: bool) -> None:
    assert any(JSON_CHECKS["no-raw-html"]({"cards": [{"detail": detail}]})) is raw


def test_json_that_is_too_deep_is_not_walked() -> None:
    sent = Sent("GET", "http://127.0.0.1", {}, None)
    for depth, deep in ((99, False), (101, True), (5_000, True)):
        answer = Answer("GET", 200, {}, b"[" * depth + b"]" * depth, 1.0, sent)
        if deep:
            with pytest.raises(NotJson, match="nested"):
                answer.json()
        else:
            answer.json()


def test_what_is_not_to_be_seen_is_written_out() -> None:
    assert plain("a\x1b[2J\ud800\u202e\0é\n\tß\xa0") == "a\\u001b[2J\\ud800\\u202e\\u0000é\n\tß\xa0"
