"""What reports show of the wire: enough to mend a fault, no secret, nothing of a real patient."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import expect

from conformance.endpoint import Chart
from conformance.evidence import exchange_of
from conformance.exchange import Answer, Sent
from conformance.report_files import to_json
from conformance.report_page import to_page
from conformance.runner import Run
from conformance.sample import PATIENT_ID, SampleChart
from tests.browser import chromium, low_contrast, needs_chromium, unnamed_controls
from tests.conformance.suite_world import run_suite

CASES = ("summary-is-shorter-than-140", "missing-hook-is-refused", "no-answer-repeats-a-secret")


class OfSomebody:
    """A chart of which the suite cannot know that it is made up."""

    def __init__(self) -> None:
        self._sample = SampleChart()

    def get(self, query: str) -> tuple[int, Any]:
        return self._sample.get(query)


def long_summary(answer: Any) -> Any:
    if "cards" in answer:
        answer["cards"][0]["summary"] = "Sample, Conformance has a raised lactate. " * 5
    return answer


def broken_run(chart: Chart | None = None) -> Run:
    return run_suite("missing-hook", change=long_summary, among=CASES, chart=chart)


def evidence(run: Run) -> list[str]:
    shown = [exchange for one in run.results for exchange in one.evidence]
    return [f"{one.request}\n{one.response}" for one in shown]


def test_a_failure_shows_request_and_answer() -> None:
    run = broken_run()
    assert {one.case.id for one in run.results if one.evidence} == set(CASES[:2])
    asked, answered = evidence(run)[0], evidence(run)[-1]
    assert "POST /cds-services/lactate" in asked
    assert '"hookInstance"' in asked
    assert "HTTP/1.1 200" in answered
    assert "raised lactate" in answered


def test_evidence_holds_claims_but_neither_signature_nor_token() -> None:
    (first, *_) = evidence(broken_run())
    assert '"jti"' in first
    assert "signature left out" in first
    assert '"access_token": "(access token)"' in first
    assert "eyJ" not in first


def test_reports_on_somebodys_chart_hold_nothing_of_the_patient() -> None:
    run = broken_run(OfSomebody())
    assert len(evidence(run)) == 2
    for text in (*evidence(run), to_page(run), to_json(run)):
        for value in (PATIENT_ID, "Sample", "raised lactate", "2524-7", "1951-03-02"):
            assert value not in text
    assert '"summary": "(210 characters)"' in evidence(run)[-1]


def test_a_made_up_chart_may_be_shown() -> None:
    assert PATIENT_ID in evidence(broken_run())[0]


@pytest.mark.parametrize(
    ("kind", "body", "shown"),
    [
        ("image/png", b"\x89PNG", "(4 bytes, image/png)"),
        ("text/html", b"<pre>at x.js:1</pre>", "<pre>at x.js:1</pre>"),
        ("application/json", b'{"a": ', '{"a": '),
        ("application/json", json.dumps({"a": "x" * 400}).encode(), "(100 more characters)"),
    ],
)
def test_any_body_can_be_shown(kind: str, body: bytes, shown: str) -> None:
    sent = Sent("POST", "http://127.0.0.1/cds-services/a", {}, b"{")
    answer = Answer("POST", 500, {"Content-Type": kind}, body, 1.0, sent)
    assert shown in exchange_of(answer, "secret", made_up=True).response


def test_a_body_that_repeats_secrets_is_shown_without_them() -> None:
    sent = Sent("POST", "http://127.0.0.1/cds-services/a", {"Authorization": "Basic eDp5"}, None)
    body = json.dumps({"said": "secret", "jwt": f"eyJ{'a' * 20}.eyJ{'b' * 20}.c"}).encode()
    shown = exchange_of(Answer("POST", 400, {}, body, 1.0, sent), "secret", made_up=True)
    assert "Authorization: Basic (left out)" in shown.request
    assert '"said": "(access token)"' in shown.response
    assert '"jwt": "(JWT)"' in shown.response


def test_a_token_at_the_cut_of_a_long_text_is_not_shown_in_part() -> None:
    sent = Sent("POST", "http://127.0.0.1/cds-services/a", {}, None)
    body = json.dumps({"said": "x" * 295 + "conformance-secret"}).encode()
    answer = Answer("POST", 400, {}, body, 1.0, sent)
    assert "xconf" not in exchange_of(answer, "conformance-secret", made_up=True).response


@needs_chromium
def test_the_page_filters_without_script_and_can_be_read() -> None:
    page_text = to_page(broken_run())
    assert "<script" not in page_text
    with chromium() as browser:
        for scheme, width in (("light", 1200), ("dark", 1200), ("light", 390)):
            page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
            page.set_content(page_text)
            assert not low_contrast(page)
            assert not unnamed_controls(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.locator("label:has(#only-fail)").click()
            expect(page.locator(".case:visible")).to_have_count(2)
            page.locator("label:has(#level-shall)").click()
            expect(page.locator(".case:visible")).to_have_count(1)
            expect(page.get_by_text("No rule of this level")).to_be_hidden()
            page.locator("label:has(#only-pass)").click()
            expect(page.locator(".case:visible")).to_have_count(0)
            expect(page.get_by_text("No rule of this level")).to_be_visible()


def test_what_was_run_is_said() -> None:
    facts = broken_run().facts
    assert facts["CDS Hooks"] == "2.0.1"
    assert facts["Patient"] == "made up by the suite"
    assert facts["Calls"].startswith("JWTs signed ES384, iss https://suite.example.org, jku ")
    assert "Werkzeug" in facts["Service software"]
