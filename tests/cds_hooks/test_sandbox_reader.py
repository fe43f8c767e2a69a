"""What the command adds to the suite's look at a FHIR server: the yield, and settings that fit."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from cds_hooks.conformance_command import with_reader
from cds_hooks.sandbox_reader import Yield, read_patients, report
from cds_hooks.sandbox_settings import profile_for, suggested_settings
from cds_hooks.settings_check import check_settings
from tests.conformance.correct_fhir import NOW
from tests.conformance.test_sandbox import served

FACTS = {
    "software": "Server 1",
    "device_categories": ["activity", "vital-signs"],
    "several_categories": False,
    "without_category": False,
    "page_of_500": 100,
    "clinical_notes": 0,
}
MOMENT = datetime(2026, 11, 20, tzinfo=UTC)


def written(folder: Path, url: str, facts: Mapping[str, Any], fetch_ms: float = 80.0) -> Path:
    path = folder / "settings.toml"
    yields = [Yield("p1", MOMENT, fetch_ms)]
    path.write_text(suggested_settings(url, yields, facts), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/fhir",
        "https://fhir.hospital.example/r4",
        "https://fhir.epic.com/interconnect-fhir-oauth/api/FHIR/R4",
        "https://fhir-open.cerner.com/r4/tenant",
        "https://r4.smarthealthit.org",
        "https://launch.smarthealthit.org/v/r4/fhir",
    ],
)
@pytest.mark.parametrize("facts", [{}, FACTS], ids=["nothing known", "all known"])
def test_check_settings_finds_no_fault(tmp_path: Path, url: str, facts: dict[str, Any]) -> None:
    path = written(tmp_path, url, facts)
    assert check_settings(path) == []
    assert url in path.read_text()


def test_a_servers_name_for_itself_cannot_write_settings(tmp_path: Path) -> None:
    facts = {"software": 'x\nmode_auth = "open"\n#"', "device_categories": ['a"b\\c']}
    path = written(tmp_path, "http://127.0.0.1:8080/fhir", facts)
    table = tomllib.loads(path.read_text())
    assert "mode_auth" not in table
    assert table["device_categories"] == ['a"b\\c']
    assert check_settings(path) == []


def test_a_slow_server_gets_more_time(tmp_path: Path) -> None:
    quick = tomllib.loads(written(tmp_path, "http://127.0.0.1/fhir", {}, 100).read_text())
    slow = tomllib.loads(written(tmp_path, "http://127.0.0.1/fhir", {}, 1000).read_text())
    hopeless = tomllib.loads(written(tmp_path, "http://127.0.0.1/fhir", {}, 60_000).read_text())
    assert "deadline_ms" not in quick
    assert slow["deadline_ms"] == 1650  # 1000 ms, half as much again, 120 ms for the model
    assert hopeless["deadline_ms"] == 10_000


@pytest.mark.parametrize(
    ("url", "software", "profile"),
    [
        ("https://fhir.epic.com/api", "", "epic"),
        ("https://ehr.hospital.example/api/FHIR/R4", "Epic May 2026", "epic"),
        ("https://x.example", "Cerner Millennium", "oracle-health"),
        ("https://x.example", "HAPI FHIR 8", ""),
    ],
)
def test_the_profile_follows_host_and_software(url: str, software: str, profile: str) -> None:
    assert profile_for(url, software) == profile


def test_the_yield_is_what_the_service_reads() -> None:
    with served() as (_, base):
        found = read_patients(base, ["p1", "nobody"], "")
    told = report(base, found, FACTS)
    by_patient, by_variable = told["tables"]
    columns = by_patient["columns"]
    row = dict(zip(columns, by_patient["rows"][0], strict=True))
    # 36 Observations, of which the hook asks for three days before the newest.
    assert int(row["Structured"]) > 10
    assert (row["Variables"], row["Notes"], row["Device points"]) == ("3", "2", "2")
    assert row["As of"].startswith(NOW.strftime("%Y-%m-%d"))
    assert {line[0] for line in by_variable["rows"]} >= {"lactate", "heart_rate"}
    nobody = dict(zip(columns, by_patient["rows"][1], strict=True))
    assert nobody["Structured"] == "0"
    assert "patient" in nobody["Span of data"]
    json.dumps(told)


def test_what_no_patient_has_is_said_and_quietened(tmp_path: Path) -> None:
    with served("no-DiagnosticReport") as (_, base):
        found = read_patients(base, ["p1", "p2"], "")
    told = report(base, found, FACTS)
    assert any(note.startswith("Missing for 2 of 2 patients: diagnostic") for note in told["notes"])
    text = told["files"][0]["text"]
    assert tomllib.loads(text)["quiet_despite_missing"] == ["reports"]
    path = tmp_path / "settings.toml"
    path.write_text(text)
    assert check_settings(path) == []


def test_a_server_that_fails_yields_a_reason_and_no_traceback(httpserver: HTTPServer) -> None:
    (found,) = read_patients(httpserver.url_for("/r4"), ["p1"], "")
    assert found.record is None
    assert found.why


def test_the_door_adds_the_reader_for_sandboxes_only() -> None:
    assert with_reader(("run", "--service", "x")) == ("run", "--service", "x")
    assert with_reader(()) == ()
    added = with_reader(("sandbox", "--fhir", "x"))
    assert added[:2] == ("sandbox", "--reader")
    assert added[2].endswith("-m cds_hooks.sandbox_reader")
    assert added[3:] == ("--fhir", "x")
    own = ("sandbox", "--reader=mine", "--fhir", "x")
    assert with_reader(own) == own
