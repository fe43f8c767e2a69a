"""``conformance sandbox`` as a command: reports, exit statuses, tokens, readers, presets."""

from __future__ import annotations

import json
import shlex
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pytest_httpserver import HTTPServer

from conformance.__main__ import main
from conformance.client_keys import new_key
from conformance.exchange import Wire
from conformance.sandbox.access import NoAccess, backend_token, token_of_file
from conformance.sandbox.checks import Found
from conformance.sandbox.probes_server import rate_limit_headers, transport_is_safe
from conformance.sandbox.server import Server
from conformance.sandbox.session import Session, Wanted
from tests.browser import chromium, low_contrast, needs_chromium, unnamed_controls
from tests.cds_hooks.certificates import Authority
from tests.conformance.correct_fhir import TOKEN, CorrectFhir
from tests.conformance.test_sandbox import served

# Answers like a product's reader would, and repeats whether it was handed the token.
READER = """
import json, os, sys
asked = json.load(sys.stdin)
token = os.environ.get("CONFORMANCE_FHIR_TOKEN", "")
json.dump({
    "title": "What a reader reads",
    "tables": [{"title": "Patients", "columns": ["Id", "Token"],
                "rows": [[one, str(len(token))] for one in asked["patients"]]}],
    "notes": ["<b>not bold</b>"],
    "files": [{"name": "site.toml", "text": "pages = " + str(asked["facts"]["page_of_500"])}],
}, sys.stdout)
"""


def run(*arguments: str | Path, token: str = "") -> Result:
    environment = {"COLUMNS": "200", "CONFORMANCE_FHIR_TOKEN": token}
    return CliRunner().invoke(
        main, ["sandbox", "--rate", "0", *map(str, arguments)], env=environment
    )


@pytest.fixture(scope="module")
def open_server() -> Iterator[tuple[CorrectFhir, str]]:
    with served() as server:
        yield server


def reader(folder: Path, source: str = READER) -> str:
    path = folder / "reader.py"
    path.write_text(source)
    return shlex.join((sys.executable, str(path)))


def test_all_reports_say_the_same(open_server: tuple[CorrectFhir, str], tmp_path: Path) -> None:
    names = ("json", "junit", "html")
    files = {name: tmp_path / name for name in names}
    options = [part for name in names for part in (f"--{name}", files[name])]
    result = run(
        *("--fhir", open_server[1], "--patient", "p1", "--reader", reader(tmp_path), *options)
    )
    assert result.exit_code == 0, result.output
    assert "Nothing is written." in result.output

    whole = json.loads(files["json"].read_text())
    assert whole["counts"]["all"]["fail"] == 0
    assert whole["software"] == "correct 1"
    assert whole["facts"]["several_categories"] is True
    suite = ElementTree.fromstring(files["junit"].read_text())
    assert int(suite.get("tests", "0")) == len(whole["results"])
    assert suite.get("failures") == "0"

    page = files["html"].read_text()
    assert "&lt;b&gt;not bold&lt;/b&gt;" in page  # a reader's text is shown as it is
    assert "<script" not in page
    assert "src=" not in page
    for said in ("What a reader reads", "site.toml", "pages = 24"):
        assert said in page
    assert whole["reading"]["title"] == "What a reader reads"
    assert "pages = 24" in result.output


@needs_chromium
def test_the_page_can_be_read_everywhere(tmp_path: Path) -> None:
    page_file = tmp_path / "page"
    with served("no-gzip") as (_, base):
        run("--fhir", base, "--patient", "p1", "--reader", reader(tmp_path), "--html", page_file)
    text = page_file.read_text()
    assert "All that is needed is there; 1 useful check does not hold." in text
    with chromium() as browser:
        for scheme, width in (("light", 1200), ("dark", 1200), ("light", 390)):
            page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
            page.set_content(text)
            assert not low_contrast(page)
            assert not unnamed_controls(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("least", "status"), [("needed", 0), ("useful", 1)])
def test_what_ends_with_1_is_chosen(least: str, status: int) -> None:
    with served("no-gzip") as (_, base):
        result = run("--fhir", base, "--patient", "p1", "--fail-on", least)
    assert result.exit_code == status
    assert "though gzip was offered" in result.output


def test_a_plan_sends_nothing(open_server: tuple[CorrectFhir, str]) -> None:
    server, base = open_server
    server.requests.clear()
    result = run("--fhir", base, "--plan")
    assert result.exit_code == 0
    assert server.requests == []
    assert "GET Patient/ID without token" in result.output
    assert "POST" not in result.output
    assert "POST, GET and DELETE of a draft" in run("--fhir", base, "--plan", "--write").output


