"""What cards say, and that text from data is never markup (requirement 41)."""

from __future__ import annotations

import ast
import dataclasses
import re
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cds_hooks.cards import Card
from cds_hooks.escape import escaped, plain
from cds_hooks.limits import _LEFT_OUT
from cds_hooks.reasons import Moment, balance_sentence, quantity, reason_line
from cds_hooks.settings import Settings, Thresholds
from cds_hooks.wording import indicator, percent, write_card
from model.prediction import (
    Agreement,
    DeviceEvidence,
    GroupAttribution,
    SentenceEvidence,
    StructuredEvidence,
    TokenAttribution,
)
from model.record import (
    Demographics,
    Measurement,
    Note,
    PatientRecord,
    ReadingReport,
    ReportLine,
    Sentence,
)
from tests.cds_hooks import world
from tests.cds_hooks.conftest import Service

URL = "/cds-services/meam-risk"
MOMENT = Moment(world.NOW, ZoneInfo("UTC"), timedelta(hours=24))
SENTENCE = SentenceEvidence(
    "Denies chest pain.",
    "",
    "Progress note",
    world.NOW - timedelta(hours=5),
    True,
    False,
    False,
    False,
)
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/pixel.png)",
    "<https://evil.example>",
    "https://evil.example/a and www.evil.example and a@evil.example and evil.com",
    "mailto:a@b.org xmpp:a@b.org ftp://evil.example",
    "**bold** __bold__ *em* _em_ ~~del~~ `code` ```fence",
    "a\n\n# heading\n\n- item\n\n> quote\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    "[ref]: https://evil.example 'x'\n\n[ref]",
    "\u202eevil\u202c \u2066a\u2069 zero\u200bwidth \ufeffbom \x00nul \x1b[31mred",
    "\ud800 \U000e0041 \u00ad \ufe0f",
    "\\[a](b) \\\\<b>",
    "<!-- comment --> <![CDATA[x]]> <?php ?> </p><p>",
]


def _texts(markdown: str) -> tuple[set[str], str]:
    """Node types that GitHub-Flavored Markdown sees, and the text that it shows."""
    parser = MarkdownIt("gfm-like")
    types, texts = set(), []
    for token in parser.parse(markdown):
        for node in [token, *(token.children or [])]:
            types.add(node.type)
            if node.type in ("text", "text_special"):
                texts.append(node.content)
    return types, "".join(texts)


@pytest.mark.parametrize("text", HOSTILE)
def test_r41_hostile_text_stays_text(text: str) -> None:
    types, shown = _texts(f"- Note: “{escaped(text)}”")
    assert types <= {
        "bullet_list_open",
        "bullet_list_close",
        "list_item_open",
        "list_item_close",
        "paragraph_open",
        "paragraph_close",
        "inline",
        "text",
        "text_special",
    }
    assert "<" not in escaped(text)
    bare = re.sub(r"\s", "", shown)
    assert bare == re.sub(r"\s", "", f"Note:“{plain(text)}”")


@given(st.text(max_size=80))
@example("&#60;script&#62;")
@example("a&nbsp;b")
def test_r41_any_text_stays_text(text: str) -> None:
    types, shown = _texts(f"x {escaped(text)} y")
    assert types <= {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}
    assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", f"x{plain(text)}y")
    assert "<" not in escaped(text)
    assert ">" not in escaped(text)


@given(st.text(max_size=40))
def test_plain_text_has_only_visible_characters(text: str) -> None:
    assert plain(text).isprintable()
    assert "\n" not in plain(text)


def test_ordinary_clinical_text_stays_as_it_is() -> None:
    text = "Temp 38.5 °C, BP 90/60 (MAP 70); pain 7/10 - pt. ambulating, q.d. 3.5mg, #2 & α"
    assert escaped(text) == text.replace("&", "&amp;")


