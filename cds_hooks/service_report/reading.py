"""Answered hooks of a period, read from the store and decrypted one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import select

from cds_hooks import tables
from cds_hooks.chosen_rows import chosen_rows
from cds_hooks.database import reading
from cds_hooks.errors import CiphertextRefused, KeyLost
from cds_hooks.kept_prediction import Finding, finding_from
from cds_hooks.store import Store


@dataclass(frozen=True, slots=True)
class Period:
    """From ``since`` on, before ``until``; None has no end. Of one service, issuer and tenant, or
    of all; a tenant of "" is none."""

    since: datetime | None = None
    until: datetime | None = None
    service_id: str | None = None
    issuer: str | None = None
    tenant: str | None = None


class Source(NamedTuple):
    """Whose chart it was: within one source a patient's id names one patient."""

    issuer: str
    tenant: str  # "": none, or not known


@dataclass(frozen=True, slots=True)
class AnsweredHook:
    """One row. Patient and ids serve to find its outcome; they never reach a document."""

    at: datetime  # UTC
    service_id: str
    model: str
    shown: bool  # False in shadow mode
    duration_ms: float
    source: Source
    patient: str  # keyed fingerprint, unique within the source
    names: frozenset[str]  # by which an outcome may name it: card and hook instance
    finding: Finding


@dataclass(slots=True)
class Unreadable:
    """How many rows no key reads."""

    rows: int = 0


def answered_hooks(store: Store, period: Period, unreadable: Unreadable) -> Iterator[AnsweredHook]:
    """Yield the answered hooks of a period, the oldest first."""
    columns = tables.predictions.c
    chosen = chosen_rows(columns.created_s, **asdict(period))
    order = (columns.created_s, columns.prediction_uuid)
    wanted = select(tables.predictions).where(*chosen).order_by(*order)
    with reading(store.engine) as connection:
        for row in connection.execute(wanted):
            place = tables.place(columns.payload, row.prediction_uuid)
            try:
                finding = finding_from(store.keys.decrypt(bytes(row.payload), place))
            except (KeyLost, CiphertextRefused):
                unreadable.rows += 1
                continue
            yield AnsweredHook(
                at=datetime.fromtimestamp(row.created_s, UTC),
                service_id=row.service_id,
                model=row.model,
                shown=row.shown,
                duration_ms=row.duration_ms,
                source=Source(row.issuer, row.tenant),
                patient=row.patient,
                names=frozenset(one for one in (row.card_uuid, row.hook_instance) if one),
                finding=finding,
            )
