"""Next steps: every shipped step, what suppresses it, the ranking, and what is created."""

from __future__ import annotations

import copy
import io
import json
import re
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fhir.resources.R4B import get_fhir_model_class
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cds_hooks.cli import main
from cds_hooks.errors import SettingsError
from cds_hooks.feedback_report import feedback_report
from cds_hooks.parts import parts_of
from cds_hooks.recommendations.check import check_folder
from cds_hooks.recommendations.conditions import ConditionFailed, holds
from cds_hooks.recommendations.library import SHIPPED, load_steps
from cds_hooks.recommendations.next_steps import NextSteps
from cds_hooks.recommendations.offer import KEEP_ESTIMATE, Recommender, applies, ranked
from cds_hooks.recommendations.patient_data import nobody, patient_data
from cds_hooks.recommendations.review import warnings
from cds_hooks.recommendations.step import Step
from cds_hooks.settings import Recommendations, Settings
from cds_hooks.telemetry import configure_logging
from fhir_adapters.chart import Chart
from model.prediction import Agreement, Explanation, StructuredEvidence, TokenAttribution
from model.record import ReadingReport, ReportLine
from tests.cds_hooks import world
from tests.cds_hooks.conftest import Service
from tests.cds_hooks.next_step_charts import CASES, prediction_of, record_of

URL = "/cds-services/meam-risk"
STEPS = {step.id: step for step in load_steps(None)}
DOCUMENT = Path(__file__).parents[2] / "docs" / "next-steps.md"


def token(
    variable: str, weight: float, system: str = "none", source: str = "Observation/a"
) -> TokenAttribution:
    evidence = StructuredEvidence(variable, variable, "1", True, 1.0)
    return TokenAttribution(
        f"structured/{variable}", "structured", system, evidence, (source,), weight, 0.01, 0.1
    )


def explained(*tokens: TokenAttribution, reliable: bool = True) -> Explanation:
    return Explanation(
        *("in_hospital_death", tokens, (), (), 0.0, 1.0, 0.0),
        Agreement(None, None, None, None),
        *(0, 0, reliable),
    )


def about(step: Step) -> TokenAttribution:
    return token(sorted(step.variables)[0], 1.0)


def offered(
    chart: dict[str, Any],
    explanation: Explanation,
    *steps: Step,
    orders: tuple[Any, ...] = (),
    unread: bool = False,
    probability: float = 0.7,
    **changes: Any,
) -> NextSteps:
    record = record_of(chart)
    if unread:
        line = ReportLine("orders", "not-prefetched", "active orders: not available")
        record = replace(record, report=ReadingReport(incomplete=(line,)))
    settings = Settings(recommendations=Recommendations(**changes))
    return Recommender(settings, steps or tuple(STEPS.values())).offer(
        Chart("pat-1", orders), record, prediction_of(chart, probability), explanation
    )


def test_every_shipped_step_has_its_charts() -> None:
    assert len(STEPS) >= 15
    assert set(CASES) == set(STEPS)


@pytest.mark.parametrize("name", CASES)
def test_a_shipped_step_is_offered_for_one_chart_and_not_for_another(name: str) -> None:
    yes, no = CASES[name]
    for chart, expected in ((yes, True), (no, False)):
        assert (
            applies(STEPS[name], patient_data(record_of(chart), prediction_of(chart))) is expected
        )
    assert not applies(STEPS[name], nobody())


@pytest.mark.parametrize("name", CASES)
def test_an_open_order_suppresses_its_step(name: str) -> None:
    step, chart = STEPS[name], CASES[name][0]
    (suggestion,) = offered(chart, explained(about(step)), step).suggestions
    created = dict(suggestion.actions[0].resource or {})
    order = {**created, "id": "o1", "status": "active"}
    if step.kind == "Task":
        order["status"] = "in-progress"
    assert not offered(chart, explained(about(step)), step, orders=(order,)).suggestions
    assert not offered(chart, explained(about(step)), step, orders=(created,)).suggestions
    done = {**order, "status": "completed"}
    assert offered(chart, explained(about(step)), step, orders=(done,)).suggestions


def test_an_order_of_the_same_variable_by_another_code_suppresses_too() -> None:
    arterial = {"coding": [{"system": "http://loinc.org", "code": "2518-9"}]}
    order = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "code": arterial,
        "subject": {"reference": "Patient/pat-1"},
    }
    step = STEPS["repeat-lactate"]
    assert not offered({"lactate": 3.0}, explained(about(step)), step, orders=(order,)).suggestions