@pytest.mark.parametrize("text", HOSTILE)
def test_r41_a_hostile_chart_gives_a_harmless_card(service: Service, text: str) -> None:
    hostile = world.note(text + " Looks septic.")
    hostile["type"]["text"] = text
    prefetch = {**world.full_prefetch(), "notes": world.bundle([hostile])}
    lab = prefetch["laboratory"]["entry"][0]["resource"]
    lab["valueQuantity"].update(unit=text, code=text)
    prefetch["laboratory"]["entry"].append({"resource": {**lab, "id": "<b>x</b>"}})
    (card,) = service().post(URL, json=world.hook_request(prefetch)).json["cards"]
    types, _ = _texts(card["detail"])
    assert types <= {
        "bullet_list_open",
        "bullet_list_close",
        "list_item_open",
        "list_item_close",
        "paragraph_open",
        "paragraph_close",
        "inline",
        "text",
        "text_special",
    }
    assert "<" not in card["detail"]
    assert card["summary"].isprintable()


def _line(evidence: Any, weight: float = 0.5, sources: tuple[str, ...] = ("X/1",)) -> str:
    modality = {StructuredEvidence: "structured", DeviceEvidence: "device"}.get(
        type(evidence), "note"
    )
    token = TokenAttribution("t", modality, "general", evidence, sources, weight, 0.01, 0.1)  # type: ignore[arg-type]
    return reason_line(token, MOMENT)


def test_a_measured_value_has_value_unit_time_course_and_source() -> None:
    evidence = StructuredEvidence(
        "lactate",
        "Lactate",
        "mmol/L",
        True,
        4.1,
        "",
        world.NOW - timedelta(hours=2),
        1.2,
        4.1,
        5,
        0.42,
    )
    assert _line(evidence, 0.5, ("Observation/12", "Observation/11")) == (
        "- Moderately raises the risk: Lactate 4.1 mmol/L (2026-11-23 10:00 UTC, 2 h ago;"
        " range 1.2 to 4.1 in 5 values; rising by 0.42 mmol/L an hour)"
        " – source: Observation/12 and 1 more"
    )


def test_a_steep_trend_is_written_out() -> None:
    evidence = StructuredEvidence(
        "glucose", "Glucose", "mg/dL", True, 180, "", world.NOW, 180, 530, 3, -123.4
    )
    assert "range 180 to 530 in 3 values; falling by 123 mg/dL an hour)" in _line(evidence)


@pytest.mark.parametrize(("count", "words"), [(2, "both values alike"), (7, "all 7 values alike")])
def test_values_that_do_not_differ_are_no_range(count: int, words: str) -> None:
    evidence = StructuredEvidence(
        "glasgow_coma_scale", "GCS", "{score}", True, 15, "", world.NOW, 15, 15, count, 0.0
    )
    assert f"just now; {words})" in _line(evidence)


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ((2026, 11, 22, 21), (2026, 11, 23, 3), "2026-11-22 22:00 to 2026-11-23 04:00 CET"),
        ((2026, 10, 24, 22), (2026, 10, 25, 4), "2026-10-25 00:00 CEST to 05:00 CET, stale"),
    ],
)
def test_a_patch_over_midnight_or_a_change_of_the_clocks(
    start: tuple[int, ...], end: tuple[int, ...], words: str
) -> None:
    first, last = (datetime(*one, tzinfo=UTC) for one in (start, end))  # type: ignore[misc]
    evidence = DeviceEvidence("heart_rate", "Heart rate", "/min", first, last, 90, 80, 99, 1.0)
    token = TokenAttribution("t", "device", "none", evidence, ("X/1",), 0.5, 0.01, 0.1)
    moment = Moment(world.NOW, ZoneInfo("Europe/Berlin"), timedelta(hours=24))
    assert f"({words};" in reason_line(token, moment)


def test_a_trend_within_the_noise_is_not_told() -> None:
    evidence = StructuredEvidence(
        "sodium", "Sodium", "mmol/L", True, 140, "", world.NOW, 139, 141, 5, 0.01
    )
    assert "rising" not in _line(evidence)


