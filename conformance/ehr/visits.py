"""Charts as they were opened: cards stay as they are until the chart is opened again.

An EHR does not call the hook again because somebody pressed a button on a card. So what was opened
is held for a while, with what became of each card and suggestion. That is also how a button that
was pressed stays pressed, in every tab and after a reload.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.ehr.cds_client import Exchange, FeedbackSent
from conformance.ehr.chart import ChartView, OpenedPatient

_HELD = 40  # charts; each holds what was prefetched for it


@dataclass
class Visit:
    """One opening of a chart."""

    patient_id: str
    opened: OpenedPatient
    chart: ChartView
    exchanges: list[Exchange]
    problem: str  # why no service was asked
    accepted: dict[str, str] = field(default_factory=dict)  # suggestion uuid: what was created
    overridden: dict[str, str] = field(default_factory=dict)  # card uuid: the reason given
    feedback: list[FeedbackSent] = field(default_factory=list)
    number: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    busy: threading.Lock = field(default_factory=threading.Lock)  # one decision at a time

    def settled(self, card: Any) -> bool:
        """Whether nothing of a card can be accepted any more."""
        if card.uuid in self.overridden or not card.acceptable:
            return True
        taken = any(suggestion.uuid in self.accepted for suggestion in card.suggestions)
        return taken and card.selection_behavior == "at-most-one"

    def closed_for(self, card_uuid: str) -> bool:
        """Whether a form of this card, perhaps of an older page, comes too late."""
        cards = (card for exchange in self.exchanges for card in exchange.cards)
        return any(self.settled(card) for card in cards if card.uuid == card_uuid)


class Visits:
    """The visits of this run; the oldest are forgotten."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Visit] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, visit: Visit) -> Visit:
        """Hold a visit and return it."""
        with self._lock:
            self._held[visit.number] = visit
            while len(self._held) > _HELD:
                self._held.popitem(last=False)
        return visit

    def find(self, form: Mapping[str, str], patient_id: str) -> Visit | None:
        """Return the visit that a form or an address names; None if it is not held any more."""
        with self._lock:
            visit = self._held.get(form.get("visit", ""))
        return visit if visit and visit.patient_id == patient_id else None
