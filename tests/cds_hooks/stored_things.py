"""Things to store: one explanation, one card, one feedback item, as often as a test likes."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from cds_hooks.audit import AuditHead, append_audit
from cds_hooks.database import writing
from cds_hooks.feedback import FeedbackItem
from cds_hooks.kept_prediction import Finding, KeptPrediction, KeptTask
from cds_hooks.keys import new_key
from cds_hooks.store import Store, StoredCard
from cds_hooks.stored_explanation import StoredExplanation
from cds_hooks.warm_up import warm_up_record
from tests.cds_hooks import world

KEY = new_key()
SECRET_WORDS = "comfortably"  # stand in the note of every explanation
COMMENT = "Mrs Miller is in palliative care"


def an_explanation(life_h: float = 1.0, card_uuid: str | None = None) -> StoredExplanation:
    record = warm_up_record()
    prediction, explanation = world.LinearPredictor()(record)
    return StoredExplanation(
        card_uuid=card_uuid or str(uuid.uuid4()),
        service_id="meam-risk",
        hook_instance="h",
        created_at=world.NOW,
        expires_at=world.NOW + timedelta(hours=life_h),
        record=record,
        prediction=prediction,
        explanation=explanation,
    )


def a_card(card_uuid: str | None = None, **changes: Any) -> StoredCard:
    values: dict[str, Any] = {
        "service_id": "meam-risk",
        "hook_instance": "h",
        "issuer": "open",
        "patient_id": "pat-1",
        "indicator": "info",
        "model": "m 1",
        "suggestion_uuids": (str(uuid.uuid4()),),
    }
    return StoredCard(card_uuid or str(uuid.uuid4()), **values | changes)


def a_prediction(probability: float | None = 0.4, **changes: Any) -> KeptPrediction:
    """One answered hook; without a probability one that has no estimate."""
    task = KeptTask("in_hospital_death", "in-hospital death", probability or 0.0, 0.14, "high")
    finding: dict[str, Any] = {
        name: changes.pop(name)
        for name in ("answer", "codes", "explained", "subgroups", "bins", "bin_count", "tasks")
        if name in changes
    }
    values: dict[str, Any] = {
        "service_id": "meam-risk",
        "hook_instance": "h",
        "issuer": "open",
        "patient_id": "pat-1",
        "model": "m 1",
        "duration_ms": 40.0,
    }
    finding = {"answer": "card", "tasks": () if probability is None else (task,)} | finding
    return KeptPrediction(**values | changes, finding=Finding(**finding))


def an_override(card_uuid: str, **changes: Any) -> FeedbackItem:
    values: dict[str, Any] = {"outcome_timestamp": "2026-11-23T12:00:00Z", "user_comment": COMMENT}
    return FeedbackItem(card_uuid, "overridden", **values | changes)


def audit_lines(store: Store, count: int) -> AuditHead:
    """Append that many lines, each in a transaction of its own."""
    for n in range(count):
        with writing(store.engine) as connection:
            head = append_audit(
                connection, store.keys, at=world.NOW, event="hook answered", facts={"n": n}
            )
    return head