def test_the_balance_of_each_modality() -> None:
    groups = [
        GroupAttribution("structured", 0.8, 0.1, 30),
        GroupAttribution("note", -0.4, 0.1, 9),
        GroupAttribution("device", 0.2, 0.5, 8),
    ]
    assert balance_sentence(groups) == (
        "Compared with the estimate for an empty chart, all charted data together raise it; all"
        " notes together lower it; all device data together hardly change it."
    )
    assert balance_sentence([GroupAttribution("renal", 1.0, 0.0, 3)]) == ""


def test_a_variable_that_was_not_measured_is_not_a_value() -> None:
    line = _line(StructuredEvidence("lactate", "Lactate", "mmol/L", False), -0.1, ())
    assert line == (
        "- Slightly lowers the risk: Lactate was not measured in the time that the model looks"
        " at. This is about what was done, not about a value."
    )


def test_a_stale_value_says_so() -> None:
    evidence = StructuredEvidence(
        "lactate", "Lactate", "mmol/L", True, 4.1, "", world.NOW - timedelta(hours=60)
    )
    assert "2 days ago, stale" in _line(evidence)


def test_a_denial_is_quoted_whole_and_marked_absent() -> None:
    assert _line(SENTENCE) == (
        "- Moderately raises the risk: Progress note (2026-11-23 07:00 UTC, 5 h ago)"
        " [says that this is ABSENT]: “Denies chest pain.” – source: X/1"
    )


def test_a_long_denial_stays_marked_when_it_is_shortened() -> None:
    long = dataclasses.replace(SENTENCE, text="chest pain, " * 60 + "all denied.")
    line = _line(long)
    assert "[says that this is ABSENT]" in line
    assert "…”" in line


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("historical", "about the past"),
        ("family", "about somebody else than the patient"),
        ("hypothetical", "not established"),
    ],
)
def test_what_a_sentence_does_not_assert_now_is_said(flag: str, words: str) -> None:
    evidence = dataclasses.replace(SENTENCE, negated=False, **{flag: True})
    assert f"[{words}]" in _line(evidence)


def test_a_patch_of_device_data_has_its_time_and_coverage() -> None:
    evidence = DeviceEvidence(
        "heart_rate",
        "Heart rate",
        "/min",
        world.NOW - timedelta(hours=6),
        world.NOW,
        112.4,
        88,
        140,
        0.92,
    )
    assert _line(evidence, 0.8, ("Observation/77",)) == (
        "- Strongly raises the risk: Heart rate 112 per min on average (2026-11-23 06:00 to"
        " 12:00 UTC; range 88 to 140; recorded 92 % of the time)"
        " – source: Observation/77"
    )


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (7.351, "[pH]", "7.35"),
        (38.5, "Cel", "38.5 °C"),
        (1234567, "pg/mL", "1,234,567 pg/mL"),
        (99.96, "mg/dL", "100 mg/dL"),
        (0.00002, "ng/mL", "0.00002 ng/mL"),
        (0.0, "mmol/L", "0 mmol/L"),
        (1e-300, "ng/mL", "almost 0 ng/mL"),
        (-4.25, "mmol/L", "-4.25 mmol/L"),
        (79.96, "a", "79 years"),
        (0.0123, "ng/mL", "0.0123 ng/mL"),
        (1, "{bool}", "yes"),
        (0, "{bool}", "no"),
        (13, "{score}", "13"),
        (65, "mm[Hg]", "65 mmHg"),
        (1.0, "<b>", "1 &lt;b&gt;"),
    ],
)
def test_quantities_read_as_clinicians_write_them(value: float, unit: str, words: str) -> None:
    assert quantity(value, unit) == words


