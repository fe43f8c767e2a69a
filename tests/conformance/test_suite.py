"""The suite itself: a correct service passes, and each broken rule is found by its case alone."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
from fhir.resources.R4B import capabilitystatement
from flask import Response, request

from conformance.case import load_cases, load_requirements
from conformance.endpoint import Endpoint, Seen
from conformance.exchange import Wire
from conformance.fhir_log import FHIR_LOGS
from conformance.sample import SampleChart
from conformance.session import Session
from conformance.target import Target
from tests.conformance.correct_service import ID, TEMPLATES, CarefulService, CorrectService, Refused
from tests.conformance.mutant_matrix import MUTANTS, Mutant, near
from tests.conformance.mutants import in_card, in_service
from tests.conformance.suite_world import cases, run_suite

# Why a case passes nothing on the correct service.
NOT_PASSED = {
    "service-is-called-by-https": "skip",  # it runs on this machine
    "system-actions-have-a-type": "omit",  # it has none by 3.0
    "system-actions-are-an-array": "omit",
    "action-selection-behavior-is-one-of-three": "omit",  # only to clients that read it
    "dependent-template-comes-later": "omit",  # no template depends on another
}
OF_OTHER_HOOKS = {
    "patient-view": {"encounter-hook-without-encounter-is-refused"},
    "encounter-start": {"encounter-is-optional-on-patient-view", "patient-as-user-is-accepted"},
}
# The 13 invariants of the logical models of 3.0.0-ballot.
INVARIANTS = {
    *("cds-r-1", "cds-r-2", "cds-fb-1", "cds-fb-2", "cds-fb-3", "ord-1"),
    *(f"cds-resp-{number}" for number in range(1, 8)),
}
# Of the 220 rows of Inferno's list cds-hooks_2.0, duties of a client that no service can observe.
CLIENTS_OWN = {
    *(17, 31, 33, *range(38, 48), 62, 63, 64, 73, 86, 91, 97, 101, 102, 114, 126, 137, 143),
    *(149, 150, 171, 173, 174, 188, 204, 206, 209),
}
# Faults that break more than one rule, and the cases that find them.
WIDER = {
    "feedback-overridden": {
        *("feedback-overridden-is-taken", "feedback-batch-is-taken", "feedback-repeat-is-taken"),
        "feedback-of-an-unknown-card-is-taken",
    },
    "foreign-signature": {"foreign-signature-is-refused", "altered-claims-are-refused"},
    "same-request": {
        *("same-request-gives-the-same-cards", "prefetched-and-fetched-cards-are-the-same"),
    },
}
NOT_JUDGED = {"service-is-called-by-https"}  # as long as the service is on this machine


@pytest.mark.parametrize("hook", ["patient-view", "encounter-start"])
@pytest.mark.parametrize("version", ["2.0.1", "3.0"])
def test_a_correct_service_passes_every_case(version: str, hook: str) -> None:
    run = run_suite(version=version, hook=hook, time_budget_ms=10_000.0)
    tried = {one.case.id for one in run.results}
    omitted = dict.fromkeys(OF_OTHER_HOOKS[hook], "omit")
    sent_in_2 = {"system-actions-are-an-array"} if version == "2.0.1" else set()
    assert {one.case.id: one.verdict for one in run.results if one.verdict != "pass"} == {
        name: verdict
        for name, verdict in {**NOT_PASSED, **omitted}.items()
        if name in tried - sent_in_2
    }
    assert not run.failed("ADVICE")


@pytest.mark.parametrize("prefetch", [True, False])
def test_a_service_that_reads_metadata_and_searches_by_post_passes(prefetch: bool) -> None:
    user = in_service(prefetch={**TEMPLATES, "user": "{{context.userId}}"})
    run = run_suite(change=user, kind=CarefulService, prefetch=prefetch, time_budget_ms=10_000.0)
    assert not run.failed("ADVICE"), [one for one in run.results if one.verdict == "fail"]
    assert "Not prefetched" not in run.facts
    assert run.count("pass") > 130


def test_data_that_are_fetched_again_by_post_are_seen() -> None:
    """A search by POST is the same as its GET where data are fetched though they were sent."""
    case = "null-prefetch-is-not-fetched-again"
    run = run_suite("null-prefetch", kind=CarefulService, among={case})
    assert [one.verdict for one in run.results] == ["fail"]


@pytest.mark.parametrize(
    ("asked", "same"),
    [
        ("Observation?category=vital-signs&patient=p&_format=json&_count=9&_sort=-date", True),
        ("Observation?patient=p&category=vital%2Dsigns&_pretty=true&_summary=data", True),
        ("/Observation/?patient=%70&category=vital-signs&_elements=code", True),
        ("Observation?patient=p&category=laboratory", False),
        ("Observation?patient=p", False),
        ("Observation/p?category=vital-signs&patient=p", False),
    ],
)
def test_a_query_is_the_same_however_it_is_written(asked: str, same: bool) -> None:
    with Endpoint(SampleChart()) as endpoint:
        session = Session(Target("http://127.0.0.1:9"), Wire(), endpoint)
        session.__dict__["queries"] = {"vitals": "Observation?patient=p&category=vital-signs"}
        seen = Seen("home", "GET", asked, "")
        judged, faults = FHIR_LOGS["nothing-again"](session, [seen])
    assert judged
    assert bool(faults) is same


def test_a_key_that_is_missing_may_be_fetched_where_another_asks_for_the_same() -> None:
    with Endpoint(SampleChart()) as endpoint:
        session = Session(Target("http://127.0.0.1:9"), Wire(), endpoint)
        queries = {"all": "Observation?patient=p", "latest": "Observation?patient=p&_count=1"}
        session.__dict__.update(queries=queries, prefetched=queries)
        seen = Seen("home", "GET", queries["latest"], "")
        assert FHIR_LOGS["only-what-is-missing"](session, [seen]) == (True, [])


@pytest.mark.parametrize("kind", ["Practitioner", "PractitionerRole", "RelatedPerson"])
def test_the_made_up_chart_has_the_users_of_hook_requests(kind: str) -> None:
    status, user = SampleChart().get(f"{kind}/conformance")
    assert (status, user["resourceType"]) == (200, kind)


def test_the_suites_endpoint_says_what_it_is() -> None:
    status, said = SampleChart().get("metadata")
    assert status == 200
    assert capabilitystatement.CapabilityStatement.model_validate(said).kind == "instance"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: f"{one.case} {one.version}")
def test_a_broken_rule_is_found_by_its_case_alone(mutant: Mutant) -> None:
    assert mutant.failing(near(mutant)) == [(mutant.case, "fail")]


def test_what_a_client_may_not_read_is_a_fault_of_two_rules() -> None:
    """The one rule names the three values, the other allows none of them here."""
    run = run_suite(version="3.0", change=in_card("suggestions 0", actionSelectionBehavior="some"))
    failed = {one.case.id for one in run.results if one.verdict in ("fail", "error")}
    assert failed == {"action-selection-behavior-is-one-of-three", "no-action-selection-behavior"}


@pytest.mark.parametrize("broken", WIDER)
def test_a_wider_fault_is_found_by_its_cases_alone(broken: str) -> None:
    run = run_suite(broken, time_budget_ms=10_000.0)
    assert {one.case.id for one in run.results if one.verdict in ("fail", "error")} == WIDER[broken]


def test_without_cards_and_templates_no_rule_about_them_is_kept() -> None:
    """What met nothing to judge is omitted, or a service that says nothing would keep all rules."""

    def silent(answer: dict[str, Any]) -> dict[str, Any]:
        for service in answer.get("services", ()):
            del service["prefetch"], service["extension"]
        return {"cards": []} if "cards" in answer else answer

    judged = {"prefetch", "detail", "extensions", "uuids", "templates", "one-suggestion", "auto"}
    for version in ("2.0.1", "3.0"):
        run = run_suite(version=version, change=silent)
        about = [one for one in run.results if one.case.id.startswith((*judged, "card-", "same"))]
        assert {one.verdict for one in about} == {"omit"}, version
        assert run.facts["Cards"] == "none seen"
    assert run_suite(among={"detail-is-a-string"}).facts["Cards"] == "2 in the first answer"
    assert "Cards" not in run_suite(among={"services-have-title"}).facts


def test_an_id_on_two_hooks_and_a_service_that_knows_its_hook_alone_take_posts() -> None:
    """The same id stands for an advice that replaces an earlier one."""

    def more(answer: dict[str, Any]) -> dict[str, Any]:
        if "services" in answer:
            known = answer["services"][0]
            answer["services"] += [
                {**known, "hook": "order-sign"},
                {**known, "hook": "order-select", "id": "of-order-select"},
            ]
        return answer

    run = run_suite(change=more, kind=ByHook, among={"every-service-takes-posts"})
    assert [one.verdict for one in run.results] == ["pass"]


class ByHook(CorrectService):
    """Has a second service, and answers 404 to a hook that is not that of the address."""

    def service(self, name: str) -> Response:
        hook = (request.get_json() or {}).get("hook")
        if hook != {ID: "patient-view", "of-order-select": "order-select"}.get(name):
            raise Refused(404)
        return super().service(name) if name == ID else self.answer({"cards": []})


def test_cards_that_change_as_data_get_older_are_the_same() -> None:
    ages = iter(("an hour ago", *["two hours ago"] * 20))

    def older(answer: dict[str, Any]) -> dict[str, Any]:
        for card in answer.get("cards", ()):
            card["summary"] = f"Lactate 4.2 mmol/l, {next(ages)}"
        return answer

    run = run_suite(change=older, among=WIDER["same-request"])
    assert {one.verdict for one in run.results} == {"pass"}


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
    tried.add("action-selection-behavior-is-one-of-three")
    assert {case.id for case in cases()} == tried | NOT_JUDGED
    assert len(MUTANTS) >= 40


def test_every_requirement_has_cases_that_name_it_or_a_reason() -> None:
    named = {(requirement, case.id) for case in load_cases() for requirement in case.requirements}
    rows = load_requirements()
    assert [row.id for row in rows] == [str(number) for number in range(1, 87)]
    assert {(row.id, case) for row in rows for case in row.cases} == named
    assert not [row.id for row in rows if bool(row.cases) == bool(row.reason)]


def test_no_row_of_infernos_list_is_forgotten() -> None:
    numbers = " ".join(row.inferno for row in load_requirements()).split()
    ours = {int(number) for number in numbers if number.isdigit()}
    assert not ours & CLIENTS_OWN
    assert ours | CLIENTS_OWN == set(range(1, 221))


def test_every_invariant_of_the_logical_models_has_a_case() -> None:
    assert {case.invariant for case in load_cases()} - {""} == INVARIANTS


def test_requirements_say_where_they_come_from() -> None:
    for row in load_requirements():
        assert row.section.startswith("https://cds-hooks.hl7.org/"), row.id
        assert row.versions in ("both", "2.0.1", "3.0", "own"), row.id
        assert row.actor in ("service", "client", "both"), row.id
        assert row.area, row.id
        assert row.text.endswith("."), row.id


def test_every_case_is_as_the_schema_says() -> None:
    schemas = pytest.importorskip("jsonschema_rs", reason="jsonschema_rs is not installed")
    folder = files("conformance")
    schema = json.loads(folder.joinpath("cases.schema.json").read_text(encoding="utf-8"))
    validator = schemas.validator_for(schema)
    for file in folder.joinpath("cases").iterdir():
        case = json.loads(file.read_text(encoding="utf-8"))
        assert not [str(error) for error in validator.iter_errors(case)], file.name
