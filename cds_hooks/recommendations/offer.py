"""Which next steps a card offers: those that address what raises this patient's estimate.

A step is offered where its conditions hold, nothing like it is ordered, and it addresses something
that raises the estimate. Steps come in the order of the share of all that raises it. Conditions
are asked last, and only until the card is full: they are the slow part.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from cds_hooks.cards import Action, Suggestion
from cds_hooks.escape import escaped, plain
from cds_hooks.recommendations.conditions import ConditionFailed, compiled, holds
from cds_hooks.recommendations.library import load_steps
from cds_hooks.recommendations.next_steps import NONE, NextSteps
from cds_hooks.recommendations.orders import Orders, orders_of
from cds_hooks.recommendations.patient_data import PatientData, patient_data
from cds_hooks.recommendations.resources import created_by, identifiers
from cds_hooks.recommendations.step import Step
from cds_hooks.risk_assessment import risk_assessment
from cds_hooks.settings import Settings
from cds_hooks.telemetry import logger
from fhir_adapters.chart import Chart
from model.prediction import Explanation, Prediction, TokenAttribution
from model.record import PatientRecord

KEEP_ESTIMATE = "(keep estimate)"  # counted like a step; no id of FHIR has parentheses
_STRONGEST = 5
_LINE_LIMIT = 160


@dataclass(frozen=True, slots=True)
class Offered:
    """A step with what it addresses, the strongest first."""

    step: Step
    share: float  # of all that raises the estimate, 0..1
    tokens: tuple[TokenAttribution, ...]
    strongest: int  # how many of the strongest reasons it addresses
    of: int  # that many reasons are counted, at most five


@dataclass(frozen=True, slots=True)
class Recommender:
    """The steps of this site. One object for a process."""

    settings: Settings
    steps: tuple[Step, ...] = field(default=())

    def offer(
        self,
        chart: Chart,
        record: PatientRecord,
        prediction: Prediction,
        explanation: Explanation | None,
    ) -> NextSteps:
        """Return the steps for a card that is urgent enough, nothing for any other."""
        if explanation is None or not self._urgent(prediction, explanation):
            return NONE
        orders = orders_of(chart, record.report)
        offered = self._applicable(
            ranked(self.steps, explanation), patient_data(record, prediction), orders
        )
        if not offered:
            return NONE
        suggestions = [_suggestion(one, record, recommended(one, offered)) for one in offered]
        names = [one.step.id for one in offered]
        if self.settings.recommendations.file_risk_assessment:
            suggestions.append(_filing(record, prediction, explanation))
            names.append(KEEP_ESTIMATE)
        step_ids = {one.uuid: name for one, name in zip(suggestions, names, strict=True)}
        return NextSteps((_block(offered, orders),), tuple(suggestions), step_ids)

    def _urgent(self, prediction: Prediction, explanation: Explanation) -> bool:
        """Whether the explained estimate is high enough, and its reasons can be relied on."""
        task = next((one for one in prediction.tasks if one.task == explanation.task), None)
        if task is None or not explanation.reliable:
            return False
        limits = self.settings.thresholds_of(task.task)
        least = {
            "info": limits.card_from,
            "warning": limits.warning_from,
            "critical": limits.critical_from,
        }
        return task.probability >= least[self.settings.recommendations.show_from]

    def _applicable(
        self, candidates: list[Offered], data: PatientData, orders: Orders
    ) -> list[Offered]:
        chosen: list[Offered] = []
        for one in candidates:
            if len(chosen) == self.settings.recommendations.most:
                break
            if not orders.holds(one.step.activity["code"]) and applies(one.step, data):
                chosen.append(one)
        return chosen


def new_recommender(settings: Settings) -> Recommender:
    """Read the library, and parse its conditions before the first request. Raises SettingsError."""
    wanted = settings.recommendations
    steps = load_steps(wanted.folder, wanted.disabled) if wanted.show else ()
    for step in steps:
        for condition in step.conditions:
            compiled(condition.expression)
    return Recommender(settings, steps)


def ranked(steps: tuple[Step, ...], explanation: Explanation) -> list[Offered]:
    """Order steps by the share of the risk-raising attribution that they address; drop the rest."""
    raising = [
        token for token in explanation.tokens if token.shap_logit > token.shap_standard_error_logit
    ]
    raising.sort(key=lambda token: (-token.shap_logit, token.token_id))
    total = sum(token.shap_logit for token in raising)
    strongest = raising[:_STRONGEST]
    found = []
    for step in steps:
        tokens = tuple(token for token in raising if step.addresses(token))
        if tokens and total > 0:
            share = sum(token.shap_logit for token in tokens) / total
            count = sum(step.addresses(token) for token in strongest)
            found.append(Offered(step, share, tokens, count, len(strongest)))
    return sorted(found, key=lambda one: (-one.share, one.step.id))


def applies(step: Step, data: PatientData) -> bool:
    """Whether all conditions of a step hold. One that fails is logged, and the step skipped."""
    try:
        return all(holds(one.expression, data) is True for one in step.conditions)
    except ConditionFailed as exc:
        logger().error("a next step was skipped: a condition failed", step=step.id, why=str(exc))
        return False


def recommended(one: Offered, offered: list[Offered]) -> bool | None:
    """`isRecommended` singles one out of several; it says nothing where there is one."""
    return one is offered[0] if len(offered) > 1 else None


def _suggestion(offered: Offered, record: PatientRecord, marked: bool | None) -> Suggestion:
    step, name = offered.step, str(uuid.uuid4())
    what = "order proposal" if step.kind == "ServiceRequest" else "task proposal"
    action = Action(
        "create",
        plain(f"Create a draft {what}: {step.activity['code']['text']}", _LINE_LIMIT),
        created_by(step, record, offered.tokens, name),
    )
    return Suggestion(plain(step.title, _LINE_LIMIT), name, (action,), marked)


def _filing(record: PatientRecord, prediction: Prediction, explanation: Explanation) -> Suggestion:
    resource = risk_assessment(record, prediction, explanation)
    del resource["id"]  # a server gives one when it creates
    name = str(uuid.uuid4())
    resource["identifier"] = identifiers(name)
    action = Action("create", "Create a RiskAssessment with this estimate", resource)
    return Suggestion("Keep this estimate in the chart", name, (action,), False)


def _block(offered: list[Offered], orders: Orders) -> str:
    lines = ["Next steps to consider (options, not orders; the clinician decides):", ""]
    lines += _lines(offered)
    if orders.unread:
        why = escaped("; ".join(orders.unread), 2 * _LINE_LIMIT)
        lines += [
            "",
            f"One of these may be ordered already. Active orders could not be read: {why}.",
        ]
    return "\n".join(lines)


def _lines(offered: list[Offered]) -> Iterator[str]:
    for one in offered:
        cited = "; ".join(escaped(citation.label, 80) for citation in one.step.citations)
        reasons = "reason" if one.of == 1 else f"{one.of} strongest reasons"
        said = (
            f"addresses {one.strongest} of the {reasons} that raise the estimate"
            if one.strongest
            else "addresses lesser reasons that raise the estimate"
        )
        yield f"- {escaped(one.step.title, _LINE_LIMIT)} – {said} ({cited})"