@pytest.mark.parametrize(
    ("probability", "words"),
    [(0.004, "below 1 %"), (0.386, "39 %"), (0.999, "above 99 %"), (0.01, "1 %")],
)
def test_percentages_have_open_ends(probability: float, words: str) -> None:
    assert percent(probability) == words


@pytest.mark.parametrize(
    ("probability", "expected"),
    [(0.1, "info"), (0.3, "warning"), (0.59, "warning"), (0.6, "critical"), (1.0, "critical")],
)
def test_r42_the_indicator_follows_the_sites_thresholds(probability: float, expected: str) -> None:
    assert indicator(probability, Thresholds()) == expected


RECORD = PatientRecord(
    Demographics("Patient/1", 70.0),
    world.NOW,
    (Measurement("lactate", 4.0, "mmol/L", world.NOW, "Observation/1"),),
    (Note("Progress note", world.NOW, (Sentence("Looks septic."),), "DocumentReference/1"),),
)


def _card(
    tmp_path: Path,
    record: PatientRecord = RECORD,
    report: ReadingReport | None = None,
    task: dict[str, Any] | None = None,
    settings: Settings | None = None,
    **explanation: Any,
) -> Card | None:
    prediction, explained = world.LinearPredictor(**explanation)(record)
    if task:
        first = dataclasses.replace(prediction.tasks[0], **task)
        prediction = dataclasses.replace(prediction, tasks=(first,))
    written = write_card(
        prediction,
        explained,
        report or ReadingReport(),
        settings or world.settings(tmp_path),
        "https://x.org/{}".format,
    )
    return written.card if written else None


def _detail(*args: Any, **kwargs: Any) -> str:
    card = _card(*args, **kwargs)
    assert card is not None
    return card.detail


def test_an_uncertain_model_says_so_first(tmp_path: Path) -> None:
    card = _card(tmp_path, task={"risk_group": "uncertain", "probability": 0.3})
    assert card is not None
    assert card.summary.endswith("(average 14 %); the model is uncertain; raised most by: Lactate.")
    assert (
        "at 90 % confidence it cannot tell this patient from those with the outcome" in card.detail
    )
    assert "Do not rely on the figure." in card.detail


@pytest.mark.parametrize(
    ("task", "changes", "shown"),
    [
        ({"probability": 0.05, "risk_group": "low"}, {}, False),
        ({"probability": 0.05, "risk_group": "low"}, {"show_low_risk": True}, True),
        ({"probability": 0.05, "risk_group": "uncertain"}, {}, True),
        ({"probability": 0.05, "risk_group": "uncertain"}, {"quiet_when_uncertain": True}, False),
        ({"probability": 0.05, "risk_group": "high"}, {"quiet_when_uncertain": True}, True),
        ({"probability": 0.2, "risk_group": "low"}, {}, True),
    ],
)
def test_when_nothing_is_said(
    tmp_path: Path, task: dict[str, Any], changes: dict[str, Any], shown: bool
) -> None:
    card = _card(tmp_path, task=task, settings=world.settings(tmp_path, **changes))
    assert (card is not None) is shown


def test_a_low_risk_that_the_model_warns_about_is_not_silence(tmp_path: Path) -> None:
    prediction, explained = world.LinearPredictor()(RECORD)
    low = dataclasses.replace(prediction.tasks[0], probability=0.05, risk_group="low")
    warned = dataclasses.replace(prediction.applicability, warnings=("No value for 30 h.",))
    prediction = dataclasses.replace(prediction, tasks=(low,), applicability=warned)
    for changes, shown in (({}, True), ({"quiet_despite_warnings": True}, False)):
        settings = world.settings(tmp_path, **changes)
        written = write_card(
            prediction, explained, ReadingReport(), settings, "https://x/{}".format
        )
        assert (written is not None) is shown
        if written:
            assert "- No value for 30 h." in written.card.detail


