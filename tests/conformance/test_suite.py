"""The suite itself: a correct service passes, and each broken rule is found by its case alone."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from conformance.case import load_cases, load_requirements
from tests.conformance.correct_service import Refused
from tests.conformance.mutant_matrix import MUTANTS, Mutant, near
from tests.conformance.suite_world import cases, run_suite

# Why a case passes nothing on the correct service.
NOT_PASSED = {
    "service-is-called-by-https": "skip",  # it runs on this machine
    "system-actions-have-a-type": "omit",  # it has none by 3.0
}
# Faults that break more than one rule, and the cases that find them.
WIDER = {
    "feedback-overridden": {
        *("feedback-overridden-is-taken", "feedback-batch-is-taken", "feedback-repeat-is-taken"),
        "feedback-of-an-unknown-card-is-taken",
    },
    "foreign-signature": {"foreign-signature-is-401", "altered-claims-are-401"},
    "missing-prefetch": {
        *("missing-prefetch-is-fetched", "prefetched-and-fetched-cards-are-the-same"),
    },
    "same-request": {
        *("same-request-gives-the-same-cards", "prefetched-and-fetched-cards-are-the-same"),
    },
}
NOT_JUDGED = {"service-is-called-by-https"}  # as long as the service is on this machine


@pytest.mark.parametrize("version", ["2.0.1", "3.0"])
def test_a_correct_service_passes_every_case(version: str) -> None:
    run = run_suite(version=version, time_budget_ms=10_000.0)
    others = {one.case.id: one for one in run.results if one.verdict != "pass"}
    assert {name: one.verdict for name, one in others.items()} == {
        name: verdict
        for name, verdict in NOT_PASSED.items()
        if name in {one.case.id for one in run.results}
    }
    assert not run.failed("ADVICE")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: f"{one.case} {one.version}")
def test_a_broken_rule_is_found_by_its_case_alone(mutant: Mutant) -> None:
    assert mutant.failing(near(mutant)) == [(mutant.case, "fail")]


@pytest.mark.parametrize("broken", WIDER)
def test_a_wider_fault_is_found_by_its_cases_alone(broken: str) -> None:
    run = run_suite(broken, time_budget_ms=10_000.0)
    assert {one.case.id for one in run.results if one.verdict in ("fail", "error")} == WIDER[broken]


def test_without_discovery_one_case_fails_and_the_others_are_skipped() -> None:
    def gone(answer: dict[str, Any]) -> dict[str, Any]:
        if "services" in answer:
            raise Refused(503)
        return answer

    run = run_suite(change=gone)
    failed = {one.case.id for one in run.results if one.verdict == "fail"}
    assert failed == {"discovery-answers-200"}
    assert not run.count("error")
    assert run.count("skip") > 100


def test_every_case_is_tried_on_a_service_that_breaks_it() -> None:
    tried = {one.case for one in MUTANTS}.union(*WIDER.values(), {"discovery-answers-200"})
    assert {case.id for case in cases()} == tried | NOT_JUDGED
    assert len(MUTANTS) >= 40


def test_every_requirement_has_cases_that_name_it_or_a_reason() -> None:
    named = {(requirement, case.id) for case in load_cases() for requirement in case.requirements}
    rows = load_requirements()
    assert [row.id for row in rows] == [str(number) for number in range(1, 83)]
    assert {(row.id, case) for row in rows for case in row.cases} == named
    assert not [row.id for row in rows if bool(row.cases) == bool(row.reason)]


def test_every_case_is_as_the_schema_says() -> None:
    schemas = pytest.importorskip("jsonschema_rs", reason="jsonschema_rs is not installed")
    folder = files("conformance")
    schema = json.loads(folder.joinpath("cases.schema.json").read_text(encoding="utf-8"))
    validator = schemas.validator_for(schema)
    for file in folder.joinpath("cases").iterdir():
        case = json.loads(file.read_text(encoding="utf-8"))
        assert not [str(error) for error in validator.iter_errors(case)], file.name
