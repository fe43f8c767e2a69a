"""Short seeded runs of the fuzzers; the long ones are ``python -m tests.attacks.fuzz``."""

from __future__ import annotations

from pathlib import Path

from tests.attacks.answers import CANARY, faults_of
from tests.attacks.fuzz import mutant_requests
from tests.attacks.fuzz_jwt import forged_tokens
from tests.attacks.fuzz_schema import schema_cases
from tests.attacks.results import Results
from tests.attacks.target import jwt_settings, target
from tests.cds_hooks import world


def test_no_request_crashes_the_service(tmp_path: Path) -> None:
    results = Results("short")
    with target(tmp_path, results, predictor=world.LinearPredictor()) as made:
        mutant_requests(made, "mutants", 150, 7)
        schema_cases(made, 22, 7)
    assert not results.faults, results.examples
    assert results.total > 170
    assert {row.rpartition(": ")[2] for row in results.rows} >= {"200", "400", "404", "405", "415"}


def test_forged_tokens_are_refused(tmp_path: Path) -> None:
    results = Results("short")
    with target(tmp_path, results, predictor=world.LinearPredictor(), **jwt_settings()) as made:
        forged_tokens(made, 100, 7)
    assert not results.faults, results.examples
    refused = sum(count for row, count in results.rows.items() if row.endswith("401"))
    assert refused > 50


def test_the_judge_sees_what_is_wrong() -> None:
    fhir = {"Content-Type": "application/fhir+json"}
    outcome = b'{"resourceType": "OperationOutcome", "issue": [{"code": "invalid"}]}'
    assert not faults_of("POST", 400, fhir, outcome)
    assert faults_of("POST", 500, fhir, outcome) == ["status 500 is not declared"]
    assert faults_of("POST", 503, fhir, outcome) == ["503 without Retry-After"]
    assert faults_of("POST", 400, fhir, outcome.replace(b"invalid", CANARY.encode()))
    assert faults_of("POST", 400, {"Content-Type": "text/html"}, b"<p>no</p>")
    assert faults_of("POST", 400, fhir, outcome.replace(b"invalid", b"Traceback"))
    assert faults_of("POST", 401, fhir, outcome)
    assert faults_of("POST", 200, {"Content-Type": "application/json"}, b'{"a": null}')
    assert faults_of("POST", 400, fhir, b"")
