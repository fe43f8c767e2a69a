"""All that the page shows, worked out beforehand: the template only places it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cds_hooks.explanation_page.figures import PERCENT, clock, percent, signed, value_text
from cds_hooks.explanation_page.note_view import Comparison, NoteView, note_views
from cds_hooks.explanation_page.reasons import (
    Group,
    ReasonTable,
    group_title,
    groups,
    not_measured,
    reason_tables,
    strongest,
)
from cds_hooks.explanation_page.timeline import Timeline, timeline
from cds_hooks.stored_explanation import StoredExplanation
from model.prediction import Agreement, Explanation, TaskPrediction
from model.record import ReportLine

_RISK_STRIP_LOGITS = 5.0  # the strip runs from 0.7 % to 99.3 %
_RISK_STRIP_TICKS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class Risk:
    """One task's risk with its place on a strip from 0 to 100 (log-odds scale)."""

    display: str
    percent: str
    base_rate: str
    ratio: str
    place: float
    base_place: float
    conformal: str
    indicator: str  # "low", "high", "uncertain"


@dataclass(frozen=True, slots=True)
class Source:
    """One FHIR resource and what was taken from it."""

    reference: str
    used_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Why:
    """The explanation of one task."""

    display: str
    empty_logit: str  # before calibration, as the attributions are
    logit: str
    modalities: tuple[Group, ...]
    systems: tuple[Group, ...]
    tables: tuple[ReasonTable, ...]
    absent: ReasonTable
    notes: tuple[NoteView, ...]
    comparison: tuple[Comparison, ...]
    timeline: Timeline
    agreement: tuple[str, ...]
    method: str


@dataclass(frozen=True, slots=True)
class Page:
    """The whole page."""

    title: str
    patient: str
    about: str  # age and sex, as far as the chart says
    predicted_at: str
    made_at: str
    expires_at: str
    risks: tuple[Risk, ...]
    strip_ticks: tuple[tuple[float, str], ...]
    not_applicable: tuple[str, ...]
    warnings: tuple[str, ...]
    unreliable: str  # why the reasons are not shown, "" where they are
    why: Why | None
    sources: tuple[Source, ...]
    read: tuple[tuple[str, int], ...]
    used: tuple[tuple[str, int], ...]
    limitations: tuple[ReportLine, ...]
    left_out: tuple[ReportLine, ...]
    remarks: tuple[ReportLine, ...]
    model: str
    trained_on: str
    service: str
    card: str


def page_of(stored: StoredExplanation) -> Page:
    """Return the page of one card."""
    prediction, record = stored.prediction, stored.record
    risks = tuple(_risk(task) for task in prediction.tasks)
    explanation = stored.explanation
    return Page(
        title=f"{risks[0].display.capitalize()}: {risks[0].percent}" if risks else "No prediction",
        patient=record.demographics.source,
        about=_about(stored),
        predicted_at=clock(prediction.prediction_time),
        made_at=clock(stored.created_at),
        expires_at=clock(stored.expires_at),
        risks=risks,
        strip_ticks=tuple((_place(p), f"{100 * p:.0f}{PERCENT}") for p in _RISK_STRIP_TICKS),
        not_applicable=() if prediction.applicability.applicable else _refusal(stored),
        warnings=prediction.applicability.warnings,
        unreliable=_unreliable(explanation),
        why=_why(stored, explanation) if explanation and explanation.reliable else None,
        sources=_sources(explanation),
        read=tuple(sorted(record.report.resources_read.items())),
        used=_values_used(stored),
        # A card is stored with the report's own lines: each is shown once.
        limitations=tuple(dict.fromkeys((*stored.limitations, *record.report.incomplete))),
        remarks=record.report.remarks,
        left_out=record.report.left_out,
        model=f"{prediction.model_name} {prediction.model_version}",
        trained_on=prediction.trained_on,
        service=stored.service_id,
        card=stored.card_uuid,
    )


def _about(stored: StoredExplanation) -> str:
    person, stay = stored.record.demographics, stored.record.stay
    parts = [
        "" if person.age_years is None else value_text(math.floor(person.age_years), "a"),
        "" if person.sex == "unknown" else person.sex,
        stay.unit_type if stay else "",
    ]
    return ", ".join(part for part in parts if part)