def test_an_explanation_that_failed_its_check_is_not_shown(tmp_path: Path) -> None:
    detail = _detail(tmp_path, reliable=False, unreliable_reason="efficiency gap 0.3 <logits>")
    assert "Reasons are not shown: the explanation did not pass its own check" in detail
    assert "efficiency gap 0. 3" not in detail
    assert "efficiency gap 0.3 &lt;logits&gt;" in detail
    assert "raises the risk" not in detail
    assert "agree" not in detail


def test_tokens_within_their_own_error_are_no_reasons(tmp_path: Path) -> None:
    _, explained = world.LinearPredictor()(RECORD)
    assert explained is not None
    noisy = tuple(dataclasses.replace(t, shap_standard_error_logit=9.0) for t in explained.tokens)
    assert "No single finding stands out." in _detail(tmp_path, tokens=noisy)


def test_at_most_five_reasons_the_strongest(tmp_path: Path) -> None:
    many = tuple(Sentence(f"Looks septic {n}.") for n in range(20))
    record = dataclasses.replace(
        RECORD, notes=(dataclasses.replace(RECORD.notes[0], sentences=many),)
    )
    assert _detail(tmp_path, record).count("the risk:") == 5


@pytest.mark.parametrize(
    ("agreement", "words"),
    [
        (Agreement(0.8, 0.9, 4, 5), "SHAP and LIME agree on 4 of the 5 strongest note sentences"),
        (Agreement(0.2, 0.1, 1, 5), "the methods disagree, so read the reasons with caution. SHAP"),
        (
            Agreement(1.0, 1.0, None, None),
            "the methods agree well. The model's attention and SHAP agree on 5 of the 5",
        ),
        (Agreement(None, None, None, None), "too few findings to compare methods"),
        (Agreement(None, None, 0, 0), "too few findings to compare methods"),
    ],
)
def test_the_agreement_sentence(tmp_path: Path, agreement: Agreement, words: str) -> None:
    assert words in _detail(tmp_path, agreement=agreement)


def test_what_is_missing_or_left_out_is_said(tmp_path: Path) -> None:
    report = ReadingReport(
        left_out=(
            ReportLine("Observation/1", "unit", "Observation/1: unit 'F' ..."),
            ReportLine("Observation/2", "unit", "Observation/2: unit 'F' ..."),
            ReportLine("Observation/3", "status", "Observation/3: cancelled"),
        ),
        remarks=(ReportLine("Observation/4", "comparator", "Observation/4: <0.1"),),
        incomplete=tuple(ReportLine("x", "outcome", f"notice {n}") for n in range(9)),
    )
    detail = _detail(tmp_path, report=report)
    limits = detail.partition("Limits of this answer:")[2]
    assert "- Monitor and wearable data: none available." in limits
    assert (
        "- Not used from the chart: 2 items in a unit that does not fit; 1 item cancelled, entered"
        " in error or not final. See the explanation." in limits
    )
    assert "- Used with a reservation: 1 value given as above or below a limit." in limits
    assert "- notice 5\n- 3 more; see the explanation." in limits


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.04, "less than half of the average"),
        (0.057, "about half of the average"),
        (0.08, "about half of the average"),
        (0.1, "below the average"),
        (0.14, "about the average"),
        (0.49, "3.5 times the average"),
    ],
)
def test_the_ratio_to_the_average_fits_the_figures(
    tmp_path: Path, probability: float, words: str
) -> None:
    settings = world.settings(tmp_path, show_low_risk=True)
    detail = _detail(tmp_path, task={"probability": probability}, settings=settings)
    assert f"14 % had this outcome: {words}." in detail


