"""``conformance sandbox`` on what is no FHIR server, and on answers in which anything may stand."""

from __future__ import annotations

import copy
import gzip
import json
import random
import socket
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from conformance.__main__ import main
from conformance.runner import Run as SuiteRun
from conformance.sandbox.reports import to_page
from tests.conformance.correct_fhir import TOKEN, CorrectFhir
from tests.conformance.hostile_servers import (
    Hostile,
    always,
    drips_a_body,
    hostile,
    redirects_to_itself,
    sends_without_end,
    whole,
)
from tests.conformance.suite_world import run_suite, running
from tests.conformance.test_sandbox import run_on

JUNK = (
    *(None, 0, -1, 1e300, True, "", "x", "\x1b\ud800", [], {}, [None], [[]], {"a": None}),
    *(["x", {}], {"resourceType": 5}, "http://[", "9999-12-31T00:00:00-12:00"),
    *("Patient/{{", "{{today() - 9999999999 days}}", "0001-01-01T00:00:00+14:00"),
)
STATEMENT = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "software": {"name": "evil\x1b[31m\ud800[/b]", "version": {"a": 1}},
    "rest": [{"resource": [None, 5, {"type": {"a": 1}, "searchParam": [1, {"name": []}]}]}],
}
OBSERVATION = {
    "resourceType": "Observation",
    "id": "o\x1b",
    "subject": {"reference": "Patient/p1"},
    "effectiveDateTime": 5,
    "category": 7,
    "code": {"coding": [{"code": {"x": 1}}, 5]},
}
FOUND = {
    "resourceType": "Bundle",
    "total": "x",
    "link": [{"relation": "next", "url": "http://[bad"}, {"relation": 5, "url": 7}, None],
    "entry": [
        *(None, 1, {"resource": OBSERVATION}, {"resource": {**OBSERVATION, "code": 5}}),
        *({"resource": {**OBSERVATION, "id": f"o{number}"}} for number in range(5)),
        {"resource": {"resourceType": "DocumentReference", "content": {"a": 1}, "date": {}}},
        {
            "resource": {
                "resourceType": "DocumentReference",
                "content": [{"attachment": {"url": "http://[bad", "data": 5}}, 5],
            },
            "search": 5,
        },
    ],
}
SIGN_IN = {
    "token_endpoint": 5,
    "token_endpoint_auth_methods_supported": 5,
    "token_endpoint_auth_signing_alg_values_supported": 5,
}


def sandbox(base: str, *options: str | Path, timeout: float = 5.0) -> Result:
    arguments = ["sandbox", "--rate", "0", "--timeout", str(timeout), "--fhir", base]
    return CliRunner().invoke(main, [*arguments, *map(str, options)], env={"COLUMNS": "160"})


def odd(_: Hostile, connection: socket.socket, line: str) -> None:
    asked = line.split(" ")[1]
    kinds = {"metadata": STATEMENT, "smart-configuration": SIGN_IN, "?": FOUND}
    found = [answer for word, answer in kinds.items() if word in asked]
    connection.sendall(whole(found[0] if found else {"resourceType": "Patient", "name": 5}))


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (always(whole(b"<html>", kind="text/html")), "The CapabilityStatement cannot be read."),
        (always(whole(b"[" * 100_000)), "The CapabilityStatement cannot be read."),
        (always(whole([1])), "There is no CapabilityStatement."),
        (redirects_to_itself, "GET metadata: status 302"),
        (always(b"", closing=True), "no answer: the connection was closed without an answer"),
        (drips_a_body, "no answer: nothing whole came within 0.3 s"),
        (sends_without_end, "no answer: the answer has more than 20000000 bytes"),
        (odd, r"evil\u001b[31m\ud800[/b]"),
    ],
)
def test_what_is_no_fhir_server_is_said(
    behave: Callable[..., None], said: str, tmp_path: Path
) -> None:
    start = time.monotonic()
    reports = [
        part for kind in ("json", "junit", "html") for part in (f"--{kind}", tmp_path / kind)
    ]
    with hostile(behave) as (_, base):
        result = sandbox(base, *reports, timeout=0.3 if "0.3" in said else 10)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert said in " ".join(result.output.replace("│", " ").split())
    assert "The suite broke" not in result.output
    ElementTree.parse(tmp_path / "junit")
    json.loads((tmp_path / "json").read_text())
    for text in (result.output, *(file.read_text() for file in tmp_path.iterdir())):
        assert "\x1b" not in text
    assert time.monotonic() - start < 60


def test_a_run_that_cannot_be_made_ends_with_2(tmp_path: Path) -> None:
    for options in (("--json", tmp_path / "none" / "a"), ("--ca", tmp_path / "none.pem")):
        result = sandbox("http://127.0.0.1:9", *options)
        assert result.exit_code == 2, result.output


def paths(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from paths(value[key], (*place, key))


def littered(seed: int) -> Callable[[Any], Any]:
    """Return a change of answers: now and then something stands where it does not belong."""
    dice = random.Random(seed)

    def change(answer: Any) -> Any:
        changed = copy.deepcopy(answer)
        for _ in range(dice.choice((0, 1, 1, 4))):
            *way, last = ("whole", *dice.choice(list(paths(changed))))
            holder: Any = {"whole": changed}
            root = holder
            for key in way:
                holder = holder[key]
            holder[last] = copy.deepcopy(dice.choice(JUNK))
            changed = root["whole"]
        return changed

    return change


class Littered(CorrectFhir):
    def __init__(self, seed: int) -> None:
        super().__init__(secured=seed % 2 == 1)
        self.change = littered(seed)

    def app(self) -> Callable[..., Iterable[bytes]]:
        inner = super().app()

        def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            told: list[Any] = []
            body = b"".join(inner(environ, lambda *given: told.extend(given)))
            headers = {name.lower(): value for name, value in told[1]}
            if headers.pop("content-encoding", ""):
                body = gzip.decompress(body)
            if "json" in headers.get("content-type", ""):
                body = json.dumps(self.change(json.loads(body))).encode()
            start(told[0], [*{**headers, "content-length": str(len(body))}.items()])
            return [body]

        return application


@pytest.mark.parametrize("seed", range(20))
def test_a_fhir_server_may_answer_anything(seed: int) -> None:
    with running(Littered(seed)) as base:  # type: ignore[arg-type]  # it has an app()
        run = run_on(f"{base}/r4", TOKEN if seed % 2 else "", () if seed % 3 else ("p1",))
    assert not [said for one in run.results for said in one.findings if "suite broke" in said]
    assert to_page(run)


@pytest.mark.parametrize("seed", range(8))
def test_a_service_may_answer_anything(seed: int) -> None:
    version = ("2.0.1", "3.0")[seed % 2]
    run: SuiteRun = run_suite("missing-jwt", version, littered(seed), keys=None)
    assert not [said for one in run.results for said in one.findings if "suite broke" in said]