@pytest.mark.parametrize("name", ["repeat-lactate", "delirium-screen"])
@pytest.mark.parametrize("owner", [None, {"display": "Jane"}, {"reference": "Group/g-1"}])
def test_an_order_that_is_not_shown_to_be_the_patients_hides_no_step(
    name: str, owner: dict[str, Any] | None
) -> None:
    step, chart = STEPS[name], CASES[name][0]
    (suggestion,) = offered(chart, explained(about(step)), step).suggestions
    created = dict(suggestion.actions[0].resource or {})
    element = "for" if step.kind == "Task" else "subject"
    order = {key: value for key, value in {**created, element: owner}.items() if value}
    found = offered(chart, explained(about(step)), step, orders=(order,))
    assert found.suggestions
    assert "could not be read: 1 not shown to be about this patient." in found.paragraphs[0]


def test_steps_are_ranked_by_the_share_of_what_raises_the_risk() -> None:
    explanation = explained(
        token("lactate", 1.0), token("creatinine", 0.6), token("glucose", 0.4), token("sodium", -3)
    )
    found = ranked(
        tuple(STEPS[name] for name in ("glucose-low-review", "renal-dosing-review")), explanation
    )
    assert [(one.step.id, round(one.share, 3)) for one in found] == [
        ("renal-dosing-review", 0.3),
        ("glucose-low-review", 0.2),
    ]
    assert [(one.strongest, one.of) for one in found] == [(1, 3), (1, 3)]


def test_a_step_that_addresses_nothing_that_raises_the_risk_is_not_offered() -> None:
    step = STEPS["glucose-low-review"]
    for raising in (token("lactate", 1.0), token("glucose", -1.0), token("glucose", 0.005)):
        assert not offered({"glucose": 60}, explained(raising), step).suggestions


def test_an_organ_system_counts_with_all_its_tokens() -> None:
    explanation = explained(token("x", 1.0, "renal"), token("y", 1.0, "renal"), token("z", 2.0))
    (found,) = ranked((STEPS["renal-dosing-review"],), explanation)
    assert (found.share, found.strongest, found.of) == (0.5, 2, 3)


MIXED = {**CASES["hyperkalaemia-ecg"][0], "glucose": 60, "hemoglobin": 6, "sodium": 120}
RAISING = explained(*(token(name, 1.0) for name in MIXED))


def test_the_card_is_full_after_three() -> None:
    found = offered(MIXED, RAISING)
    assert [one.is_recommended for one in found.suggestions] == [True, False, False]
    assert len(offered(MIXED, RAISING, most=4).suggestions) == 4


def test_one_step_alone_is_not_singled_out() -> None:
    (one,) = offered({"glucose": 60}, explained(token("glucose", 1.0))).suggestions
    assert one.is_recommended is None


def test_only_urgent_reliable_estimates_have_steps() -> None:
    assert not offered(MIXED, RAISING, probability=0.29).suggestions
    assert offered(MIXED, RAISING, probability=0.3).suggestions
    assert not offered(MIXED, RAISING, probability=0.5, show_from="critical").suggestions
    assert not offered(MIXED, replace(RAISING, reliable=False)).suggestions


def test_orders_that_could_not_be_read_are_admitted() -> None:
    assert "could not be read" not in offered(MIXED, RAISING).paragraphs[0]
    assert "Active orders could not be read" in offered(MIXED, RAISING, unread=True).paragraphs[0]


def test_the_estimate_can_be_kept_as_a_risk_assessment() -> None:
    last = offered(MIXED, RAISING, file_risk_assessment=True).suggestions[-1]
    resource = last.actions[0].resource
    assert resource is not None
    assert (resource["resourceType"], "id" in resource) == ("RiskAssessment", False)


