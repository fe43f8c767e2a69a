"""What became of the cards that were shown: rates by indicator, driver, next step, week, reason.

A card has one outcome, with its reason: that of its latest feedback by ``outcomeTimestamp``. Its
accepted suggestions are those of all feedback about it: clients send an item for each click, and a
card that is overridden later leaves the orders that it led to. Rates are shares of the cards that
were answered, with 95 % Wilson intervals; a client reports nothing about a card that was ignored,
so the share of answered cards stands beside them. Only counts leave this module: no patient, user,
comment or identifier, and of override reasons only codes that we offer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, func, select

from cds_hooks import tables
from cds_hooks.chosen_rows import chosen_rows
from cds_hooks.database import reading
from cds_hooks.override_reasons import OVERRIDE_REASONS
from cds_hooks.rates import Rate, StepTally, Tally
from cds_hooks.store import Store

_REASONS = {
    (coding.system, coding.code): coding.display or coding.code for coding in OVERRIDE_REASONS
}
_NO_REASON = "no reason given"
_OTHER_REASON = "a code that we do not offer"
_NO_DRIVER = "no reasons shown"
_OLD_STEP = "not known (before schema version 3)"


@dataclass(slots=True)
class _Answer:
    """What was said about one card: suggestions by all feedback, the rest by the latest."""

    at: tuple[datetime, float]
    outcome: str
    reason: str
    comment: bool
    suggestions: frozenset[str]  # accepted

    def united(self, other: _Answer) -> _Answer:
        """Both as one."""
        latest = max(self, other, key=lambda one: one.at)
        return replace(latest, suggestions=self.suggestions | other.suggestions)


@dataclass(slots=True)
class FeedbackReport:
    """All groups. A card stands in one indicator and one week, and under each of its drivers
    and next steps."""

    all_cards: Tally = field(default_factory=Tally)
    by_indicator: dict[str, Tally] = field(default_factory=dict)
    by_driver: dict[str, Tally] = field(default_factory=dict)
    by_week: dict[str, Tally] = field(default_factory=dict)
    by_step: dict[str, StepTally] = field(default_factory=dict)
    delays_s: list[float] = field(default_factory=list)  # from card to feedback, each answered card
    reasons: Counter[str] = field(default_factory=Counter)  # of overridden cards
    with_comment: int = 0  # overridden cards with a comment
    suggestions_accepted: int = 0
    unknown_items: int = 0  # feedback about cards or suggestions that we did not send

    def reason_rates(self) -> dict[str, Rate]:
        """Share of each reason among overridden cards, the most frequent first."""
        whole = self.all_cards.overridden
        return {name: Rate(count, whole) for name, count in self.reasons.most_common()}

    def to_json(self) -> dict[str, Any]:
        """The report as `meam feedback --json` prints it."""
        return {
            "all": _group(self.all_cards),
            "byIndicator": {name: _group(one) for name, one in self.by_indicator.items()},
            "byDriver": {name: _group(one) for name, one in self.by_driver.items()},
            "byWeek": {name: _group(one) for name, one in self.by_week.items()},
            "byStep": {name: _group(one) for name, one in self.by_step.items()},
            "overrideReasons": {name: rate.to_json() for name, rate in self.reason_rates().items()},
            "overriddenWithComment": self.with_comment,
            "suggestionsAccepted": self.suggestions_accepted,
            "unknownItems": self.unknown_items,
        }


_AnyTally = TypeVar("_AnyTally", Tally, StepTally)


def feedback_report(
    store: Store,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    service_id: str | None = None,
    issuer: str | None = None,
    tenant: str | None = None,
) -> FeedbackReport:
    """Count cards shown in [since, until), whenever the feedback about them came."""
    report = FeedbackReport()
    choose = partial(
        chosen_rows, since=since, until=until, service_id=service_id, issuer=issuer, tenant=tenant
    )
    chosen = [tables.cards.c.shown.is_(True), *choose(tables.cards.c.created_s)]
    with reading(store.engine) as connection:
        answers = _answers(connection, chosen)
        cards = tables.cards.c
        wanted = select(cards.card_uuid, cards.created_s, cards.indicator, cards.drivers)
        for card in connection.execute(wanted.where(*chosen)):
            _count(report, card, answers.get(card.card_uuid))
        for card_uuid, suggestion_uuid, step_id in _offered(connection, chosen):
            tally = report.by_step.setdefault(step_id or _OLD_STEP, StepTally())
            answer = answers.get(card_uuid)
            tally.add(
                answered=answer is not None,
                accepted=answer is not None and suggestion_uuid in answer.suggestions,
            )
        # By their arrival: they have no card of ours to be dated by.
        report.unknown_items = _unknown(connection, choose(tables.feedback.c.received_s))
    report.by_indicator = _by_size(report.by_indicator)
    report.by_driver = _by_size(report.by_driver)
    report.by_step = _by_size(report.by_step)
    report.by_week = dict(sorted(report.by_week.items()))
    return report


def driver_name(token_id: str) -> str:
    """What a driver is counted as: a charted variable, a device channel, or notes as a whole."""
    modality, _, rest = token_id.partition("/")
    if modality == "note":
        return "notes"
    return f"{modality}: {rest.partition('/')[0]}"


def week_name(created_s: float) -> str:
    """ISO week of a moment in UTC: ``2026-W48``."""
    year, week, _ = datetime.fromtimestamp(created_s, UTC).isocalendar()
    return f"{year}-W{week:02d}"


def _group(tally: Tally | StepTally) -> dict[str, Any]:
    return {"cards": tally.cards, **{n: rate.to_json() for n, rate in tally.rates().items()}}


def _answers(connection: Connection, chosen: Iterable[Any]) -> Mapping[str, _Answer]:
    columns = tables.feedback.c
    wanted = (
        select(
            columns.card_uuid,
            columns.received_s,
            columns.outcome,
            columns.outcome_timestamp,
            columns.accepted,
            columns.reason_code,
            columns.reason_system,
            columns.known_suggestions,
            columns.comment.is_not(None).label("has_comment"),
        )
        .join(tables.cards, tables.cards.c.card_uuid == columns.card_uuid)
        .where(columns.known_card.is_(True), *chosen)
    )
    answers: dict[str, _Answer] = {}
    for row in connection.execute(wanted):
        item, before = _read(row), answers.get(row.card_uuid)
        answers[row.card_uuid] = before.united(item) if before else item
    return answers


def _read(row: Any) -> _Answer:
    at = datetime.fromisoformat(row.outcome_timestamp.upper())
    return _Answer(
        at=(at, row.received_s),
        outcome=row.outcome,
        reason=_reason(row.reason_system, row.reason_code),
        comment=row.has_comment,
        suggestions=frozenset(json.loads(row.accepted) if row.known_suggestions else ()),
    )


def _reason(system: str | None, code: str | None) -> str:
    if code is None or system is None:
        return _NO_REASON
    return _REASONS.get((system, code), _OTHER_REASON)


def _count(report: FeedbackReport, card: Any, answer: _Answer | None) -> None:
    outcome = answer.outcome if answer else None
    drivers = {driver_name(token) for token in json.loads(card.drivers)} or {_NO_DRIVER}
    groups = [
        report.all_cards,
        report.by_indicator.setdefault(card.indicator, Tally()),
        report.by_week.setdefault(week_name(card.created_s), Tally()),
        *(report.by_driver.setdefault(driver, Tally()) for driver in drivers),
    ]
    for group in groups:
        group.add(outcome)
    if answer is None:
        return
    report.delays_s.append(answer.at[0].timestamp() - card.created_s)
    report.suggestions_accepted += len(answer.suggestions)
    if answer.outcome == "overridden":
        report.reasons[answer.reason] += 1
        report.with_comment += answer.comment


def _unknown(connection: Connection, chosen: Iterable[Any]) -> int:
    columns = tables.feedback.c
    wanted = select(func.count()).where(~(columns.known_card & columns.known_suggestions), *chosen)
    return int(connection.execute(wanted).scalar_one())


def _offered(connection: Connection, chosen: Iterable[Any]) -> Iterable[Any]:
    """Each suggestion of the cards: card, suggestion, step."""
    columns = tables.suggestions.c
    wanted = (
        select(columns.card_uuid, columns.suggestion_uuid, columns.step_id)
        .join(tables.cards, tables.cards.c.card_uuid == columns.card_uuid)
        .where(*chosen)
    )
    return connection.execute(wanted)


def _by_size(groups: Mapping[str, _AnyTally]) -> dict[str, _AnyTally]:
    return dict(sorted(groups.items(), key=lambda item: (-item[1].cards, item[0])))
