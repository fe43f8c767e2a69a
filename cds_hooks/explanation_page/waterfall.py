"""Waterfalls: from the model's output without data, group by group, to that with the whole chart.

Every step is a row of a table and a strip of SVG that fills the row's height, so that the line
from one step to the next goes through. The strip is 240 wide and 100 high, and stretched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cds_hooks.explanation_page.bars import Bar, Scale
from cds_hooks.explanation_page.figures import logit_text, signed
from cds_hooks.explanation_page.reasons import group_title
from model.prediction import Explanation, GroupAttribution


@dataclass(frozen=True, slots=True)
class Step:
    """One group: where the sum stood before it and where it stands after it."""

    title: str
    findings: int
    bar: Bar  # from before to after; its ``zero`` is before
    after: float
    logit: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    """All steps of one way to group the findings. They end where the model's output is."""

    caption: str
    start: float
    start_text: str
    steps: tuple[Step, ...]
    end: float
    end_text: str


def waterfalls(explanation: Explanation) -> tuple[Waterfall, ...]:
    """Return the waterfalls by kind of data and by organ system, on one scale."""
    groupings = (
        ("By kind of data", explanation.by_modality),
        ("By organ system", explanation.by_organ_system),
    )
    places = [
        place for _, groups in groupings for place in _extent(explanation.empty_logit, groups)
    ]
    places += [explanation.empty_logit, explanation.logit]
    low, high = min(places), max(places)
    scale = Scale(low, high) if high - low > 1e-9 else Scale(low - 1.0, high + 1.0)
    return tuple(_waterfall(caption, groups, explanation, scale) for caption, groups in groupings)


def _ordered(groups: Sequence[GroupAttribution]) -> list[GroupAttribution]:
    return sorted(groups, key=lambda one: -abs(one.shap_logit))


def _extent(start: float, groups: Sequence[GroupAttribution]) -> list[float]:
    """Return how far each step reaches, its standard error among it."""
    places, reached = [], start
    for one in _ordered(groups):
        reached += one.shap_logit
        places += [reached - one.standard_error_logit, reached + one.standard_error_logit]
    return places


def _waterfall(
    caption: str, groups: Sequence[GroupAttribution], explanation: Explanation, scale: Scale
) -> Waterfall:
    steps = []
    reached = explanation.empty_logit
    for one in _ordered(groups):
        before, reached = reached, reached + one.shap_logit
        steps.append(_step(one, before, reached, scale))
    return Waterfall(
        caption=caption,
        start=scale.x(explanation.empty_logit),
        start_text=signed(explanation.empty_logit),
        steps=tuple(steps),
        end=scale.x(explanation.logit),
        end_text=signed(explanation.logit),
    )


def _step(one: GroupAttribution, before: float, after: float, scale: Scale) -> Step:
    left, right = sorted((scale.x(before), scale.x(after)))
    bar = Bar(
        zero=scale.x(before),
        x=left,
        width=max(round(right - left, 1), 1.0),
        raises=one.shap_logit >= 0,
        whisker_low=scale.x(after - one.standard_error_logit),
        whisker_high=scale.x(after + one.standard_error_logit),
    )
    return Step(
        title=group_title(one.group),
        findings=one.token_count,
        bar=bar,
        after=scale.x(after),
        logit=logit_text(one.shap_logit, one.standard_error_logit),
    )