@given(st.sampled_from(sorted(CASES)), st.text(max_size=30), st.booleans())
@hypothesis_settings(max_examples=60, deadline=None)
def test_every_resource_is_valid_r4(name: str, source: str, filed: bool) -> None:
    step, chart = STEPS[name], CASES[name][0]
    explanation = explained(
        replace(about(step), sources=(source, "Observation/1#x", "Patient/1", "Observation/2"))
    )
    steps = offered(chart, explanation, step, file_risk_assessment=filed)
    for suggestion in steps.suggestions:
        resource = json.loads(json.dumps(suggestion.actions[0].resource))
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        assert suggestion.to_json()["actions"]
    created = dict(steps.suggestions[0].actions[0].resource or {})
    patient = created["subject" if step.kind == "ServiceRequest" else "for"]
    assert patient == {"reference": "Patient/pat-1"}
    assert (created["status"], created["intent"]) == ("draft", "proposal")
    assert created["encounter"] == {"reference": "Encounter/enc-1"}
    reasons = created["reasonReference"]
    first = reasons[0] if isinstance(reasons, list) else reasons
    assert re.fullmatch(
        r"(Observation|DiagnosticReport|DocumentReference|Condition)/.+", first["reference"]
    )


def test_a_condition_that_fails_is_logged_and_skipped() -> None:
    stream = io.StringIO()
    configure_logging(stream)
    step = STEPS["glucose-low-review"]
    broken = replace(step, conditions=(replace(step.conditions[0], expression="%glucos > 1"),))
    assert not applies(broken, nobody())
    assert "there is no %glucos" in stream.getvalue()


@pytest.mark.parametrize(
    ("expression", "cause"),
    [
        ("%glucos.exists()", "there is no %glucos"),
        ("%glucose.valueQuantity.value >", "cannot be evaluated"),
        ("%glucose.frobnicate()", "there is no function frobnicate"),
        ("'text'", "something else than true or false"),
        ("%patient.gender > 3", "values of different kinds"),
    ],
)
def test_a_failed_condition_is_never_false(expression: str, cause: str) -> None:
    data = {**nobody(), "patient": {"resourceType": "Patient", "gender": "female"}}
    data["glucose"] = {"valueQuantity": {"value": 1.0}}
    with pytest.raises(ConditionFailed, match=cause):
        holds(expression, data)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A site's folder that works: one of our steps under a name of its own."""
    for kind in ("plan", "activity"):
        text = (SHIPPED / f"glucose-low-review.{kind}.json").read_text()
        named = text.replace("glucose-low-review", "site-glucose")
        (tmp_path / f"site-glucose.{kind}.json").write_text(named)
    return tmp_path


def test_a_site_adds_replaces_and_switches_off(own: Path) -> None:
    assert {step.id for step in load_steps(own)} == {*STEPS, "site-glucose"}
    assert {step.id for step in load_steps(own, ["goals-of-care"])} == {
        *STEPS,
        "site-glucose",
    } - {"goals-of-care"}
    edited = (SHIPPED / "goals-of-care.plan.json").read_text()
    (own / "mine.json").write_text(edited.replace('"active"', '"retired"'))
    assert "goals-of-care" not in {step.id for step in load_steps(own)}
    with pytest.raises(SettingsError, match="there is no step 'goals'"):
        load_steps(None, ["goals"])


@pytest.mark.parametrize(
    ("old", "new", "line", "cause"),
    [
        ('"status": "active",', '"status": "active"', "url|purpose|title|date", "not JSON"),
        ('"purpose"', '"purposes"', '"purposes"', "not FHIR R4: purposes"),
        ('"Consider reviewing', '"Give', '"title": "Give', "begins with 'Consider '"),
        ("valueDate", "valueString", "relatedArtifact", "citation needs"),
        ("%glucose.valueQ", "%glucos.valueQ", '"expression": "%glucos.', "there is no %glucos"),
        ("< 70", "< ", '"expression": "%glucose', "cannot be evaluated"),
        ('"valueCode": "glucose"', '"valueCode": "sugar"', '"extension"', "no variable 'sugar'"),
        ("urn:meam:activity:site", "urn:x", "definitionCanonical", "no ActivityDefinition"),
        ("text/fhirpath", "text/cql", '"expression": "%glucose', "language text/fhirpath"),
    ],
)
def test_a_fault_is_named_with_file_line_and_cause(
    own: Path, old: str, new: str, line: str, cause: str
) -> None:
    file = own / "site-glucose.plan.json"
    text = file.read_text()
    assert old in text
    broken = text.replace(old, new, 1 if "Consider" not in old else -1)
    file.write_text(broken)
    faults = check_folder(own)[1]
    fault = next(one for one in faults if cause in one.cause)
    assert fault.file == file
    assert re.search(line, broken.splitlines()[fault.line - 1])
    with pytest.raises(SettingsError, match=r"recommendations\.folder"):
        load_steps(own)
    run = CliRunner().invoke(main, ["check-recommendations", str(own)])
    assert run.exit_code == 1
    assert f"site-glucose.plan.json:{fault.line}: {fault.cause}" in run.output


