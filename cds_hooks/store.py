"""What the service keeps: cards, explanations, seen JWT ids. All writes are transactions.

Every method raises StoreUnavailable where the database cannot be used now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from cds_hooks import migrations, tables
from cds_hooks.audit import AuditHead, append_audit
from cds_hooks.database import insert_once, open_engine, reading, writing
from cds_hooks.errors import ExplanationNotFound
from cds_hooks.kept_prediction import KeptPrediction, payload_of
from cds_hooks.keys import KeyRing, signature
from cds_hooks.lasting_secrets import (
    PATIENT,
    fingerprint_secret,
    keep_audit_secrets,
    lacks_audit_secrets,
    read_secrets,
)
from cds_hooks.stored_explanation import StoredExplanation, from_bytes, to_bytes

Clock = Callable[[], datetime]
# Made once, with the rows apart from them: making a statement takes longer than running it.
_INSERT_EXPLANATION = insert(tables.explanations)
_INSERT_CARD = insert(tables.cards)
_INSERT_SUGGESTION = insert(tables.suggestions)
_INSERT_PREDICTION = insert(tables.predictions)
_SWEEP_EVERY_S = 60.0  # expired JWT ids are forgotten this often, by each worker
_MOST_SWEPT = 10_000  # so that no caller waits long: 160 a second between two sweeps


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
    tenant: str = ""
    step_ids: Mapping[str, str] = field(default_factory=dict)  # by suggestion


def utc_now() -> datetime:
    """Return the present as an aware datetime."""
    return datetime.now(UTC)


class Store:
    """The database behind the service. Safe to use from several threads and processes."""

    def __init__(self, url: str, keys: KeyRing, *, clock: Clock = utc_now) -> None:
        """Open it; create or migrate it where needed. Raises StoreError, KeyLost."""
        self.engine = open_engine(url)
        self.keys = keys
        self.clock = clock
        self._swept_s = clock().timestamp()
        try:
            migrations.prepare(self.engine, keys, clock())
            secrets = self._secrets()
        except BaseException:
            self.engine.dispose()
            raise
        self._patient_secret = secrets[PATIENT]
        self._fingerprint_secret = fingerprint_secret(secrets)

    def save_explanation(self, stored: StoredExplanation) -> None:
        """Keep what the explanation page of one card needs, encrypted, until it expires."""
        with writing(self.engine) as connection:
            self.add_explanation(connection, stored)

    def add_explanation(self, connection: Connection, stored: StoredExplanation) -> None:
        """As save_explanation, inside a transaction of the caller."""
        place = tables.place(tables.explanations.c.payload, stored.card_uuid)
        row = {
            "card_uuid": stored.card_uuid,
            "created_s": stored.created_at.timestamp(),
            "expires_s": stored.expires_at.timestamp(),
            "payload": self.keys.encrypt(to_bytes(stored), place),
        }
        connection.execute(_INSERT_EXPLANATION, row)

    def load_explanation(self, card_uuid: str) -> StoredExplanation:
        """Return it. Raises ExplanationNotFound (also when expired), KeyLost, CiphertextRefused
        and ExplanationUnreadable."""
        table, now = tables.explanations, self.clock()
        wanted = select(table.c.payload).where(
            table.c.card_uuid == card_uuid, table.c.expires_s > now.timestamp()
        )
        with reading(self.engine) as connection:
            payload = connection.execute(wanted).scalar_one_or_none()
        missing = ExplanationNotFound(f"no explanation is stored for card {card_uuid}")
        if payload is None:
            raise missing
        stored = from_bytes(self.keys.decrypt(payload, tables.place(table.c.payload, card_uuid)))
        if stored.expires_at <= now:  # expires_s is in clear text; whoever writes it can change it
            raise missing
        return stored

    def add_card(self, connection: Connection, card: StoredCard) -> None:
        """Remember a card, so that feedback can be joined to it."""
        row = {
            "card_uuid": card.card_uuid,
            "created_s": self.clock().timestamp(),
            "service_id": card.service_id,
            "hook_instance": card.hook_instance,
            "issuer": card.issuer,
            "tenant": card.tenant,
            "patient": self.patient_fingerprint(card.patient_id),
            "indicator": card.indicator,
            "model": card.model,
            "drivers": json.dumps(card.drivers),
            "shown": card.shown,
        }
        connection.execute(_INSERT_CARD, row)
        for suggestion in card.suggestion_uuids:
            row = {
                "suggestion_uuid": suggestion,
                "card_uuid": card.card_uuid,
                "step_id": card.step_ids.get(suggestion),
            }
            connection.execute(_INSERT_SUGGESTION, row)

    def add_prediction(self, connection: Connection, kept: KeptPrediction) -> None:
        """Remember what was predicted, so that it can be compared with what came of it."""
        place = tables.place(tables.predictions.c.payload, kept.prediction_uuid)
        row = {
            "prediction_uuid": kept.prediction_uuid,
            "created_s": self.clock().timestamp(),
            "service_id": kept.service_id,
            "hook_instance": kept.hook_instance,
            "issuer": kept.issuer,
            "tenant": kept.tenant,
            "patient": self.patient_fingerprint(kept.patient_id),
            "card_uuid": kept.card_uuid,
            "model": kept.model,
            "shown": kept.shown,
            "duration_ms": kept.duration_ms,
            "payload": self.keys.encrypt(payload_of(kept), place),
        }
        connection.execute(_INSERT_PREDICTION, row)

    def record_answer(
        self,
        explanations: Sequence[StoredExplanation],
        cards: Sequence[StoredCard],
        facts: Mapping[str, Any],
        predictions: Sequence[KeptPrediction] = (),
    ) -> AuditHead:
        """Keep all that one answered hook leaves behind, in one transaction."""
        with writing(self.engine) as connection:
            for card in cards:
                self.add_card(connection, card)
            for stored in explanations:
                self.add_explanation(connection, stored)
            for kept in predictions:
                self.add_prediction(connection, kept)
            return append_audit(
                connection, self.keys, at=self.clock(), event="hook answered", facts=facts
            )

    def first_use(self, issuer: str, jti: str, expires_s: float) -> bool:
        """Remember a JWT id until it expires; False if it was seen before.

        The primary key decides, so two workers cannot both be first.
        """
        fingerprint = hashlib.sha256(json.dumps([issuer, jti]).encode("utf-8")).hexdigest()
        values = {"fingerprint": fingerprint, "expires_s": expires_s}
        with writing(self.engine) as connection:
            first = insert_once(connection, tables.replays, values)
            self._sweep(connection)
        return first

    def patient_fingerprint(self, patient_id: str) -> str:
        """Name a patient without giving the id away; the same after keys were rotated.

        As the id, it is unique for one tenant of one issuer only: compare it together with them.
        """
        return signature(self._patient_secret, patient_id.encode("utf-8"))

    def fingerprint(self, purpose: str, data: bytes) -> str:
        """Name anything else so; equal only for the same purpose."""
        return signature(self._fingerprint_secret, purpose.encode("utf-8") + b"\n" + data)

    def check(self) -> None:
        """Read something. Raises StoreUnavailable if the database cannot be used."""
        with reading(self.engine) as connection:
            connection.execute(select(tables.schema.c.version)).scalar_one()

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    def _secrets(self) -> dict[str, bytes]:
        with reading(self.engine) as connection:
            held = read_secrets(connection, self.keys)
        if lacks_audit_secrets(held, self.keys):
            with writing(self.engine) as connection:
                keep_audit_secrets(connection, self.keys, held)
        return held

    def _sweep(self, connection: Connection) -> None:
        """Forget JWT ids that have expired, now and then: nobody could use them any more."""
        now_s = self.clock().timestamp()
        if now_s - self._swept_s < _SWEEP_EVERY_S:
            return
        self._swept_s = now_s
        ids = tables.replays.c
        expired = select(ids.fingerprint).where(ids.expires_s <= now_s).limit(_MOST_SWEPT)
        connection.execute(delete(tables.replays).where(ids.fingerprint.in_(expired)))
