"""The numbers on the explanation page are those of the explanation."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from cds_hooks.explanation_page.agreement import comparisons
from cds_hooks.explanation_page.bars import Scale
from cds_hooks.explanation_page.completeness import coverage, sources_of
from cds_hooks.explanation_page.curve import Frame, axes_for
from cds_hooks.explanation_page.figures import PageClock, logit_text, number, signed, value_text
from cds_hooks.explanation_page.model_card import model_card
from cds_hooks.explanation_page.page import page_of
from cds_hooks.explanation_page.reasons import is_measured, measured_and_not
from cds_hooks.explanation_page.risks import risk_of
from cds_hooks.explanation_page.usual_ranges import usual_range
from cds_hooks.explanation_page.visible import visible
from cds_hooks.explanation_page.waterfall import waterfalls
from model.prediction import Agreement
from tests.cds_hooks.explained_patient import stored_explanation

STORED = stored_explanation()
EXPLANATION = STORED.explanation
CLOCK = PageClock(STORED.record.prediction_time)
assert EXPLANATION is not None


def test_each_waterfall_goes_from_the_empty_chart_to_the_whole_one() -> None:
    for fall in waterfalls(EXPLANATION):
        assert fall.start_text == signed(EXPLANATION.empty_logit)
        assert fall.end_text == signed(EXPLANATION.logit)
        assert fall.steps[0].bar.zero == fall.start
        assert fall.steps[-1].after == pytest.approx(fall.end, abs=0.2)
        for before, step in zip(fall.steps, fall.steps[1:], strict=False):
            assert step.bar.zero == before.after, "each step begins where the last one ended"


def test_steps_say_the_sums_and_errors_of_their_groups() -> None:
    for fall, groups in zip(
        waterfalls(EXPLANATION),
        (EXPLANATION.by_modality, EXPLANATION.by_organ_system),
        strict=True,
    ):
        expected = {logit_text(one.shap_logit, one.standard_error_logit) for one in groups}
        assert {step.logit for step in fall.steps} == expected
        assert len(fall.steps) == len(groups)


def test_steps_are_drawn_to_scale() -> None:
    fall = waterfalls(EXPLANATION)[0]
    sizes = {one.group: abs(one.shap_logit) for one in EXPLANATION.by_modality}
    widths = [step.bar.width for step in fall.steps]
    ratios = [w / s for w, s in zip(widths, sorted(sizes.values(), reverse=True), strict=True)]
    assert max(ratios) == pytest.approx(min(ratios), rel=0.02)


def test_values_and_what_was_not_measured_add_up() -> None:
    rows = measured_and_not(EXPLANATION.tokens)
    for row, measured in zip(rows, (True, False), strict=True):
        own = [t for t in EXPLANATION.tokens if is_measured(t) == measured]
        assert row.logit == signed(sum(t.shap_logit for t in own))
        assert row.tokens == len(own)


def test_the_first_reasons_are_the_strongest_of_each_sign() -> None:
    why = page_of(STORED).why
    assert why is not None
    assert [one.what for one in why.raising][:2] == [
        "Lactate",
        "“Septic shock from a urinary source, started on noradrenaline.”",
    ]
    assert why.lowering[0].what == "Glasgow Coma Scale"


def test_every_resource_of_every_finding_has_a_row() -> None:
    rows = {one.reference for one in sources_of(EXPLANATION)}
    assert rows == {source for token in EXPLANATION.tokens for source in token.sources}


def test_completeness_counts_what_is_there() -> None:
    structured, notes, devices = coverage(STORED.record, EXPLANATION, CLOCK)
    assert structured.held == "24 values of 6 variables"
    assert structured.findings == "6 findings, 2 variables never measured"
    assert notes.held == "7 sentences of 1 note"
    assert notes.newest == "23 Nov 2026, 02:40 UTC (5 h before)"
    assert devices.held.startswith("2 channels, ")


def test_completeness_says_nothing_where_there_is_nothing() -> None:
    record = dataclasses.replace(STORED.record, notes=(), device_series=(), measurements=())
    assert {row.held for row in coverage(record, EXPLANATION, CLOCK)} == {"nothing"}
    assert {row.newest for row in coverage(record, EXPLANATION, CLOCK)} == {"none"}


@pytest.mark.parametrize(
    ("common", "word"), [(5, "does not hang on the method"), (3, "some do"), (1, "read the notes")]
)
def test_agreement_is_explained(common: int, word: str) -> None:
    shap_lime, _ = comparisons(Agreement(None, None, common, 5))
    assert (
        shap_lime.sentence == f"SHAP and LIME agree on {common} of the 5 strongest note sentences."
    )
    assert word in shap_lime.meaning


def test_too_few_findings_are_not_compared() -> None:
    for one in comparisons(Agreement(None, None, None, None)):
        assert one.common is None
        assert "too few" in one.sentence


def test_the_laboratory_range_goes_before_the_score() -> None:
    own = [one for one in STORED.record.measurements if one.variable == "lactate"]
    assert usual_range("lactate", own) is None
    stated = [*own[:-1], dataclasses.replace(own[-1], reference_low=0.5, reference_high=2.0)]
    found = usual_range("lactate", stated)
    assert found is not None
    assert found.text == "laboratory's range 0.5 to 2"
    rate = usual_range("heart_rate")
    assert rate is not None
    assert rate.text == "no NEWS2 points 51 to 90"


@pytest.mark.parametrize(
    ("values", "shown", "written"),
    [
        ((140.0, 142.0), (135.0, 145.0), (135.0, 145.0)),  # inside: all, so that noise stays small
        ((150.0, 160.0), (142.75, 160.0), (145.0, 160.0)),  # above: the range's edge is seen
        ((120.0, 130.0), (120.0, 137.25), (120.0, 135.0)),  # below
        ((130.0, 150.0), (130.0, 150.0), (130.0, 150.0)),  # across
    ],
)
def test_axes_show_where_values_stand(
    values: tuple[float, float], shown: tuple[float, float], written: tuple[float, float]
) -> None:
    """At the axis stand numbers of the chart or of the range, none that only fits a frame."""
    axes = axes_for(Frame(340.0), 0.0, 3600.0, np.array(values), (135.0, 145.0))
    assert (axes.low, axes.high) == pytest.approx(shown)
    assert (axes.low_mark, axes.high_mark) == pytest.approx(written)


def test_a_flat_curve_has_one_number_at_its_axis() -> None:
    """A Glasgow Coma Scale of 15 throughout has no 16 above it."""
    why = page_of(STORED).why
    assert why is not None
    (chart,) = [one for one in why.timeline.charted if one.title == "Glasgow Coma Scale"]
    assert [tick.text for tick in chart.value_ticks] == ["15"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *(
            (0.029, "0.029"),
            (0.0041, "0.0041"),
            (1e-300, "almost 0"),
            (4.0, "4"),
            (0.0, "0"),
            (-0.5, "\N{MINUS SIGN}0.5"),
        ),
        *((7.412, "7.41"), (38.96, "39"), (1234.6, "1235"), (6766.0, "6766")),
    ],
)
def test_numbers_keep_what_was_measured(value: float, said: str) -> None:
    assert number(value) == said


def test_an_age_is_whole_and_nothing_has_no_sign() -> None:
    assert value_text(46.6, "a") == "46 years"
    assert signed(-0.001) == signed(0.001) == "0.00"


def test_times_stand_in_the_zone_of_the_cards() -> None:
    clock = PageClock(datetime(2026, 10, 25, 6, 0, tzinfo=UTC), ZoneInfo("Europe/Vienna"))
    assert clock.at(clock.now) == "25 Oct 2026, 07:00 CET"
    summer = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)
    assert clock.with_age(summer) == "24 Oct 2026, 22:00 CEST (10 h before)"
    assert clock.span(summer, clock.now) == "24 Oct 22:00 CEST to 07:00 CET"
    assert clock.short(summer) == "24 Oct 22:00 CEST"


def test_ages_are_whole_as_on_the_card() -> None:
    clock = PageClock(datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
    for minutes, said in ((12.9, "12 min"), (44.6 * 60, "44 h"), (71.9 * 60, "2 days")):
        assert clock.with_age(clock.now - timedelta(minutes=minutes)).endswith(f"({said} before)")


@pytest.mark.parametrize("group", ["low", "high", "uncertain"])
def test_a_conformal_set_is_no_forecast(group: str) -> None:
    task = dataclasses.replace(STORED.prediction.tasks[0], risk_group=group)
    said = risk_of(task).conformal
    assert "dies" not in said
    expected = "The model is uncertain" if group == "uncertain" else f"in the {group}-risk group."
    assert expected in said


def test_a_scale_without_extent_is_still_a_scale() -> None:
    still = dataclasses.replace(
        EXPLANATION, by_modality=(), by_organ_system=(), logit=EXPLANATION.empty_logit
    )
    assert waterfalls(still)[0].start == Scale(-1.0, 1.0).x(0.0)


def test_text_cannot_hide_or_turn() -> None:
    text = visible(
        "not\u202e evig\u200b \u0007" + "e" + "\u0301" * 50 + " \U0001f468\u200d\U0001f469"
    )
    assert text.startswith("not[U+202E] evig [U+0007]")
    assert len(re.findall("\u0301", text)) <= 4
    assert "\u200d" in text, "emoji keep their joiner"


def test_a_model_card_holds_no_tags_of_its_own() -> None:
    card = model_card("# Model card: meam-risk 0.1.0\n\n<script>x</script> ![p](http://e.test/p)\n")
    assert card.is_of("meam-risk 0.1.0")
    assert not card.is_of("meam-risk 0.2.0")
    assert "<script" not in card.html
    assert "<img" not in card.html
