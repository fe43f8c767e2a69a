"""Runs on a real FHIR server: what is read, by whom, and that no report holds what is in it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, ClassVar

import pytest
import urllib3
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask import request

from conformance.endpoint import Endpoint, UpstreamChart
from conformance.exchange import Wire
from conformance.secrets_in_text import holds_jwt
from conformance.session import Session
from conformance.target import Target
from tests.conformance.correct_service import Agreement, CorrectService
from tests.conformance.hostile_servers import (
    DISCOVERY,
    always,
    hangs,
    hostile,
    whole,
    with_cards,
)
from tests.conformance.suite_world import all_reports, key, run_command, running

PATIENT = {"resourceType": "Patient", "id": "p", "name": [{"family": "Canary-Family"}]}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (whole(b"<html>", kind="text/html"), "status 200 without a FHIR resource in JSON"),
        (whole(b"no", 404), "status 404"),
        (whole([1]), "status 200 without a FHIR resource in JSON"),
        (whole(b"[" * 100_000), "status 200 without a FHIR resource in JSON"),
        (whole({"resourceType": "Observation"}), "another resource came"),
        (whole(b"x" * 20_000_001), "the answer has more than 20000000 bytes"),
    ],
)
def test_a_fhir_server_without_the_patient_is_no_fault_of_the_service(
    answer: bytes, said: str
) -> None:
    with (
        hostile(always(answer)) as (_, fhir),
        hostile(with_cards({"cards": []})) as (service, base),
    ):
        result = run_command("--service", base, "--fhir", fhir, "--patient", "p", timeout=10)
    assert result.exit_code == 2, result.output
    assert f"Patient/p cannot be read: {said}" in result.output
    assert service.requests == []


@pytest.mark.parametrize(
    "searched",
    [
        always(whole([1])),
        always(whole({"resourceType": "Bundle", "entry": 5, "link": 7})),
        always(whole({"resourceType": "Bundle", "entry": [None, 1, {"resource": [1]}]})),
        always(whole(b"[" * 100_000)),
        always(whole({"resourceType": "OperationOutcome"}, 401)),
        hangs,
    ],
)
def test_a_fhir_server_that_misbehaves_ends_no_run(searched: Any) -> None:
    def behave(server: Any, connection: socket.socket, line: str) -> None:
        if "Patient/" in line:
            connection.sendall(whole(PATIENT))
        else:
            searched(server, connection, line)

    service = {**DISCOVERY["services"][0], "prefetch": {"vitals": "Observation?patient=p"}}
    with (
        hostile(behave) as (_, fhir),
        hostile(with_cards({"cards": []}, {"services": [service]})) as (_, base),
    ):
        options = ("--no-jwt", "--fhir", fhir, "--patient", "p")
        result = run_command("--service", base, *options, timeout=1)
    assert result.exit_code == 0, result.exception
    assert "The suite broke" not in result.output
    if searched is hangs:
        assert "gave nothing for some templates of the service: vitals (status 502)." in (
            result.output
        )


def test_the_token_stays_below_the_base_url_and_with_those_who_show_ours() -> None:
    with hostile(always(whole(PATIENT))) as (server, base):
        chart = UpstreamChart(f"{base}/fhir", "secret")
        for query in ("../admin", "Patient/../../admin", "%2e%2e/admin", "..\\admin"):
            assert chart.get(query)[0] == 404
        assert chart.get("Patient/p") == (200, PATIENT)
        assert server.requests == ["GET /fhir/Patient/p HTTP/1.1"]
        with Endpoint(chart) as endpoint:
            Session(Target("http://127.0.0.1:9"), Wire(), endpoint)
            asked = f"{endpoint.url}/fhir/Patient/p"
            assert urllib3.request("GET", asked).status == 401
            assert urllib3.request("POST", f"{endpoint.url}/fhir/Patient/_search").status == 401
            assert urllib3.request("GET", f"{endpoint.url}/fhir/metadata").status == 200
            right = {"Authorization": f"Bearer {endpoint.access_token}"}
            assert urllib3.request("GET", asked, headers=right).json() == PATIENT


def test_a_plan_sends_nothing_to_anybody() -> None:
    with hostile(with_cards({})) as (service, base), hostile(always(whole(PATIENT))) as (fhir, at):
        options = ("--fhir", at, "--patient", "p", "--feedback", "--plan")
        result = run_command("--service", base, *options, CONFORMANCE_FHIR_TOKEN="s3cret")
    assert result.exit_code == 0, result.output
    assert service.requests == fhir.requests == []
    assert "s3cret" not in result.output


def chart_of_somebody(_: Any, connection: socket.socket, line: str) -> None:
    searchset = {"resourceType": "Bundle", "type": "searchset"}
    connection.sendall(whole(PATIENT if "Patient/" in line else searchset))


def test_no_report_holds_a_secret_or_a_value_of_a_patient(tmp_path: Path) -> None:
    """The service repeats the whole request, its JWT and token, in headers and bodies."""
    private = key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(private)
    trusted = Agreement("https://suite.example.org", "", key().public_key(), "k")
    as_agreed = (
        "--issuer",
        trusted.issuer,
        "--kid",
        "k",
        "--no-jku",
        "--key",
        tmp_path / "key.pem",
    )
    with running(Echo(trusted)) as base, hostile(chart_of_somebody) as (_, fhir):
        (tmp_path / "reports").mkdir()
        about = ("--fhir", fhir, "--patient", "p", "--feedback", "--all")
        options = (*as_agreed, *about, *all_reports(tmp_path / "reports"))
        token = {"CONFORMANCE_FHIR_TOKEN": "upstream-secret"}
        result = run_command("--service", base, *options, timeout=10, **token)
    assert result.exit_code == 1
    texts = [result.output, *(file.read_text() for file in (tmp_path / "reports").iterdir())]
    assert len(texts) == 5
    assert "repeated the access token" in texts[0]
    assert len(Echo.seen) > 20
    for text in texts:
        for secret in (
            *Echo.seen,
            "upstream-secret",
            "Canary-Family",
            "PRIVATE KEY",
            private.decode()[60:100],
        ):
            assert secret not in text
        assert not holds_jwt(text)


class Echo(CorrectService):
    """Answers with what it was sent."""

    seen: ClassVar[set[str]] = set()  # signatures of JWTs, and access tokens

    def app(self) -> Any:
        application = super().app()

        def repeat(answer: Any) -> Any:
            said = request.headers.get("Authorization", "")
            sent = request.get_json(silent=True)
            token = ""
            if isinstance(sent, dict) and isinstance(sent.get("fhirAuthorization"), dict):
                token = str(sent["fhirAuthorization"].get("access_token", ""))
            signature = said.rpartition(".")[2]
            Echo.seen |= {one for one in (token, signature) if len(one) > 20}
            answer.headers["WWW-Authenticate"] = f"{said} {token}"
            answer.headers["Access-Control-Expose-Headers"] = token
            if request.method == "POST":
                answer.set_data(json.dumps({"said": said, "sent": sent, "cards": [{}]}))
            return answer

        application.after_request(repeat)
        return application


def test_a_report_without_a_folder_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    with hostile(with_cards({"cards": []})) as (server, base):
        result = run_command("--service", base, "--html", tmp_path / "none" / "report.html")
    assert result.exit_code == 2
    assert "there is no folder" in result.output
    assert server.requests == []