def test_the_command_lists_steps_with_citations_and_conditions(own: Path) -> None:
    assert check_folder(SHIPPED)[1] == []
    run = CliRunner().invoke(main, ["check-recommendations", str(own)])
    assert run.exit_code == 0
    assert f"{len(STEPS) + 1} steps, no fault, " in run.output
    assert "site-glucose (yours): Consider reviewing treatment that lowers glucose" in run.output
    assert "10.2337/dc24-S016" in run.output
    assert "%glucose.valueQuantity.value < 70" in run.output


def test_a_review_is_due_after_a_year(own: Path) -> None:
    step = STEPS["transfusion-threshold-review"]
    assert step.reviewed == "2026-11-24"
    assert list(warnings(step, date(2027, 11, 24))) == []
    assert list(warnings(step, date(2027, 11, 25))) == [
        "last reviewed on 2026-11-24; the yearly review is overdue by 1 day"
    ]
    never = replace(step, reviewed="")
    assert list(warnings(never, date(2026, 11, 24))) == [
        "no lastReviewDate says when it was compared with its guideline"
    ]


@pytest.mark.parametrize(("reviewed", "last"), [("2024", "2025-12-31"), ("2025-02", "2026-02-28")])
def test_a_date_without_a_day_means_its_last(reviewed: str, last: str) -> None:
    step = replace(STEPS["transfusion-threshold-review"], reviewed=reviewed)
    due = date.fromisoformat(last)
    assert list(warnings(step, due)) == []
    assert "overdue by 1 day" in next(warnings(step, due + timedelta(days=1)))


def test_an_overdue_review_is_a_warning_and_no_fault(own: Path) -> None:
    file = own / "site-glucose.plan.json"
    file.write_text(file.read_text().replace('"lastReviewDate": "2026', '"lastReviewDate": "2023'))
    run = CliRunner().invoke(main, ["check-recommendations", str(own)])
    assert run.exit_code == 0
    (row,) = (one for one in run.output.split("\n\n") if one.startswith("site-glucose"))
    assert "warning     last reviewed on 2023-11-24; the yearly review is overdue by " in row
    assert "approved: by nobody yet" in row


def test_newer_editions_that_we_know_of_are_said() -> None:
    newer = {name for name, step in STEPS.items() if any(one.newer for one in step.citations)}
    assert {"sepsis-lactate", "repeat-lactate", "delirium-screen"} <= newer
    said = list(warnings(STEPS["sepsis-lactate"], date(2026, 11, 24)))
    assert said == [
        "cites SCCM/ESICM Surviving Sepsis Campaign 2021; newer, and not reviewed: Surviving Sepsis"
        " Campaign 2026, Critical Care Medicine, March 2026"
    ]
    text = DOCUMENT.read_text(encoding="utf-8")
    for name in newer:
        for one in STEPS[name].citations:
            assert not one.newer or one.newer.split(",")[0] in text


