"""A finding that a user has just seen for a patient is not shown again, unless it grew.

Alerts that repeat themselves teach clinicians to click them away. What was shown is remembered by
a keyed fingerprint of caller, user and patient, with the risk of every task encrypted, until the
cool-down is over. In shadow mode nothing was seen, so nothing is remembered or held back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, select

from cds_hooks.audit import append_audit
from cds_hooks.cards import Card, Indicator
from cds_hooks.database import insert_once, reading, writing
from cds_hooks.errors import KeyLost
from cds_hooks.pipeline import Advice
from cds_hooks.request import HookRequest
from cds_hooks.services import ORDER_KEYS
from cds_hooks.settings import CoolDown, Settings
from cds_hooks.store import Store
from cds_hooks.tables import place, shown_findings
from cds_hooks.trust import Caller
from cds_hooks.wording import INDICATORS, indicator, repeated_card

_PURPOSE = "cool-down"
_FORMAT = "2"  # of what is sealed, a part of the key: what was sealed otherwise is not found


class Figure(NamedTuple):
    """What a card says of one task."""

    probability: float
    indicator: Indicator

    def worse_than(self, before: Figure, risk_step: float) -> bool:
        """Whether the risk grew by the step, or became more urgent."""
        grew = self.probability >= before.probability + risk_step
        return grew or INDICATORS.index(self.indicator) > INDICATORS.index(before.indicator)


@dataclass(frozen=True, slots=True)
class Shown:
    """What was shown of a patient the last time."""

    at: datetime
    tasks: Mapping[str, Figure]  # by name; empty: the card said that there is no estimate
    hook_instance: str
    missing: frozenset[str] = frozenset()  # parts of the chart that were not wholly read

    def covers(self, now: Shown, risk_step: float) -> bool:
        """Whether a clinician who saw this learns nothing from ``now``."""
        if now.hook_instance == self.hook_instance:
            return False  # the same call again: its first answer may not have arrived
        if now.missing - self.missing:
            return False  # a figure that fell because the laboratory is gone is no relief
        return self.tasks.keys() == now.tasks.keys() and not any(
            figure.worse_than(self.tasks[name], risk_step) for name, figure in now.tasks.items()
        )


@dataclass(frozen=True, slots=True)
class CoolDowns:
    """The memory of what was shown, in the service's database."""

    store: Store
    settings: Settings
    count: Callable[[], None]  # called for each card that is held back

    @property
    def _limits(self) -> CoolDown:
        return self.settings.cool_down

    @property
    def _rests(self) -> bool:
        return not self._limits.hours or self.settings.mode == "shadow"

    def quieten(self, advice: Advice, request: HookRequest, caller: Caller) -> Advice:
        """Return the advice without its card, or with a short one, where it was seen already.

        Returns the same object where the card is to be shown.
        """
        if self._rests or advice.written is None:
            return advice
        before = self._before(_key(advice, request, caller))
        if before is None or not before.covers(
            _now(advice, request, self.settings), self._limits.risk_step
        ):
            return advice
        self.count()
        self._audit(advice.written.card, request)
        if self._limits.repeat == "nothing":
            return replace(advice, written=None)
        shown = {name: figure.probability for name, figure in before.tasks.items()}
        card = repeated_card(
            advice.written.card, advice.prediction, before.at, shown, self.settings
        )
        return replace(advice, written=replace(advice.written, card=card))

    def note(self, whole: Advice, shown: Advice, request: HookRequest, caller: Caller) -> None:
        """Remember a card that is about to be shown; one that was held back changes nothing."""
        if self._rests or whole.written is None or whole is not shown:
            return
        now_s = request.arrived_at.timestamp()
        name = self._fingerprint(_key(whole, request, caller))
        row = {
            "fingerprint": name,
            "shown_s": now_s,
            "payload": self._sealed(name, _now(whole, request, self.settings)),
        }
        columns = shown_findings.c
        over = columns.shown_s < now_s - self._limits.hours * 3600
        with writing(self.store.engine) as connection:
            connection.execute(delete(shown_findings).where(over | (columns.fingerprint == name)))
            # False where another worker notes the same card at this moment: one of them is enough.
            insert_once(connection, shown_findings, row)

    def _before(self, key: list[str]) -> Shown | None:
        since_s = (self.store.clock() - timedelta(hours=self._limits.hours)).timestamp()
        name = self._fingerprint(key)
        wanted = select(shown_findings.c.shown_s, shown_findings.c.payload).where(
            shown_findings.c.fingerprint == name, shown_findings.c.shown_s >= since_s
        )
        with reading(self.store.engine) as connection:
            row = connection.execute(wanted).first()
        if row is None:
            return None
        try:
            payload = self.store.keys.decrypt(row.payload, place(shown_findings.c.payload, name))
        except KeyLost:
            return None  # with what was shown unknown, the card is shown: the safe side
        tasks, hook_instance, missing = json.loads(payload)
        figures = {task: Figure(*figure) for task, figure in tasks.items()}
        at = datetime.fromtimestamp(row.shown_s, UTC)
        return Shown(at, figures, hook_instance, frozenset(missing))

    def _sealed(self, name: str, shown: Shown) -> bytes:
        held = json.dumps([shown.tasks, shown.hook_instance, sorted(shown.missing)])
        return self.store.keys.encrypt(held.encode("ascii"), place(shown_findings.c.payload, name))

    def _fingerprint(self, key: list[str]) -> str:
        return self.store.fingerprint(_PURPOSE, json.dumps(key).encode("utf-8"))

    def _audit(self, card: Card, request: HookRequest) -> None:
        facts = {
            "hookInstance": request.hook_instance,
            "indicator": card.indicator,
            "instead": self._limits.repeat,
        }
        with writing(self.store.engine) as connection:
            append_audit(
                connection,
                self.store.keys,
                at=self.store.clock(),
                event="card held back",
                facts=facts,
            )


def _key(advice: Advice, request: HookRequest, caller: Caller) -> list[str]:
    """Who saw what about whom: one finding is the estimate of all tasks, one is "no estimate"."""
    finding = "estimate" if advice.prediction.tasks else "no estimate"
    context = request.context
    return [_FORMAT, caller.iss, caller.tenant, context.user_id, context.patient_id, finding]


def _now(advice: Advice, request: HookRequest, settings: Settings) -> Shown:
    if advice.written is None:
        raise ValueError("there is no card that could have been shown")
    figures = {
        task.task: Figure(
            task.probability, indicator(task.probability, settings.thresholds_of(task.task))
        )
        for task in advice.prediction.tasks
    }
    missing = {line.source for line in advice.record.report.incomplete} - ORDER_KEYS
    return Shown(request.arrived_at, figures, request.hook_instance, frozenset(missing))