def test_a_drift_is_said_on_an_estimate(tmp_path: Path) -> None:
    prediction, explained = world.LinearPredictor()(RECORD)
    settings = world.settings(tmp_path)
    drifting = ("lactate", "device/heart_rate", "x_y", "creatinine")
    write = partial(
        write_card, prediction, explained, ReadingReport(), settings, "https://x/{}".format
    )
    quiet, warned = write(), write(drifting=drifting)
    assert quiet is not None
    assert warned is not None
    line = (
        "- The patients of late differ from those that the model learnt from, in: Lactate, Heart"
        " rate (monitor), X y and 1 more. Its figures may be less accurate here than they were in"
        " training."
    )
    assert line in warned.card.detail.splitlines()
    assert "of late" not in quiet.card.detail
    assert warned.card.indicator == quiet.card.indicator


def test_a_drift_alone_is_no_reason_for_a_card(tmp_path: Path) -> None:
    prediction, explained = world.LinearPredictor()(RECORD)
    low = dataclasses.replace(prediction.tasks[0], probability=0.05, risk_group="low")
    prediction = dataclasses.replace(prediction, tasks=(low,))
    args = (prediction, explained, ReadingReport(), world.settings(tmp_path), "https://x/{}".format)
    assert write_card(*args, drifting=("lactate",)) is None


def test_each_reason_of_the_adapters_has_words() -> None:
    """The first of two texts in a call or a tuple names why an item was left out."""
    makers = {"UnreadableText", "Unreadable", "UnreadableSamples", "leave_out", "_line"}
    found = set()
    for path in (Path(__file__).parents[2] / "fhir_adapters").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            words = [one.value for one in node.args if isinstance(one, ast.Constant)]
            if name in makers and words and isinstance(words[0], str):
                found.add(words[0])
    assert {"pdf", "empty", "absent", "unit", "implausible"} <= found
    assert found <= set(_LEFT_OUT), found - set(_LEFT_OUT)


def test_model_and_intended_use_are_said(tmp_path: Path) -> None:
    detail = _detail(tmp_path)
    assert "Model linear-test 1, as of 2026-11-23 12:00 UTC. Trained on nothing" in detail
    assert "not a medical device" in detail
    assert "open development mode" in detail


def test_times_are_shown_in_the_sites_zone(tmp_path: Path) -> None:
    settings = world.settings(tmp_path, display_time_zone="America/New_York")
    assert "2026-11-23 07:00 EST" in _detail(tmp_path, settings=settings)


def test_the_summary_marks_a_stale_reason(tmp_path: Path) -> None:
    old = dataclasses.replace(RECORD.measurements[0], time=world.NOW - timedelta(hours=30))
    card = _card(tmp_path, dataclasses.replace(RECORD, measurements=(old,)))
    assert card is not None
    assert card.summary.endswith("; raised most by: Lactate (stale).")


def test_the_summary_stays_short_with_long_names(tmp_path: Path) -> None:
    card = _card(tmp_path, task={"display": "very long outcome " * 20, "risk_group": "uncertain"})
    assert card is not None
    assert len(card.summary) < 140


def test_outside_the_intended_population_is_an_info_card(client: FlaskClient) -> None:
    prefetch = {**world.full_prefetch(), "patient": world.patient(birthDate="2020-01-01")}
    (card,) = client.post(URL, json=world.hook_request(prefetch)).json["cards"]
    assert card["indicator"] == "info"
    assert card["summary"] == "No risk estimate: The patient is younger than 18 years."
    assert "This says nothing about the patient's risk." in card["detail"]


def test_too_little_data_is_an_info_card(client: FlaskClient) -> None:
    empty = dict.fromkeys(world.full_prefetch())
    prefetch = {**empty, "patient": world.patient()}
    (card,) = client.post(URL, json=world.hook_request(prefetch)).json["cards"]
    assert card["summary"] == "No risk estimate: The chart holds too few data."


def test_the_negation_of_a_note_survives_the_whole_way(client: FlaskClient) -> None:
    prefetch = {**world.full_prefetch(), "notes": world.bundle([world.note("Denies chest pain.")])}
    (card,) = client.post(URL, json=world.hook_request(prefetch)).json["cards"]
    assert "[says that this is ABSENT]: “Denies chest pain.”" in card["detail"]
