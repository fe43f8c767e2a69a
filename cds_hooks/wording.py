"""What a card says. Markdown that reads well where it is shown as plain text.

Fixed order: risk and what it means, reasons, how far the reasons can be trusted, what was missing,
what may be considered next, which model. All text from data passes ``escape``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cds_hooks.cards import SUMMARY_LIMIT, Card, Indicator, Link, Source
from cds_hooks.escape import escaped, plain
from cds_hooks.limits import limits
from cds_hooks.override_reasons import OVERRIDE_REASONS
from cds_hooks.reasons import Moment, balance_sentence, reason_lines, shown_tokens
from cds_hooks.recommendations import next_steps
from cds_hooks.services import ORDER_KEYS
from cds_hooks.settings import Settings, Thresholds
from model.prediction import Explanation, Prediction, TaskPrediction, TokenAttribution
from model.record import ReadingReport

INDICATORS: tuple[Indicator, ...] = ("info", "warning", "critical")  # rising
_VERDICTS = (  # by the smallest share of findings that two methods have in common
    (0.8, "the methods agree well"),
    (0.5, "the methods agree in part"),
    (0.0, "the methods disagree, so read the reasons with caution"),
)
_LINE_LIMIT = 240
_NOTICE_REASONS = frozenset({"outcome-note"})  # a server's information, on every answer of some


@dataclass(frozen=True, slots=True)
class Written:
    """A card with the tokens that it names, the strongest first."""

    card: Card
    drivers: tuple[TokenAttribution, ...] = ()
    step_ids: Mapping[str, str] = field(default_factory=dict)  # by the suggestion's uuid

    @property
    def offered_steps(self) -> tuple[str, ...]:
        """The next steps that the card offers."""
        uuids = (one.uuid for one in self.card.suggestions)
        return tuple(self.step_ids[one] for one in uuids if one in self.step_ids)


def write_card(
    prediction: Prediction,
    explanation: Explanation | None,
    report: ReadingReport,
    settings: Settings,
    link_for: Callable[[str], str],
    steps: next_steps.NextSteps = next_steps.NONE,
    drifting: Sequence[str] = (),
) -> Written | None:
    """Return the card for a prediction; None where there is nothing to advise: low risk.

    What is incomplete, and the model's own warnings, make a low risk worth a card too: a risk
    from half of the chart, or from old values, is not the same as no concern. ``drifting``: the
    inputs that are far from training of late; alone they are no reason for a card.
    """
    report = _without_orders(report)
    card_uuid = str(uuid.uuid4())
    link = Link("Explanation with sources", link_for(card_uuid))
    source = Source(settings.source_label, icon=f"{settings.public_base_url.rstrip('/')}/icon.png")
    if not prediction.tasks:
        summary, detail = _no_estimate(prediction, report, settings)
        return Written(Card(card_uuid, summary, "info", source, detail, links=(link,)))
    warnings = prediction.applicability.warnings
    if all(_quiet(task, warnings, report, settings) for task in prediction.tasks):
        return None
    task = lead_task(prediction.tasks, settings)
    tokens = _drivers(explanation)
    card = Card(
        card_uuid,
        _summary(
            task,
            tokens if explanation and explanation.task == task.task else (),
            _moment(prediction, settings),
        ),
        indicator(task.probability, settings.thresholds_of(task.task)),
        source,
        _detail(prediction, explanation, tokens, report, settings, steps.paragraphs, drifting),
        suggestions=steps.suggestions,
        selection_behavior="any" if steps.suggestions else "",
        override_reasons=OVERRIDE_REASONS,
        links=(link,),
    )
    return Written(card, tokens, steps.step_ids)


def repeated_card(
    card: Card,
    prediction: Prediction,
    shown_at: datetime,
    shown: Mapping[str, float],
    settings: Settings,
) -> Card:
    """The short form of a card that the user has seen: the figures now and then, and when.

    ``shown``: the probability of each task, by its name, as the user saw it.
    """
    zone = ZoneInfo(settings.display_time_zone)
    when = f"{shown_at.astimezone(zone):%Y-%m-%d %H:%M %Z}"
    tasks = prediction.tasks
    moved = any(
        abs(task.probability - shown[task.task]) >= settings.cool_down.risk_step for task in tasks
    )
    unmoved = "" if moved else " and has not changed by much since"
    figures = [
        f"- Risk of {escaped(task.display, 60)}: {percent(task.probability)} now,"
        f" {percent(shown[task.task])} then"
        for task in tasks
    ]
    blocks = [
        f"The card with the reasons was shown to you at {when}{unmoved}. It is shown again when the"
        " risk has risen or some hours have passed; the link leads to the reasons as they are now.",
        "\n".join(figures),
        _open_mode(settings),
    ]
    said = _shown_figures(lead_task(tasks, settings), shown) if tasks else "No risk estimate,"
    return replace(
        card,
        summary=f"{said} as shown to you at {when}.",
        indicator="info",
        detail="\n\n".join(block for block in blocks if block),
        suggestions=(),
        selection_behavior="",
    )


def _shown_figures(task: TaskPrediction, shown: Mapping[str, float]) -> str:
    """The figure of a task as it was shown, after the one of now where that reads otherwise."""
    now, then = percent(task.probability), percent(shown[task.task])
    figures = f"{now}," if now == then else f"now {now}; {then}"
    return f"Risk of {plain(task.display, 40)}: {figures}"


def indicator(probability: float, thresholds: Thresholds) -> Indicator:
    """How urgent a probability is at this site."""
    if probability >= thresholds.critical_from:
        return "critical"
    return "warning" if probability >= thresholds.warning_from else "info"


def lead_task(tasks: Sequence[TaskPrediction], settings: Settings) -> TaskPrediction:
    """The task that the summary speaks of: the most urgent; of equals the first, explained one.

    Of those that are no more than information, one that is a reason for the card goes before one
    that is not: above its own ``card_from``, then in a risk group that is not silent.
    """

    def urgency(task: TaskPrediction) -> tuple[int, bool, bool]:
        thresholds = settings.thresholds_of(task.task)
        rank = INDICATORS.index(indicator(task.probability, thresholds))
        return rank, task.probability >= thresholds.card_from, _group_speaks(task, settings)

    return max(tasks, key=urgency)


def percent(probability: float) -> str:
    """Whole per cent; the ends are open, for no estimate is certain."""
    if probability < 0.01:
        return "below 1 %"
    return "above 99 %" if probability > 0.99 else f"{probability * 100:.0f} %"


def _quiet(
    task: TaskPrediction, warnings: Sequence[str], report: ReadingReport, settings: Settings
) -> bool:
    """Low risk, said by the model without doubt, from all the data that we asked for."""
    if settings.show_low_risk or task.probability >= settings.thresholds_of(task.task).card_from:
        return False
    if _group_speaks(task, settings):
        return False
    if warnings and not settings.quiet_despite_warnings:
        return False
    return all(
        line.reason in _NOTICE_REASONS or line.source in settings.quiet_despite_missing
        for line in report.incomplete
    )


def _group_speaks(task: TaskPrediction, settings: Settings) -> bool:
    """Whether its risk group is worth a card, however low the figure."""
    if task.risk_group == "uncertain":
        return not settings.quiet_when_uncertain
    return task.risk_group == "high"


def _without_orders(report: ReadingReport) -> ReadingReport:
    """Orders say nothing about the risk; where next steps need them, these say what is missing."""
    kept = tuple(line for line in report.incomplete if line.source not in ORDER_KEYS)
    return report if len(kept) == len(report.incomplete) else replace(report, incomplete=kept)


def _drivers(explanation: Explanation | None) -> tuple[TokenAttribution, ...]:
    return shown_tokens(explanation) if explanation and explanation.reliable else ()


def _summary(task: TaskPrediction, tokens: tuple[TokenAttribution, ...], moment: Moment) -> str:
    said = (
        f"Estimated risk of {plain(task.display, 60)}: {percent(task.probability)}"
        f" (average {percent(task.base_rate)})"
    )
    if task.risk_group == "uncertain":
        said += "; the model is uncertain"
    strongest = next((t for t in tokens if t.modality != "note" and t.shap_logit > 0), None)
    if strongest is not None and task.probability > task.base_rate:
        name = plain(getattr(strongest.evidence, "display", ""), 40)
        longer = f"{said}; raised most by: {name}{_stale_mark(strongest, moment)}"
        measured = getattr(strongest.evidence, "measured", True)
        if name and measured and len(longer) < SUMMARY_LIMIT - 1:
            said = longer
    return f"{said}."


def _stale_mark(token: TokenAttribution, moment: Moment) -> str:
    """Who reads only the summary has to see that a value is old."""
    time = getattr(token.evidence, "time", None) or getattr(token.evidence, "end", None)
    return " (stale)" if time is not None and moment.stale(time) else ""


def _detail(
    prediction: Prediction,
    explanation: Explanation | None,
    tokens: tuple[TokenAttribution, ...],
    report: ReadingReport,
    settings: Settings,
    steps: Sequence[str],
    drifting: Sequence[str],
) -> str:
    moment = _moment(prediction, settings)
    blocks = [_risk(task) for task in prediction.tasks]
    blocks.append("\n".join(_reasons(prediction.tasks, explanation, tokens, moment)).rstrip())
    blocks.append(_agreement(explanation))
    blocks += limits(prediction, report, drifting)
    blocks += steps
    blocks += _about(prediction, settings, moment)
    return "\n\n".join(block for block in blocks if block)


def _no_estimate(
    prediction: Prediction, report: ReadingReport, settings: Settings
) -> tuple[str, str]:
    moment = _moment(prediction, settings)
    reasons = [f"- {escaped(reason, _LINE_LIMIT)}" for reason in prediction.applicability.reasons]
    blocks = [
        "The model gives no estimate for this patient. This says nothing about the patient's risk.",
        "\n".join(["Why:", "", *reasons]) if reasons else "",
        *limits(prediction, report),
        *_about(prediction, settings, moment),
    ]
    first = plain(next(iter(prediction.applicability.reasons), "the model does not apply"))
    summary = plain(f"No risk estimate: {first}", SUMMARY_LIMIT - 1)
    return summary, "\n\n".join(block for block in blocks if block)


def _risk(task: TaskPrediction) -> str:
    name = escaped(task.display, 60)
    lines = [
        f"Estimated risk of {name}: {percent(task.probability)}."
        f" Of the patients that the model learnt from, {percent(task.base_rate)} had this outcome:"
        f" {_ratio(task)}."
    ]
    confidence = f"At {task.conformal_confidence * 100:.0f} % confidence"
    if task.risk_group == "uncertain":
        lines.append(
            f"The model is uncertain: {confidence.lower()} it cannot tell this patient from those"
            " with the outcome nor from those without it. Do not rely on the figure."
        )
    else:
        group = f"{task.risk_group}-risk group"
        lines.append(f"{confidence} the model places this patient in the {group}.")
    return " ".join(lines)


def _ratio(task: TaskPrediction) -> str:
    ratio = task.probability / task.base_rate if task.base_rate else 1.0
    if 0.8 <= ratio <= 1.25:
        return "about the average"
    if ratio > 1:
        return f"{ratio:.1f} times the average"
    if ratio > 0.6:
        return "below the average"
    return "about half of the average" if ratio >= 0.4 else "less than half of the average"


def _reasons(
    tasks: Sequence[TaskPrediction],
    explanation: Explanation | None,
    tokens: tuple[TokenAttribution, ...],
    moment: Moment,
) -> list[str]:
    if explanation is None:
        return ["There is no explanation for this estimate, so no reasons are shown."]
    if not explanation.reliable:
        why = escaped(explanation.unreliable_reason, _LINE_LIMIT)
        said = "Reasons are not shown: the explanation did not pass its own check"
        return [f"{said} ({why})." if why else f"{said}."]
    if not tokens:
        return ["No single finding stands out."]
    return [
        _heading(tasks, explanation),
        "",
        *reason_lines(tokens, moment),
        balance_sentence(explanation.by_modality),
    ]


def _heading(tasks: Sequence[TaskPrediction], explanation: Explanation) -> str:
    """Say which of several estimates the reasons are of."""
    if len(tasks) == 1:
        return "What moved this estimate most (association, not cause):"
    names = {task.task: escaped(task.display, 60) for task in tasks}
    return (
        f"What moved the estimate for {names[explanation.task]} most (association, not cause;"
        " the other estimates have no reasons here):"
    )


def _agreement(explanation: Explanation | None) -> str:
    """How far three ways of asking name the same findings, in a sentence."""
    if explanation is None or not explanation.reliable:
        return ""
    agreement = explanation.agreement
    parts, shares = [], []
    compared = agreement.shap_lime_note_compared
    if agreement.shap_lime_note_common is not None and compared:
        parts.append(
            f"SHAP and LIME agree on {agreement.shap_lime_note_common} of the {compared}"
            " strongest note sentences"
        )
        shares.append(agreement.shap_lime_note_common / compared)
    if agreement.attention_shap_top5 is not None:
        common = round(5 * agreement.attention_shap_top5)
        parts.append(
            f"the model's attention and SHAP agree on {common} of the 5 strongest findings"
        )
        shares.append(agreement.attention_shap_top5)
    if not parts:
        return "How far the reasons can be trusted: too few findings to compare methods."
    verdict = next(words for least, words in _VERDICTS if min(shares) >= least)
    return f"How far the reasons can be trusted: {verdict}. {_sentence_of(' and '.join(parts))}"


def _sentence_of(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _about(prediction: Prediction, settings: Settings, moment: Moment) -> list[str]:
    now = moment.now.astimezone(moment.zone)
    return [
        f"Model {escaped(prediction.model_name)} {escaped(prediction.model_version)},"
        f" as of {now:%Y-%m-%d %H:%M %Z}. {escaped(prediction.trained_on, 400)}"
        " For adult inpatients. Research software, not a medical device, and not validated at"
        " this hospital: it does not replace clinical judgement.",
        _open_mode(settings),
    ]


def _open_mode(settings: Settings) -> str:
    if settings.mode_auth != "open":
        return ""
    return "This service runs in open development mode: callers are not authenticated."


def _moment(prediction: Prediction, settings: Settings) -> Moment:
    return Moment(
        prediction.prediction_time,
        ZoneInfo(settings.display_time_zone),
        timedelta(hours=settings.stale_after_h),
    )
