"""The step to schema version 2. Released: it is not changed any more, so its SQL stands alone.

Ciphertexts name their key and are bound to their row; fingerprints come from secrets that outlive
the keys; the audit log has a seal; the memory of the cool-down is added.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from cds_hooks.keys import KeyRing, signature

_TABLES = """
CREATE TABLE lasting_secrets (
    name VARCHAR(64) NOT NULL, secret {bytes} NOT NULL, PRIMARY KEY (name)
);
CREATE TABLE audit_head (
    sequence INTEGER NOT NULL, seal VARCHAR(64) NOT NULL, PRIMARY KEY (sequence)
);
CREATE TABLE shown_findings (
    fingerprint VARCHAR(64) NOT NULL,
    shown_s FLOAT NOT NULL,
    payload {bytes} NOT NULL,
    PRIMARY KEY (fingerprint)
);
CREATE INDEX ix_shown_findings_shown_s ON shown_findings (shown_s);
ALTER TABLE feedback ADD COLUMN known_suggestions BOOLEAN DEFAULT FALSE NOT NULL;
UPDATE feedback SET known_suggestions = known_card;
UPDATE feedback SET known_card = EXISTS (
    SELECT 1 FROM cards WHERE cards.card_uuid = feedback.card_uuid
    AND cards.issuer = feedback.issuer AND cards.service_id = feedback.service_id
)
"""
_RENAME = """
UPDATE feedback SET fingerprint = :new, comment = :comment WHERE fingerprint = :old
"""
_BYTES = {"sqlite": "BLOB", "postgresql": "BYTEA"}


def to_version_2(connection: Connection, keys: KeyRing) -> dict[str, int]:
    """Take the step; return how many rows were encrypted anew, and how many no key reads."""
    for statement in _TABLES.format(bytes=_BYTES[connection.dialect.name]).split(";"):
        connection.execute(text(statement))
    fingerprints = os.urandom(32)
    # What the current key made of patients stays comparable. What older keys made never was.
    _keep(connection, keys, "patient fingerprint", keys.secret("patient fingerprint"))
    _keep(connection, keys, "fingerprints", fingerprints)
    return _explanations(connection, keys) | _feedback(connection, keys, fingerprints)


def _keep(connection: Connection, keys: KeyRing, name: str, secret: bytes) -> None:
    connection.execute(
        text("INSERT INTO lasting_secrets (name, secret) VALUES (:name, :secret)"),
        {"name": name, "secret": keys.encrypt(secret, f"lasting_secrets.secret {name}")},
    )


def _explanations(connection: Connection, keys: KeyRing) -> dict[str, int]:
    """Bind each to its row. One that no key reads is left: it could not be read before either."""
    counts = {"explanations": 0, "unreadableExplanations": 0}
    for row in connection.execute(text("SELECT card_uuid, payload FROM explanations")).all():
        data = keys.decrypt_first_form(bytes(row.payload))
        if data is None:
            counts["unreadableExplanations"] += 1
            continue
        counts["explanations"] += 1
        payload = keys.encrypt(data, f"explanations.payload {row.card_uuid}")
        connection.execute(
            text("UPDATE explanations SET payload = :payload WHERE card_uuid = :card_uuid"),
            {"card_uuid": row.card_uuid, "payload": payload},
        )
    return counts


def _feedback(connection: Connection, keys: KeyRing, secret: bytes) -> dict[str, int]:
    """Name items by a keyed fingerprint: from a plain one a short comment can be guessed."""
    counts = {"feedback": 0, "unreadableComments": 0}
    for row in connection.execute(text("SELECT * FROM feedback")).mappings().all():
        comment = None
        if row["comment"] is not None:
            comment = keys.decrypt_first_form(bytes(row["comment"]))
            if comment is None:
                counts["unreadableComments"] += 1
                continue
        counts["feedback"] += 1
        new = signature(secret, b"feedback\n" + _facts(dict(row), comment))
        sealed = None if comment is None else keys.encrypt(comment, f"feedback.comment {new}")
        connection.execute(
            text(_RENAME),
            {"old": row["fingerprint"], "new": new, "comment": sealed},
        )
    return counts


def _facts(row: Mapping[str, Any], comment: bytes | None) -> bytes:
    said = None if comment is None else comment.decode("utf-8")
    facts = [row["service_id"], row["issuer"], row["card_uuid"], row["outcome"]]
    facts += [row["outcome_timestamp"], json.loads(row["accepted"])]
    return json.dumps([*facts, row["reason_code"], row["reason_system"], said]).encode("utf-8")