def _risk(task: TaskPrediction) -> Risk:
    ratio = task.probability / task.base_rate if task.base_rate else 1.0
    return Risk(
        display=task.display,
        percent=percent(task.probability),
        base_rate=percent(task.base_rate),
        ratio=_ratio_text(ratio),
        place=_place(task.probability),
        base_place=_place(task.base_rate),
        conformal=_conformal_text(task),
        indicator=task.risk_group,
    )


def _ratio_text(ratio: float) -> str:
    if 0.9 <= ratio <= 1.1:
        return "about the average"
    return f"{ratio:.1f} times the average"


def _conformal_text(task: TaskPrediction) -> str:
    confidence = f"At {percent(task.conformal_confidence)} confidence (conformal prediction)"
    if len(task.conformal_set) == 1:
        return f"{confidence} one outcome is left: “{task.conformal_set[0]}”."
    if not task.conformal_set:
        return f"{confidence} no outcome is left: the patient is unlike the training data."
    outcomes = " and ".join(f"“{outcome}”" for outcome in task.conformal_set)
    return f"{confidence} {outcomes} are both possible: the model is uncertain."


def _place(share: float) -> float:
    """Return the place on the risk strip, 0..100, linear in log-odds."""
    bounded = min(max(share, 1e-6), 1 - 1e-6)
    logit = math.log(bounded / (1 - bounded))
    half = min(max(logit / _RISK_STRIP_LOGITS, -1.0), 1.0)
    return round(50 + 50 * half, 2)


def _refusal(stored: StoredExplanation) -> tuple[str, ...]:
    return stored.prediction.applicability.reasons or ("The model does not apply here.",)


def _unreliable(explanation: Explanation | None) -> str:
    if explanation is None or explanation.reliable:
        return ""
    return explanation.unreliable_reason or "the explanation did not pass its own checks"


def _why(stored: StoredExplanation, explanation: Explanation) -> Why:
    now = stored.record.prediction_time
    tokens = explanation.tokens
    views, comparison = note_views(stored.record.notes, tokens)
    display = {task.task: task.display for task in stored.prediction.tasks}
    return Why(
        display=display.get(explanation.task, explanation.task),
        empty_logit=signed(explanation.empty_logit),
        logit=signed(explanation.logit),
        modalities=groups(explanation.by_modality),
        systems=groups(explanation.by_organ_system),
        tables=reason_tables(tokens, now),
        absent=not_measured(tokens, now),
        notes=views,
        comparison=comparison,
        timeline=timeline(stored.record, tokens),
        agreement=agreement_sentences(explanation.agreement),
        method=_method(explanation),
    )


def agreement_sentences(agreement: Agreement) -> tuple[str, ...]:
    """Say how far three ways of asking name the same findings."""
    common, compared = agreement.shap_lime_note_common, agreement.shap_lime_note_compared
    if common is None or not compared:
        notes = "There are too few note sentences to compare SHAP with LIME."
    else:
        notes = f"SHAP and LIME agree on {common} of the {compared} strongest note sentences."
    if agreement.attention_shap_top5 is None:
        return (notes, "There are too few findings to compare attention with SHAP.")
    shared = round(5 * agreement.attention_shap_top5)
    attention = f"The model's attention is on {shared} of the 5 findings that SHAP puts first"
    if agreement.attention_shap_spearman is None:
        return (notes, f"{attention}.")
    rank = signed(agreement.attention_shap_spearman)
    return (notes, f"{attention} (rank correlation {rank}).")


def _method(explanation: Explanation) -> str:
    return (
        f"Shapley values from {explanation.coalition_evaluations} coalitions (seed"
        f" {explanation.seed}); they sum to the model's output within"
        f" {abs(explanation.efficiency_gap_logit):.1g} logits."
    )


def _sources(explanation: Explanation | None) -> tuple[Source, ...]:
    """Return each FHIR resource with what it gave, those of the strongest reasons first."""
    if explanation is None:
        return ()
    used: dict[str, dict[str, None]] = {}
    for token in strongest(explanation.tokens):
        name = getattr(token.evidence, "display", "") or getattr(token.evidence, "note_type", "")
        for reference in token.sources:
            used.setdefault(reference, {})[name] = None
    return tuple(Source(reference, tuple(names)) for reference, names in used.items())


def _values_used(stored: StoredExplanation) -> tuple[tuple[str, int], ...]:
    used = stored.record.report.values_used
    return tuple((group_title(name), count) for name, count in used.items())
