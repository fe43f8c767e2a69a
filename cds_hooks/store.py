"""What the service keeps: cards, explanations, seen JWT ids. All writes are transactions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from cds_hooks import tables
from cds_hooks.audit import AuditHead, append_audit
from cds_hooks.errors import ExplanationNotFound, StoreError
from cds_hooks.keys import KeyRing
from cds_hooks.stored_explanation import StoredExplanation, from_bytes, to_bytes

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class StoredCard:
    """What is remembered of a card, beside its explanation. Nothing here is clinical."""

    card_uuid: str
    service_id: str
    hook_instance: str
    issuer: str
    patient_id: str  # stored as a keyed fingerprint
    indicator: str
    model: str
    drivers: tuple[str, ...] = ()
    suggestion_uuids: tuple[str, ...] = ()
    shown: bool = True


def utc_now() -> datetime:
    """Return the present as an aware datetime."""
    return datetime.now(UTC)


class Store:
    """The database behind the service. Safe to use from several threads and processes."""

    def __init__(self, url: str, keys: KeyRing, *, clock: Clock = utc_now) -> None:
        self.engine = tables.open_engine(url)
        self.keys = keys
        self.clock = clock
        self._create()

    def save_explanation(self, stored: StoredExplanation) -> None:
        """Keep what the explanation page of one card needs, encrypted, until it expires."""
        with tables.writing(self.engine) as connection:
            self.add_explanation(connection, stored)

    def add_explanation(self, connection: Connection, stored: StoredExplanation) -> None:
        """As save_explanation, inside a transaction of the caller."""
        connection.execute(
            insert(tables.explanations).values(
                card_uuid=stored.card_uuid,
                created_s=stored.created_at.timestamp(),
                expires_s=stored.expires_at.timestamp(),
                payload=self.keys.encrypt(to_bytes(stored)),
            )
        )

    def load_explanation(self, card_uuid: str) -> StoredExplanation:
        """Return it. Raises ExplanationNotFound (also when expired), KeyLost and
        ExplanationUnreadable."""
        table = tables.explanations
        wanted = select(table.c.payload).where(
            table.c.card_uuid == card_uuid, table.c.expires_s > self.clock().timestamp()
        )
        with self.engine.connect() as connection:
            payload = connection.execute(wanted).scalar_one_or_none()
        if payload is None:
            raise ExplanationNotFound(f"no explanation is stored for card {card_uuid}")
        return from_bytes(self.keys.decrypt(payload))

    def add_card(self, connection: Connection, card: StoredCard) -> None:
        """Remember a card, so that feedback can be joined to it."""
        connection.execute(
            insert(tables.cards).values(
                card_uuid=card.card_uuid,
                created_s=self.clock().timestamp(),
                service_id=card.service_id,
                hook_instance=card.hook_instance,
                issuer=card.issuer,
                patient=self.patient_fingerprint(card.patient_id),
                indicator=card.indicator,
                model=card.model,
                drivers=json.dumps(card.drivers),
                shown=card.shown,
            )
        )
        for suggestion in card.suggestion_uuids:
            connection.execute(
                insert(tables.suggestions).values(
                    suggestion_uuid=suggestion, card_uuid=card.card_uuid
                )
            )

    def record_answer(
        self,
        explanations: Sequence[StoredExplanation],
        cards: Sequence[StoredCard],
        facts: Mapping[str, Any],
    ) -> AuditHead:
        """Keep all that one answered hook leaves behind, in one transaction."""
        with tables.writing(self.engine) as connection:
            for card in cards:
                self.add_card(connection, card)
            for stored in explanations:
                self.add_explanation(connection, stored)
            return append_audit(
                connection, self.keys, at=self.clock(), event="hook answered", facts=facts
            )

    def first_use(self, issuer: str, jti: str, expires_s: float) -> bool:
        """Remember a JWT id until it expires; False if it was seen before.

        The primary key decides, so two workers cannot both be first.
        """
        fingerprint = hashlib.sha256(json.dumps([issuer, jti]).encode("utf-8")).hexdigest()
        try:
            with tables.writing(self.engine) as connection:
                connection.execute(
                    insert(tables.replays).values(fingerprint=fingerprint, expires_s=expires_s)
                )
        except IntegrityError:
            return False
        return True

    def purge(self, keep_cards: timedelta) -> dict[str, int]:
        """Delete expired explanations and JWT ids, and cards older than the retention."""
        now_s = self.clock().timestamp()
        oldest_s = now_s - keep_cards.total_seconds()
        doomed = {
            "explanations": delete(tables.explanations).where(
                tables.explanations.c.expires_s <= now_s
            ),
            "replays": delete(tables.replays).where(tables.replays.c.expires_s <= now_s),
            "suggestions": delete(tables.suggestions).where(
                tables.suggestions.c.card_uuid.in_(
                    select(tables.cards.c.card_uuid).where(tables.cards.c.created_s < oldest_s)
                )
            ),
            "cards": delete(tables.cards).where(tables.cards.c.created_s < oldest_s),
            "feedback": delete(tables.feedback).where(tables.feedback.c.received_s < oldest_s),
        }
        with tables.writing(self.engine) as connection:
            counts = {name: connection.execute(one).rowcount for name, one in doomed.items()}
            append_audit(connection, self.keys, at=self.clock(), event="purge", facts=counts)
        return counts

    def patient_fingerprint(self, patient_id: str) -> str:
        """Name a patient without giving the id away; equal only under the same current key."""
        return self.keys.signature("patient fingerprint", patient_id.encode("utf-8"))

    def check(self) -> None:
        """Read something. Raises SQLAlchemy's errors if the database cannot be used."""
        with self.engine.connect() as connection:
            connection.execute(select(tables.schema.c.version)).scalar_one()

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    def _create(self) -> None:
        with tables.writing(self.engine) as connection:
            tables.metadata.create_all(connection)
            version = connection.execute(select(tables.schema.c.version)).scalar_one_or_none()
            if version is None:
                connection.execute(insert(tables.schema).values(version=tables.SCHEMA_VERSION))
        if version not in (None, tables.SCHEMA_VERSION):
            raise StoreError(
                f"the database has schema version {version}, we know {tables.SCHEMA_VERSION}"
            )
