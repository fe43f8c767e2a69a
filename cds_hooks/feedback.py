"""What became of cards: checked, and stored once, before it is acknowledged.

https://cds-hooks.hl7.org/2.0/#feedback
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from cds_hooks import tables
from cds_hooks.audit import append_audit
from cds_hooks.database import insert_once, writing
from cds_hooks.errors import BadRequest
from cds_hooks.request import json_kind
from cds_hooks.store import Store

_RFC_3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_MOST_ITEMS = 1000
_LONGEST_ID = 128
_LONGEST_COMMENT = 10_000
_LONGEST_TIMESTAMP = 64


@dataclass(frozen=True, slots=True)
class FeedbackItem:
    """What one user did with one card. The comment may be about a patient."""

    card: str
    outcome: str  # "accepted" or "overridden"
    outcome_timestamp: str
    accepted_suggestions: tuple[str, ...] = ()
    reason_code: str | None = None
    reason_system: str | None = None
    user_comment: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Sender:
    """Who speaks, to which service."""

    service_id: str
    issuer: str
    tenant: str

    @property
    def named(self) -> list[str]:
        """Without an empty tenant: what was sent before there were tenants stays a repetition."""
        return [self.service_id, self.issuer, *filter(None, [self.tenant])]


@dataclass(frozen=True, slots=True)
class FeedbackReceipt:
    """What was done with one batch."""

    stored: int
    repeated: int
    unknown: int  # of the stored ones: about a card or suggestion that we do not know
    accepted_steps: tuple[str, ...] = ()  # next steps that the stored ones are first to accept


def parse_feedback(body: Any) -> tuple[FeedbackItem, ...]:
    """Check a body. Raises BadRequest with the JSON path of the first fault."""
    if not isinstance(body, dict):
        raise BadRequest("$", f"expected an object, got {json_kind(body)}")
    items = body.get("feedback")
    if not isinstance(items, list):
        raise BadRequest("$.feedback", f"expected an array, got {json_kind(items)}")
    if len(items) > _MOST_ITEMS:
        raise BadRequest("$.feedback", f"expected at most {_MOST_ITEMS} items")
    return tuple(_item(item, f"$.feedback[{index}]") for index, item in enumerate(items))


def store_feedback(
    store: Store,
    service_id: str,
    issuer: str,
    items: tuple[FeedbackItem, ...],
    *,
    tenant: str = "",
) -> FeedbackReceipt:
    """Keep a batch in one transaction. The same item sent again is stored once.

    Raises StoreUnavailable; then nothing of the batch is stored.
    """
    stored = repeated = unknown = 0
    steps: list[str] = []
    with writing(store.engine) as connection:
        sender = _Sender(service_id, issuer, tenant)
        rows = [_row(store, connection, sender, item) for item in items]
        # In one order for all, so that two batches with the same items do not wait for each other.
        for row in sorted(rows, key=lambda row: str(row["fingerprint"])):
            before = _accepted_before(connection, row["card_uuid"])
            if not insert_once(connection, tables.feedback, row):
                repeated += 1
                continue
            stored += 1
            unknown += not (row["known_card"] and row["known_suggestions"])
            if row["known_suggestions"]:
                steps += _steps(connection, set(json.loads(row["accepted"])) - before)
        facts = {"service": service_id, "issuer": issuer, "stored": stored, "repeated": repeated}
        append_audit(
            connection, store.keys, at=store.clock(), event="feedback received", facts=facts
        )
    return FeedbackReceipt(stored, repeated, unknown, tuple(steps))


def _item(item: Any, path: str) -> FeedbackItem:
    if not isinstance(item, dict):
        raise BadRequest(path, f"expected an object, got {json_kind(item)}")
    card = _text(item, "card", path, _LONGEST_ID)
    outcome = _text(item, "outcome", path, _LONGEST_ID)
    when = _timestamp(item, path)
    if outcome == "accepted":
        return FeedbackItem(card, outcome, when, _accepted(item, path))
    if outcome != "overridden":
        raise BadRequest(f"{path}.outcome", "expected accepted or overridden")
    code, system, comment = _override(item, path)
    return FeedbackItem(card, outcome, when, (), code, system, comment)


def _accepted(item: Mapping[str, Any], path: str) -> tuple[str, ...]:
    accepted = item.get("acceptedSuggestions")
    path = f"{path}.acceptedSuggestions"
    if not isinstance(accepted, list) or not accepted:
        raise BadRequest(path, "expected an array with at least one suggestion")
    ids = []
    for index, suggestion in enumerate(accepted):
        if not isinstance(suggestion, dict):
            raise BadRequest(f"{path}[{index}]", f"expected an object, got {json_kind(suggestion)}")
        ids.append(_text(suggestion, "id", f"{path}[{index}]", _LONGEST_ID))
    return tuple(ids)


def _override(item: Mapping[str, Any], path: str) -> tuple[str | None, str | None, str | None]:
    if "overrideReason" not in item:
        return None, None, None
    given, path = item["overrideReason"], f"{path}.overrideReason"
    if not isinstance(given, dict):
        raise BadRequest(path, f"expected an object, got {json_kind(given)}")
    if "reason" not in given and "userComment" not in given:
        raise BadRequest(path, "expected reason, userComment or both")
    code = system = comment = None
    if "reason" in given:
        reason, where = given["reason"], f"{path}.reason"
        if not isinstance(reason, dict):
            raise BadRequest(where, f"expected an object, got {json_kind(reason)}")
        code = _text(reason, "code", where, 2 * _LONGEST_ID)
        system = _text(reason, "system", where, 4 * _LONGEST_ID)
    if "userComment" in given:
        comment = _text(given, "userComment", path, _LONGEST_COMMENT)
    return code, system, comment


def _timestamp(item: Mapping[str, Any], path: str) -> str:
    text = _text(item, "outcomeTimestamp", path, _LONGEST_TIMESTAMP)
    fault = BadRequest(
        f"{path}.outcomeTimestamp", "expected a date and time with zone, as RFC 3339 has it"
    )
    if not _RFC_3339.fullmatch(text):
        raise fault
    try:
        datetime.fromisoformat(text.upper())
    except ValueError as exc:
        raise fault from exc
    return text


def _text(given: Mapping[str, Any], name: str, path: str, longest: int) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{path}.{name}", f"expected a string, got {json_kind(value)}")
    if len(value) > longest:
        raise BadRequest(f"{path}.{name}", f"expected at most {longest} characters")
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise BadRequest(f"{path}.{name}", "holds a character that cannot be stored")
    return value


def _row(
    store: Store, connection: Connection, sender: _Sender, item: FeedbackItem
) -> dict[str, Any]:
    facts = [*sender.named, item.card, item.outcome, item.outcome_timestamp]
    details = [item.accepted_suggestions, item.reason_code, item.reason_system, item.user_comment]
    fingerprint = store.fingerprint("feedback", json.dumps([*facts, *details]).encode("utf-8"))
    known_card = _is_known_card(connection, sender, item.card)
    return {
        "fingerprint": fingerprint,
        "received_s": store.clock().timestamp(),
        "service_id": sender.service_id,
        "issuer": sender.issuer,
        "tenant": sender.tenant,
        "card_uuid": item.card,
        "known_card": known_card,
        "known_suggestions": known_card and _were_offered(connection, item),
        "outcome": item.outcome,
        "outcome_timestamp": item.outcome_timestamp,
        "accepted": json.dumps(item.accepted_suggestions),
        "reason_code": item.reason_code,
        "reason_system": item.reason_system,
        "comment": _sealed_comment(store, item.user_comment, fingerprint),
    }


def _is_known_card(connection: Connection, sender: _Sender, card_uuid: str) -> bool:
    """Whether we sent this card, from this service to this issuer and tenant: others cannot speak
    of it. Of a card without a tenant, or of which it is not known, all of its issuer can."""
    cards = tables.cards.c
    wanted = select(cards.card_uuid).where(
        cards.card_uuid == card_uuid,
        cards.service_id == sender.service_id,
        cards.issuer == sender.issuer,
        cards.tenant.in_(("", sender.tenant)),
    )
    return connection.execute(wanted).first() is not None


def _were_offered(connection: Connection, item: FeedbackItem) -> bool:
    suggestions = tables.suggestions.c
    offered = connection.execute(
        select(suggestions.suggestion_uuid).where(suggestions.card_uuid == item.card)
    ).scalars()
    return set(item.accepted_suggestions) <= set(offered)


def _accepted_before(connection: Connection, card_uuid: str) -> set[str]:
    """Suggestions of a card that earlier items accepted: a client may send all that it knows."""
    feedback = tables.feedback.c
    wanted = select(feedback.accepted).where(
        feedback.card_uuid == card_uuid, feedback.known_suggestions.is_(True)
    )
    return {one for row in connection.execute(wanted).scalars() for one in json.loads(row)}


def _steps(connection: Connection, accepted: Collection[str]) -> list[str]:
    """The next steps behind suggestions; those from before schema version 3 are not known."""
    suggestions = tables.suggestions.c
    wanted = select(suggestions.step_id).where(
        suggestions.suggestion_uuid.in_(accepted), suggestions.step_id.is_not(None)
    )
    return list(connection.execute(wanted).scalars())


def _sealed_comment(store: Store, comment: str | None, fingerprint: str) -> bytes | None:
    if not comment:
        return None
    place = tables.place(tables.feedback.c.comment, fingerprint)
    return store.keys.encrypt(comment.encode("utf-8"), place)
