"""All that the page shows, worked out beforehand: the template only places it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, tzinfo

from cds_hooks.explanation_page import agreement
from cds_hooks.explanation_page.completeness import Coverage, Source, coverage, sources_of
from cds_hooks.explanation_page.figures import PageClock, signed, value_text
from cds_hooks.explanation_page.note_view import Comparison, NoteView, note_views
from cds_hooks.explanation_page.reasons import (
    Group,
    Reason,
    ReasonTable,
    measured_and_not,
    not_measured,
    reason_tables,
    strongest_reasons,
)
from cds_hooks.explanation_page.risks import STRIP_TICKS, Risk, risk_of
from cds_hooks.explanation_page.timeline import Timeline, timeline
from cds_hooks.explanation_page.waterfall import Waterfall, waterfalls
from cds_hooks.reasons import background_text
from cds_hooks.stored_explanation import StoredExplanation
from model.prediction import Explanation
from model.record import ReportLine


@dataclass(frozen=True, slots=True)
class Why:
    """The explanation of one task."""

    display: str
    empty_logit: str  # before calibration, as the attributions are
    logit: str
    raising: tuple[Reason, ...]  # the strongest three
    lowering: tuple[Reason, ...]
    waterfalls: tuple[Waterfall, ...]
    measured: tuple[Group, ...]  # what values did, and what not measuring did
    tables: tuple[ReasonTable, ...]
    absent: ReasonTable
    notes: tuple[NoteView, ...]
    comparison: tuple[Comparison, ...]
    timeline: Timeline
    agreement: tuple[agreement.Comparison, ...]
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
    coverage: tuple[Coverage, ...]
    limitations: tuple[ReportLine, ...]
    left_out: tuple[ReportLine, ...]
    remarks: tuple[ReportLine, ...]
    model: str
    trained_on: str
    service: str
    card: str

    @property
    def row_of(self) -> dict[str, int]:
        """The number of each resource's row among the sources."""
        return {source.reference: source.number for source in self.sources}


def page_of(stored: StoredExplanation, zone: tzinfo = UTC) -> Page:
    """Return the page of one card, with all times in one zone."""
    prediction, record = stored.prediction, stored.record
    clock = PageClock(record.prediction_time, zone)
    risks = tuple(risk_of(task) for task in prediction.tasks)
    explanation = stored.explanation
    return Page(
        title=_title(risks),
        patient=record.demographics.source,
        about=_about(stored),
        predicted_at=clock.at(prediction.prediction_time),
        made_at=clock.at(stored.created_at),
        expires_at=clock.at(stored.expires_at),
        risks=risks,
        strip_ticks=STRIP_TICKS,
        not_applicable=() if prediction.applicability.applicable else _refusal(stored),
        warnings=prediction.applicability.warnings,
        unreliable=_unreliable(explanation),
        why=_why(stored, explanation, clock) if explanation and explanation.reliable else None,
        sources=sources_of(explanation),
        read=tuple(sorted(record.report.resources_read.items())),
        coverage=coverage(record, explanation, clock),
        # A card is stored with the report's own lines: each is shown once.
        limitations=tuple(dict.fromkeys((*stored.limitations, *record.report.incomplete))),
        remarks=record.report.remarks,
        left_out=record.report.left_out,
        model=f"{prediction.model_name} {prediction.model_version}",
        trained_on=prediction.trained_on,
        service=stored.service_id,
        card=stored.card_uuid,
    )


def _title(risks: tuple[Risk, ...]) -> str:
    if not risks:
        return "No risk estimate"
    return f"{risks[0].display.capitalize()}: {risks[0].percent}"


def _about(stored: StoredExplanation) -> str:
    person, stay = stored.record.demographics, stored.record.stay
    parts = [
        "" if person.age_years is None else value_text(math.floor(person.age_years), "a"),
        "" if person.sex == "unknown" else person.sex,
        background_text(stay.unit_type) if stay else "",
    ]
    return ", ".join(part for part in parts if part)


def _refusal(stored: StoredExplanation) -> tuple[str, ...]:
    return stored.prediction.applicability.reasons or ("The model does not apply here.",)


def _unreliable(explanation: Explanation | None) -> str:
    if explanation is None or explanation.reliable:
        return ""
    return explanation.unreliable_reason or "the explanation did not pass its own checks"


def _why(stored: StoredExplanation, explanation: Explanation, clock: PageClock) -> Why:
    tokens = explanation.tokens
    views, comparison = note_views(stored.record.notes, tokens, clock)
    display = {task.task: task.display for task in stored.prediction.tasks}
    return Why(
        display=display.get(explanation.task, explanation.task),
        empty_logit=signed(explanation.empty_logit),
        logit=signed(explanation.logit),
        raising=strongest_reasons(tokens, clock, raises=True),
        lowering=strongest_reasons(tokens, clock, raises=False),
        waterfalls=waterfalls(explanation),
        measured=measured_and_not(tokens),
        tables=reason_tables(tokens, clock),
        absent=not_measured(tokens, clock),
        notes=views,
        comparison=comparison,
        timeline=timeline(stored.record, tokens, clock),
        agreement=agreement.comparisons(explanation.agreement),
        method=agreement.method_text(explanation),
    )
