"""Addresses of services and of the suite: which can be called, and what is said of the others."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from conformance.endpoint import Endpoint
from conformance.exchange import Wire
from conformance.sample import SampleChart
from conformance.session import Session
from conformance.target import Target
from tests.cds_hooks.certificates import Authority
from tests.conformance.correct_service import Agreement, CorrectService
from tests.conformance.hostile_servers import (
    hostile,
    with_cards,
)
from tests.conformance.suite_world import run_command, running


def test_tls_faults_are_named(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path, "authority"), Authority(tmp_path, "other")
    certificate, key = authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    few = ("--no-jwt", "--case", "discovery-answers-200")
    with hostile(with_cards({"cards": []}), tls=context) as (server, base):
        trusted = run_command("--service", base, *few, "--ca", authority.certificate, timeout=5)
        strange = run_command("--service", base, *few, "--ca", other.certificate, timeout=5)
        named = f"https://localhost:{server.port}"
        elsewhere = run_command("--service", named, *few, "--ca", authority.certificate, timeout=5)
        no_file = run_command("--service", base, *few, "--ca", key)
        pair = ("--certificate", certificate, "--certificate-key", certificate)
        no_pair = run_command("--service", base, *few, *pair)
    assert trusted.exit_code == 0, trusted.output
    assert (strange.exit_code, elsewhere.exit_code) == (1, 1)
    assert "its certificate is not trusted (unable to get local issuer" in strange.output
    assert "Hostname mismatch" in elsewhere.output
    assert (no_file.exit_code, no_pair.exit_code) == (2, 2)
    assert "holds no certificate in PEM" in no_file.output
    assert "are no certificate and its key" in no_pair.output


def test_ipv6_is_an_address_too() -> None:
    few = ("--no-jwt", "--case", "discovery-answers-200", "--listen", "[::1]:0")
    try:
        with hostile(with_cards({"cards": []}), family=socket.AF_INET6) as (_, base):
            result = run_command("--service", base, *few, timeout=5)
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert result.exit_code == 0, result.output
    assert f"{base}/cds-services: 1 cases" in result.output
    assert "FHIR endpoint of the suite: http://[::1]:" in result.output


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("localhost:8080", "--service: expected the base URL alone"),
        ("ftp://127.0.0.1", "--service: expected the base URL alone"),
        ("http://name:password@127.0.0.1", "--service: expected the base URL alone"),
        ("http://127.0.0.1:99999", "--service: expected the base URL alone"),
        ("http://127.0.0.1/?a=b", "--service: expected the base URL alone"),
        ("http://exa mple", "--service: expected the base URL alone"),
        ("http://[abc", "--service: expected the base URL alone"),
    ],
)
def test_an_address_that_cannot_be_one_is_wrong_use(service: str, said: str) -> None:
    result = run_command("--service", service)
    assert result.exit_code == 2
    assert said in result.output
    assert "password" not in result.output


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("http://127.0.0.1:9", "no connection came about (Connection refused)"),
        ("http://no-such-host.invalid", "the host name is not known"),
        ("http://[fe80::1]:9", "http://[fe80::1]:9/cds-services: 1 cases"),
    ],
)
def test_where_nothing_answers_it_is_said(service: str, said: str) -> None:
    result = run_command("--service", service, "--no-jwt", "--case", "discovery-answers-200")
    assert result.exit_code == 1
    assert said in result.output


def test_the_address_of_discovery_will_do_too() -> None:
    with hostile(with_cards({"cards": []})) as (server, base):
        few = ("--no-jwt", "--case", "discovery-answers-200")
        assert run_command("--service", f"{base}/cds-services/", *few, timeout=5).exit_code == 0
    assert server.requests == ["GET /cds-services HTTP/1.1"]


def test_a_second_address_that_a_service_cannot_reach_proves_nothing() -> None:
    with Endpoint(SampleChart(), foreign_url="https://foreign.example.org") as named:
        there = Session(Target("https://cds.example.org"), Wire(), named)
        assert there.foreign_reachable
    with Endpoint(SampleChart(), public_url="https://suite.example.org") as endpoint:
        here = Session(Target("http://127.0.0.1:9"), Wire(), endpoint)
        there = Session(Target("https://cds.example.org"), Wire(), endpoint)
        assert here.foreign_reachable
        assert not there.foreign_reachable


def test_an_endpoint_that_a_service_elsewhere_cannot_call_is_said_beforehand() -> None:
    result = run_command("--service", "https://cds.example.org", "--plan")
    assert (
        "cds.example.org is another machine, which cannot call http://127.0.0.1:" in result.output
    )
    named = ("--endpoint-url", "https://suite.example.org")
    result = run_command("--service", "https://cds.example.org", "--plan", *named)
    assert "another machine" not in result.output
    result = run_command("--service", "http://127.0.0.1:9", "--listen", "0.0.0.0:0")
    assert result.exit_code == 2
    assert "0.0.0.0 is no address to call: name one with --endpoint-url." in result.output


def test_a_service_that_never_asked_for_our_keys_is_told_apart() -> None:
    with running(CorrectService(Agreement())) as base:  # it knows another issuer, and no jku
        result = run_command("--service", base, timeout=10)
    assert result.exit_code == 1
    assert "refused our call and never asked for our JWK Set" in result.output
