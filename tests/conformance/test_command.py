"""The suite as a command: reports, exit statuses, and one sentence for each wrong use."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fhir.resources.R4B import testreport
from pytest_httpserver import HTTPServer

from conformance.__main__ import main
from conformance.client_keys import ClientKeys, KeyFileError, new_key, read_key
from conformance.endpoint import UpstreamChart
from tests.conformance.correct_service import Agreement, CorrectService
from tests.conformance.suite_world import running

# Cases that need neither a JWT nor the agreed FHIR server.
FEW = (
    "services-have-title",
    "hook-answers-200-with-cards",
    "missing-jwt-is-refused",
    "detail-is-a-string",
)


def run(*arguments: str | Path) -> Result:
    few = [part for name in FEW for part in ("--case", name)]
    return CliRunner().invoke(
        main, ["run", *few, "--rate", "0", *map(str, arguments)], env={"COLUMNS": "300"}
    )


@pytest.fixture
def open_service() -> Iterator[str]:
    """The correct service, but it asks nobody who they are."""
    with running(CorrectService(Agreement(), "missing-jwt")) as base:
        yield base


@pytest.fixture
def untitled_service() -> Iterator[str]:
    def change(answer: dict) -> dict:
        for service in answer.get("services", ()):
            del service["title"]
        return answer

    with running(CorrectService(Agreement(), "missing-jwt", change=change)) as base:
        yield base


def test_a_good_service_ends_with_0(open_service: str) -> None:
    result = run("--service", open_service, "--no-jwt")
    assert result.exit_code == 0, result.output
    assert "up to 3 requests" in result.output
    assert "made-up patient" in result.output
    assert "No feedback." in result.output


def test_what_ends_with_1_is_chosen(untitled_service: str) -> None:
    assert run("--service", untitled_service, "--no-jwt").exit_code == 0
    assert run("--service", untitled_service, "--no-jwt", "--fail-on", "SHOULD").exit_code == 1


def test_a_client_that_gives_no_data_is_said_to_be_one(open_service: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    options = ("--no-prefetch", "--no-fhir-access", "--no-jwt", "--json", report)
    result = run("--service", open_service, *options)
    assert result.exit_code == 1, result.output  # the correct service needs data: 412
    facts = json.loads(report.read_text())["facts"]
    assert facts["Data"] == "nothing prefetched, without access to the suite's FHIR endpoint"


def test_a_plan_sends_nothing() -> None:
    result = run("--service", "http://127.0.0.1:9", "--plan")
    assert result.exit_code == 0
    assert "4 cases of CDS Hooks 2.0.1" in result.output


def test_a_service_that_is_not_there_is_an_error_of_each_case() -> None:
    result = run("--service", "http://127.0.0.1:9", "--no-jwt")
    assert result.exit_code == 1
    assert "no HTTP answer came" in result.output


def test_all_reports_say_the_same(untitled_service: str, tmp_path: Path) -> None:
    names = ("json", "junit", "html", "test-report")
    files = {name: tmp_path / name for name in names}
    options = [part for name in names for part in (f"--{name}", files[name])]
    assert run("--service", untitled_service, "--no-jwt", *options).exit_code == 0

    whole = json.loads(files["json"].read_text())
    assert whole["counts"] == {"pass": 2, "fail": 1, "skip": 0, "omit": 1, "error": 0}
    (failed,) = [one for one in whole["results"] if one["verdict"] == "fail"]
    assert failed["findings"] == ["GET cds-services: $.services[0].title is missing."]

    suite = ElementTree.fromstring(files["junit"].read_text())
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "0", "2")

    report = json.loads(files["test-report"].read_text())
    assert (report["resourceType"], report["result"]) == ("TestReport", "pass")
    assert testreport.TestReport.model_validate(report).score == Decimal(
        "66.7"
    )  # of what was judged

    page = files["html"].read_text()
    assert "$.services[0].title is missing." in page
    assert "<script" not in page
    assert "src=" not in page


@pytest.mark.parametrize(
    ("fail_on", "code", "tag", "result", "action"),
    [("SHALL", 0, "skipped", "pass", "warning"), ("SHOULD", 1, "failure", "fail", "fail")],
)
def test_reports_call_failed_what_the_exit_status_calls_failed(
    untitled_service: str,
    tmp_path: Path,
    fail_on: str,
    code: int,
    tag: str,
    result: str,
    action: str,
) -> None:
    junit, whole = tmp_path / "junit", tmp_path / "report"
    options = ("--no-jwt", "--fail-on", fail_on, "--junit", junit, "--test-report", whole)
    assert run("--service", untitled_service, *options).exit_code == code
    suite = ElementTree.fromstring(junit.read_text())
    (case,) = suite.iterfind("testcase[@name='services-have-title']")
    (told,) = case
    said = "GET cds-services: $.services[0].title is missing."
    assert told.tag == tag
    assert told.get("message") == ("SHOULD not kept: " if code == 0 else "") + said
    assert int(suite.get("failures", "")) == len(suite.findall(".//failure"))
    assert int(suite.get("skipped", "")) == len(suite.findall(".//skipped"))
    report = json.loads(whole.read_text())
    assert report["result"] == result
    assert testreport.TestReport.model_validate(report)
    actions = {one["name"]: one["action"][0]["assert"]["result"] for one in report["test"]}
    assert actions["services-have-title"] == action


def test_a_run_without_any_card_says_so(tmp_path: Path) -> None:
    def silent(answer: dict) -> dict:
        return {"cards": []} if "cards" in answer else answer

    page = tmp_path / "page"
    with running(CorrectService(Agreement(), "missing-jwt", change=silent)) as base:
        result = run("--service", base, "--no-jwt", "--html", page)
    assert result.exit_code == 0, result.output
    assert "No card was seen" in result.output
    assert "No card was seen, and no rule about cards was tried.</h1>" in page.read_text()
    assert 'class="panel outcome partial"' in page.read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fhir", "http://127.0.0.1:9/fhir"), "--fhir and --patient belong together."),
        (("--case", "no-such-case"), "There is no case no-such-case for CDS Hooks 2.0.1."),
        (("--listen", "127.0.0.1:http"), "127.0.0.1:http cannot be listened on; name HOST:PORT."),
        (("--certificate", "a.pem"), "--certificate and --certificate-key belong together."),
        (("--ca", "/no/such/ca.pem"), "There is no file /no/such/ca.pem."),
        (("--key", "/no/such/key"), "/no/such/key holds no private key in PEM without password."),
        (("--json", "/no/such/a.json"), "/no/such/a.json cannot be written: there is no folder"),
        (("--rate", "-1"), "Invalid value for '--rate'"),
        (("--timeout", "0"), "Invalid value for '--timeout'"),
    ],
)
def test_wrong_use_is_one_sentence(options: tuple[str, ...], said: str) -> None:
    result = run("--service", "http://127.0.0.1:9", *options)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    def written(key: ec.EllipticCurvePrivateKey) -> Path:
        path = tmp_path / "key.pem"
        encodings = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
        path.write_bytes(key.private_bytes(*encodings, serialization.NoEncryption()))
        return path

    assert read_key(written(new_key()))
    with pytest.raises(KeyFileError, match="P-384"):
        read_key(written(ec.generate_private_key(ec.SECP256R1())))


def test_an_rsa_key_signs_rs384() -> None:
    key = rsa.generate_private_key(65537, 2048)
    token = ClientKeys("https://suite.example.org", key, "k").token("https://a.example.org", {})
    assert jwt.get_unverified_header(token)["alg"] == "RS384"
    jwt.decode(token, key.public_key(), algorithms=["RS384"], audience="https://a.example.org")


def test_a_fhir_server_is_read_with_its_token_and_nothing_is_made_up(
    httpserver: HTTPServer,
) -> None:
    headers = {"Authorization": "Bearer secret"}
    httpserver.expect_request("/fhir/Patient/p", headers=headers).respond_with_json({"id": "p"})
    httpserver.expect_request("/fhir/Patient/broken").respond_with_data("<html>")
    chart = UpstreamChart(httpserver.url_for("/fhir"), "secret")
    assert chart.get("Patient/p") == (200, {"id": "p"})
    status, body = chart.get("Patient/broken")
    assert (status, body["resourceType"]) == (502, "OperationOutcome")
