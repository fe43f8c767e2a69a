"""What became of the cards that were shown: rates by indicator, driver, week and override reason.

A card has one outcome: that of its latest feedback by ``outcomeTimestamp``. Rates are shares of the
cards that were answered, with 95 % Wilson intervals; a client reports nothing about a card that was
ignored, so the share of answered cards stands beside them. Only counts leave this module: no
patient, user, comment or identifier, and of override reasons only codes that we offer.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, select

from cds_hooks import tables
from cds_hooks.database import reading
from cds_hooks.override_reasons import OVERRIDE_REASONS
from cds_hooks.store import Store

_Z_95 = 1.959963984540054  # the 97.5 % quantile of the normal distribution
_REASONS = {
    (coding.system, coding.code): coding.display or coding.code for coding in OVERRIDE_REASONS
}
_NO_REASON = "no reason given"
_OTHER_REASON = "a code that we do not offer"
_NO_DRIVER = "no reasons shown"


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of ``of`` with its 95 % interval; nothing is known where ``of`` is 0."""

    count: int
    of: int

    def interval(self) -> tuple[float, float] | None:
        """Wilson's interval, which holds for small counts and for shares of 0 and 1."""
        if self.of == 0:
            return None
        share, z2 = self.count / self.of, _Z_95**2
        middle = share + z2 / (2 * self.of)
        spread = _Z_95 * math.sqrt(share * (1 - share) / self.of + z2 / (4 * self.of**2))
        whole = 1 + z2 / self.of
        return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)

    def to_json(self) -> dict[str, Any]:
        """Count and base; share and interval only where there is a base."""
        interval = self.interval()
        if interval is None:
            return {"count": self.count, "of": self.of}
        low, high = (round(end, 4) for end in interval)
        share = round(self.count / self.of, 4)
        return {"count": self.count, "of": self.of, "share": share, "low": low, "high": high}


@dataclass(slots=True)
class Tally:
    """Cards of one group."""

    cards: int = 0
    accepted: int = 0
    overridden: int = 0

    @property
    def answered(self) -> int:
        """Cards with feedback."""
        return self.accepted + self.overridden

    def add(self, outcome: str | None) -> None:
        """Count a card; ``outcome`` None: no feedback came."""
        self.cards += 1
        self.accepted += outcome == "accepted"
        self.overridden += outcome == "overridden"

    def rates(self) -> dict[str, Rate]:
        """Answered of all cards, accepted and overridden of those answered."""
        return {
            "answered": Rate(self.answered, self.cards),
            "accepted": Rate(self.accepted, self.answered),
            "overridden": Rate(self.overridden, self.answered),
        }


@dataclass(slots=True)
class FeedbackReport:
    """All groups. A card stands in one indicator and one week, and under each of its drivers."""

    all_cards: Tally = field(default_factory=Tally)
    by_indicator: dict[str, Tally] = field(default_factory=dict)
    by_driver: dict[str, Tally] = field(default_factory=dict)
    by_week: dict[str, Tally] = field(default_factory=dict)
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
            "overrideReasons": {name: rate.to_json() for name, rate in self.reason_rates().items()},
            "overriddenWithComment": self.with_comment,
            "suggestionsAccepted": self.suggestions_accepted,
            "unknownItems": self.unknown_items,
        }


@dataclass(slots=True)
class _Latest:
    """The latest feedback about one card."""

    at: tuple[datetime, float]
    outcome: str
    reason: str
    comment: bool
    suggestions: set[str]


def feedback_report(
    store: Store,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    service_id: str | None = None,
) -> FeedbackReport:
    """Count cards shown in [since, until), whenever the feedback about them came."""
    report = FeedbackReport()
    chosen = _chosen(since, until, service_id)
    with reading(store.engine) as connection:
        latest = _latest(connection, chosen)
        cards = tables.cards.c
        wanted = select(cards.card_uuid, cards.created_s, cards.indicator, cards.drivers)
        for card in connection.execute(wanted.where(*chosen)):
            _count(report, card, latest.get(card.card_uuid))
        report.unknown_items = _unknown(connection, since, until, service_id)
    report.by_indicator = _by_size(report.by_indicator)
    report.by_driver = _by_size(report.by_driver)
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


def _group(tally: Tally) -> dict[str, Any]:
    return {"cards": tally.cards, **{n: rate.to_json() for n, rate in tally.rates().items()}}


def _chosen(since: datetime | None, until: datetime | None, service_id: str | None) -> list[Any]:
    cards = tables.cards.c
    chosen: list[Any] = [cards.shown.is_(True)]
    if since is not None:
        chosen.append(cards.created_s >= since.timestamp())
    if until is not None:
        chosen.append(cards.created_s < until.timestamp())
    if service_id is not None:
        chosen.append(cards.service_id == service_id)
    return chosen


def _latest(connection: Connection, chosen: Iterable[Any]) -> Mapping[str, _Latest]:
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
    latest: dict[str, _Latest] = {}
    for row in connection.execute(wanted):
        item = _read(row)
        if row.card_uuid not in latest or latest[row.card_uuid].at < item.at:
            latest[row.card_uuid] = item
    return latest


def _read(row: Any) -> _Latest:
    at = datetime.fromisoformat(row.outcome_timestamp.upper())
    return _Latest(
        at=(at, row.received_s),
        outcome=row.outcome,
        reason=_reason(row.reason_system, row.reason_code),
        comment=row.has_comment,
        suggestions=set(json.loads(row.accepted)) if row.known_suggestions else set(),
    )


def _reason(system: str | None, code: str | None) -> str:
    if code is None or system is None:
        return _NO_REASON
    return _REASONS.get((system, code), _OTHER_REASON)


def _count(report: FeedbackReport, card: Any, answer: _Latest | None) -> None:
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
    report.suggestions_accepted += len(answer.suggestions)
    if answer.outcome == "overridden":
        report.reasons[answer.reason] += 1
        report.with_comment += answer.comment


def _unknown(
    connection: Connection, since: datetime | None, until: datetime | None, service_id: str | None
) -> int:
    """Items by their arrival: they have no card of ours to be dated by."""
    columns = tables.feedback.c
    wanted = select(func.count()).where(~(columns.known_card & columns.known_suggestions))
    if since is not None:
        wanted = wanted.where(columns.received_s >= since.timestamp())
    if until is not None:
        wanted = wanted.where(columns.received_s < until.timestamp())
    if service_id is not None:
        wanted = wanted.where(columns.service_id == service_id)
    return int(connection.execute(wanted).scalar_one())


def _by_size(groups: Mapping[str, Tally]) -> dict[str, Tally]:
    return dict(sorted(groups.items(), key=lambda item: (-item[1].cards, item[0])))