def test_two_clicks_on_one_suggestion_can_be_one_draft() -> None:
    found = offered(MIXED, RAISING, file_risk_assessment=True)
    for suggestion in found.suggestions:
        resource = dict(suggestion.actions[0].resource or {})
        assert resource["identifier"] == [
            {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{suggestion.uuid}"}
        ]
    assert len({one.uuid for one in found.suggestions}) == len(found.suggestions) == 4


def test_each_suggestion_knows_its_step() -> None:
    found = offered(MIXED, RAISING, file_risk_assessment=True)
    names = [found.step_ids[one.uuid] for one in found.suggestions]
    assert names[-1] == KEEP_ESTIMATE
    assert set(names[:-1]) <= set(STEPS)
    by_title = {step.title: step.id for step in STEPS.values()}
    assert names[:-1] == [by_title[one.label] for one in found.suggestions[:-1]]


def test_every_step_is_cited_dated_and_worded_as_an_option() -> None:
    for step in STEPS.values():
        assert step.citations
        assert all(one.url.startswith("https://") and one.published for one in step.citations)
        assert step.title.startswith("Consider ")
        assert step.activity["intent"] == "proposal"


def test_the_document_lists_every_step_and_its_example_works(tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for step in STEPS.values():
        assert f"`{step.id}`" in text
        assert all(one.url in text for one in step.citations)
    for number, block in enumerate(re.findall(r"```json\n(.*?)```", text, re.DOTALL)):
        (tmp_path / f"{number}.json").write_text(block)
    assert check_folder(tmp_path)[1] == []
    own = {step.id: step for step in load_steps(tmp_path)}["site-pain-review"]
    chart = {"pain_score": 8}
    assert applies(own, patient_data(record_of(chart), prediction_of(chart)))
    chart = {"pain_score": 2}
    assert not applies(own, patient_data(record_of(chart), prediction_of(chart)))


def card_of(client: FlaskClient, prefetch: dict[str, Any] | None = None) -> dict[str, Any]:
    (card,) = client.post(URL, json=world.hook_request(prefetch)).json["cards"]
    return dict(card)


def test_a_hook_answers_with_suggestions_and_feedback_links_to_them(
    service: Service, log: io.StringIO
) -> None:
    client = service()
    card = card_of(client)
    (suggestion,) = card["suggestions"]
    assert card["selectionBehavior"] == "any"
    assert suggestion["label"] == "Consider measuring lactate again"
    assert "Next steps to consider" in card["detail"]
    accepted = {
        "card": card["uuid"],
        "outcome": "accepted",
        "acceptedSuggestions": [{"id": suggestion["uuid"]}],
        "outcomeTimestamp": "2026-11-23T12:00:01Z",
    }
    assert client.post(f"{URL}/feedback", json={"feedback": [accepted]}).status_code == 200
    assert json.loads(log.getvalue().splitlines()[-1])["unknown"] == 0
    client.post(f"{URL}/feedback", json={"feedback": [accepted]})
    report = feedback_report(parts_of(client.application).store)
    tally = report.by_step["repeat-lactate"]
    assert (tally.cards, tally.answered, tally.accepted) == (1, 1, 1)
    figures = client.get("/metrics").get_data(as_text=True)
    assert 'meam_next_steps_total{step="repeat-lactate",what="offered"} 1.0' in figures
    assert 'meam_next_steps_total{step="repeat-lactate",what="accepted"} 1.0' in figures


def test_an_order_in_prefetch_takes_the_suggestion_away(service: Service) -> None:
    client = service()
    created = card_of(client)["suggestions"][0]["actions"][0]["resource"]
    order = {**copy.deepcopy(created), "id": "sr-1"}
    ordered = {**world.full_prefetch(), "orders": world.bundle([order])}
    assert "suggestions" not in card_of(client, ordered)
    foreign = {**order, "subject": {"reference": "Patient/somebody-else"}}
    mixed = {**world.full_prefetch(), "orders": world.bundle([foreign])}
    assert client.post(URL, json=world.hook_request(mixed)).status_code == 400


def test_without_orders_the_card_says_so_and_a_calm_chart_stays_quiet(service: Service) -> None:
    client = service()
    unknown = {key: value for key, value in world.full_prefetch().items() if key != "orders"}
    detail = card_of(client, unknown)["detail"]
    assert "Active orders could not be read" in detail
    assert detail.count("active orders: not available") == 1
    calm = {key: value for key, value in world.calm_prefetch().items() if key != "orders"}
    assert client.post(URL, json=world.hook_request(calm)).json == {"cards": []}


def test_a_site_can_do_without(service: Service) -> None:
    client = service(recommendations=Recommendations(show=False))
    prefetch = client.get("/cds-services").json["services"][0]["prefetch"]
    assert "orders" not in prefetch
    assert "suggestions" not in card_of(client)


def test_a_broken_folder_stops_the_start(service: Service, own: Path) -> None:
    shutil.copy(own / "site-glucose.plan.json", own / "twice.json")
    with pytest.raises(SettingsError, match="has the same id"):
        service(recommendations=Recommendations(folder=own))


def test_a_folder_without_any_step_is_no_success(tmp_path):
    run = CliRunner().invoke(main, ["check-recommendations", str(tmp_path)])
    assert run.exit_code == 1
    assert "holds no PlanDefinition and no ActivityDefinition" in run.output