def test_a_token_is_used_and_shown_nowhere(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    page = tmp_path / "page"
    with served(secured=True) as (_, base):
        named = ("--fhir", base, "--patient", "p1", "--html", page)
        assert run(*named).exit_code == 1  # without a token nothing can be read
        by_file = run(*named, "--token-file", token_file, "--reader", reader(tmp_path))
        by_environment = run(*named, token=TOKEN)
    assert (by_file.exit_code, by_environment.exit_code) == (0, 0)
    assert f"{len(TOKEN)}" in by_file.output  # the reader was handed it
    for text in (by_file.output, by_environment.output, page.read_text()):
        assert TOKEN not in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "Name a server with --fhir, or a sandbox with --preset."),
        (("--preset", "nowhere"), "There is no preset nowhere; there are smart-health-it,"),
        (("--preset", "azure"), "name your own with --fhir"),
        (("--fhir", "https://u:p@a.example.org"), "expected the base URL alone"),
        (("--fhir", "http://127.0.0.1:9", "--client-id", "c"), "--client-id and --key belong"),
        (("--fhir", "http://127.0.0.1:9", "--token-file", "/no/such"), "cannot be read as a token"),
    ],
)
def test_wrong_use_is_one_sentence(options: tuple[str, ...], said: str) -> None:
    result = run(*options)
    assert result.exit_code in (1, 2)
    assert said in result.output


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import sys; sys.exit('no chart')", "The reader ended with status 1: no chart"),
        ("print('hello')", "The reader wrote no JSON."),
        ("print('[1]')", "The reader wrote JSON of another form than documented."),
    ],
)
def test_a_reader_that_fails_is_said_and_costs_no_check(
    open_server: tuple[CorrectFhir, str], tmp_path: Path, source: str, said: str
) -> None:
    named = ("--fhir", open_server[1], "--patient", "p1")
    result = run(*named, "--reader", reader(tmp_path, source))
    assert result.exit_code == 0
    assert said in result.output


def test_presets_are_listed_and_planned_with_what_is_known() -> None:
    listed = run("--list-presets")
    assert listed.exit_code == 0
    assert "https://hapi.fhir.org/baseR4" in listed.output
    planned = run("--preset", "epic", "--plan")
    assert "Known (2026-" in planned.output
    assert "Not tried from here." in planned.output


def test_a_token_file_holds_one_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("two words")
    with pytest.raises(NoAccess, match="expected one token"):
        token_of_file(path)


def test_a_client_without_a_user_signs_in(httpserver: HTTPServer, tmp_path: Path) -> None:
    endpoint = httpserver.url_for("/token")
    httpserver.expect_request("/fhir/.well-known/smart-configuration").respond_with_json(
        {"token_endpoint": endpoint}
    )
    httpserver.expect_request("/token", method="POST").respond_with_json({"access_token": "t-1"})
    key = new_key()
    assert backend_token(httpserver.url_for("/fhir"), "client-7", key, "k") == "t-1"
    form = httpserver.log[-1][0].form
    assert form["grant_type"] == "client_credentials"
    assert form["client_assertion"].count(".") == 2
    key_file = tmp_path / "key.pem"
    encodings = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    key_file.write_bytes(key.private_bytes(*encodings, serialization.NoEncryption()))
    httpserver.expect_oneshot_request("/bad/.well-known/smart-configuration").respond_with_json({})
    named = ("--fhir", httpserver.url_for("/bad"), "--client-id", "c", "--key", key_file)
    assert "it names no token_endpoint" in run(*named).output


def test_a_refused_client_is_one_sentence(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/.well-known/smart-configuration").respond_with_json(
        {"token_endpoint": httpserver.url_for("/token")}
    )
    httpserver.expect_request("/token").respond_with_json({"error": "invalid_client"}, status=400)
    key = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(NoAccess, match=r"no token: status 400 with application/json \(invalid_"):
        backend_token(httpserver.url_for("/fhir"), "c", key, "k")


def session_on(base: str, authority: Path | None = None) -> Session:
    return Session(Server(base, Wire(authority=authority), authority=authority), Wanted())


def test_plain_http_elsewhere_is_not_safe() -> None:
    found = Found()
    transport_is_safe(session_on("http://fhir.example.org/r4"), found)
    assert found.faults == ["The base URL is plain HTTP: tokens and charts can be read on the way."]


def test_tls_is_judged_by_version_trust_and_expiry(tmp_path: Path) -> None:
    import ssl

    authority = Authority(tmp_path, "authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    with HTTPServer("127.0.0.1", 0, ssl_context=context) as server:
        trusted, unknown = Found(), Found()
        transport_is_safe(session_on(server.url_for("/r4"), authority.certificate), trusted)
        transport_is_safe(session_on(server.url_for("/r4")), unknown)
    assert trusted.faults == []
    assert trusted.notes == ["TLSv1.3.", "Its certificate ends in 0 days."]
    assert unknown.faults == [
        "No TLS connection with a trusted certificate: SSLCertVerificationError."
    ]


def test_limits_are_named(httpserver: HTTPServer) -> None:
    headers = {"X-RateLimit-Remaining": "7"}
    httpserver.expect_request("/r4/metadata").respond_with_json({}, headers=headers)
    session, found = session_on(httpserver.url_for("/r4")), Found()
    assert session.metadata.status == 200
    rate_limit_headers(session, found)
    assert found.notes == ["x-ratelimit-remaining."]
