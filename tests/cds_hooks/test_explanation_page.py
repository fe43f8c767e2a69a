"""The explanation page: what it shows, what it refuses, and what it never sends."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask.testing import FlaskClient

from cds_hooks.explanation_page.routes import explanation_pages
from cds_hooks.keys import KeyRing, new_key
from cds_hooks.links import ExplanationLinks
from cds_hooks.store import Store
from cds_hooks.stored_explanation import StoredExplanation
from model.record import Note, PatientRecord, ReportLine, Sentence
from tests.cds_hooks.explained_patient import CARD, NOW, stored_explanation

ZONE = "America/New_York"


class Site:
    """A store, signed links and a client of an application that has only these pages."""

    def __init__(self, url: str) -> None:
        keys = KeyRing([new_key()])
        self.store = Store(url, keys, clock=lambda: NOW)
        self.links = ExplanationLinks("http://service.test", keys, timedelta(hours=24))
        app = Flask(__name__)
        app.register_blueprint(explanation_pages(self.store, self.links, zone=ZoneInfo(ZONE)))
        self.client: FlaskClient = app.test_client()

    def page(self, stored: StoredExplanation) -> str:
        self.store.save_explanation(stored)
        answer = self.client.get(f"/explanations/{self.links.token(stored.card_uuid)}")
        assert answer.status_code == 200
        return answer.get_data(as_text=True)


@pytest.fixture
def site(tmp_path):
    made = Site(f"sqlite:///{tmp_path / 'meam.sqlite'}")
    yield made
    made.store.close()


def test_the_page_shows_risk_reasons_and_sources(site):
    text = site.page(stored_explanation())
    for expected in (
        "In-hospital death: 37\N{NO-BREAK SPACE}%",
        "2.7 times the average",
        "4.6 mmol/L, rising (1.6 to 4.6, 4 values)",
        "23 Nov 2026, 01:40 EST (1 h before)",
        ">Observation/lactate-3</a> and 3 more",
        "+0.62 ± 0.02",
        "SHAP and LIME agree on 4 of the 5 strongest note sentences.",
        "4 of the 5 findings that SHAP puts first (rank correlation +0.83)",
        "Observation/17: unit &#39;F&#39; is not convertible to Cel",
        "Device data: the FHIR server did not answer in time.",
        "not a medical device",
        "Nobody over 90 was in the training data of this unit type.",
    ):
        assert expected in text


def test_the_page_shows_the_essence_of_the_reading_report(site):
    stored = stored_explanation()
    bound = ReportLine("Observation/9", "value", "Observation/9: lactate is known as a bound (>)")
    report = dataclasses.replace(
        stored.record.report, remarks=(bound,), incomplete=stored.limitations
    )
    record = dataclasses.replace(stored.record, report=report)
    text = site.page(dataclasses.replace(stored, record=record))
    assert "1 value reached the model with a reservation" in text
    assert "Observation/9: lactate is known as a bound (&gt;)" in text
    assert "Resources read: 1 DocumentReference, 412 Observation, 1 Patient." in text
    for line in stored.limitations:
        assert text.count(line.sentence) == 1, "a card is stored with the report's own lines"


def test_every_time_is_in_the_zone_of_the_cards(site):
    text = site.page(stored_explanation())
    assert " EST" in text
    assert "UTC" not in text


def test_a_device_is_named_where_the_chart_names_it(site):
    stored = stored_explanation()
    series = dataclasses.replace(stored.record.device_series[0], device_name="Wrist <monitor>")
    record = dataclasses.replace(stored.record, device_series=(series,))
    assert "Wrist &lt;monitor&gt;" in site.page(dataclasses.replace(stored, record=record))


def test_what_was_never_measured_stands_apart(site):
    text = site.page(stored_explanation())
    values, absent = text.split("What was not measured")
    assert "Albumin" not in values.split('id="reasons"')[1]
    assert "Albumin" in absent


def test_a_negated_sentence_says_so(site):
    """Before the quote, wherever it stands: a table, the comparison, the strongest at the top."""
    stored = stored_explanation()
    assert stored.explanation is not None
    tokens = [
        dataclasses.replace(token, shap_logit=-5.0)
        if getattr(token.evidence, "text", "") == "Denies chest pain."
        else token
        for token in stored.explanation.tokens
    ]
    explanation = dataclasses.replace(stored.explanation, tokens=tuple(tokens))
    text = site.page(dataclasses.replace(stored, explanation=explanation))
    said = r'<span class="flag">says that this is ABSENT</span> <bdi[^>]*>“?Denies chest pain\.'
    assert len(re.findall(said, text)) == 3
    noted = text.split('class="note"')[-1]
    assert text.count("Denies chest pain.") - noted.count("Denies chest pain.") == 3


def test_text_from_notes_stays_text(site):
    stored = stored_explanation()
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)> [a](javascript:alert(1))"
    note = Note("<b>Note</b>", NOW, (Sentence(hostile, "</p><h1>"),), "DocumentReference/<x>")
    text = site.page(dataclasses.replace(stored, record=with_notes(stored.record, note)))
    assert "<script" not in text
    assert "<img" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_a_very_long_note_is_cut_and_says_so(site):
    stored = stored_explanation()
    long = tuple(Sentence(f"Sentence {i}. " + "x" * 3000) for i in range(1000))
    note = Note("Discharge summary", NOW, long, "DocumentReference/long")
    text = site.page(dataclasses.replace(stored, record=with_notes(stored.record, note)))
    assert "920 more sentences." in text
    assert "more characters" in text
    assert len(text) < 250_000


def test_every_answer_forbids_scripts_and_outside_requests(site):
    site.store.save_explanation(stored_explanation())
    for token in (site.links.token(CARD), "wrong"):
        headers = site.client.get(f"/explanations/{token}").headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_the_page_needs_nothing_that_its_policy_forbids(site):
    text = site.page(stored_explanation())
    assert "<script" not in text
    assert " style=" not in text
    assert "<style" not in text
    assert set(re.findall(r'(?:href|src)="([^"#]+)', text)) == {
        "static/page.css",
        "static/icon.svg",
    }
    for name in ("page.css", "icon.svg"):
        with site.client.get(f"/explanations/static/{name}") as answer:
            assert answer.status_code == 200


def test_a_changed_token_is_404_without_detail(site):
    site.store.save_explanation(stored_explanation())
    token = site.links.token(CARD)
    for wrong in (token[:-1], token.replace(CARD[:4], "0000"), "x", CARD):
        answer = site.client.get(f"/explanations/{wrong}")
        assert answer.status_code == 404
        assert "This is not a link to an explanation" in answer.text
        assert CARD not in answer.text


def test_an_expired_link_is_410(site):
    site.store.save_explanation(stored_explanation())
    expired = ExplanationLinks("http://service.test", site.store.keys, timedelta(seconds=-2))
    app = Flask(__name__)
    app.register_blueprint(explanation_pages(site.store, expired))
    answer = app.test_client().get(f"/explanations/{expired.token(CARD)}")
    assert answer.status_code == 410
    assert "no longer available" in answer.text


def test_a_purged_explanation_is_410(site):
    answer = site.client.get(f"/explanations/{site.links.token(CARD)}")
    assert answer.status_code == 410


def test_a_lost_key_is_500_without_detail(site):
    site.store.save_explanation(stored_explanation())
    site.store.keys = KeyRing([new_key()])
    answer = site.client.get(f"/explanations/{site.links.token(CARD)}")
    assert answer.status_code == 500
    assert "key" not in answer.text
    assert "cannot be shown" in answer.text


def test_an_unreliable_explanation_shows_no_reasons(site):
    stored = stored_explanation()
    explanation = dataclasses.replace(
        stored.explanation, reliable=False, unreliable_reason="the efficiency gap is 0.3 logits"
    )
    text = site.page(dataclasses.replace(stored, explanation=explanation))
    assert "not reliable: the efficiency gap is 0.3 logits." in text
    assert "Lactate" not in text.split("Sources and completeness")[0]


def test_a_prediction_that_does_not_apply_says_why(site):
    stored = stored_explanation()
    applicability = dataclasses.replace(
        stored.prediction.applicability, applicable=False, reasons=("The patient is a child.",)
    )
    prediction = dataclasses.replace(stored.prediction, tasks=(), applicability=applicability)
    text = site.page(dataclasses.replace(stored, prediction=prediction, explanation=None))
    assert "No risk estimate" in text
    assert "This says nothing about the patient's risk." in text
    assert "The patient is a child." in text
    assert "Risk of" not in text


def with_notes(record: PatientRecord, *notes: Note) -> PatientRecord:
    return dataclasses.replace(record, notes=notes)
