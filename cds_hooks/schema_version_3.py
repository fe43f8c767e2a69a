"""The step to schema version 3. Released: it is not changed any more, so its SQL stands alone.

A suggestion remembers the next step that it came from, and each answered hook leaves a prediction
behind, so that a site can compare predictions with outcomes. What was answered before has neither.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from cds_hooks.keys import KeyRing

_TABLES = """
ALTER TABLE suggestions ADD COLUMN step_id VARCHAR(64);
CREATE TABLE predictions (
    prediction_uuid VARCHAR(36) NOT NULL,
    created_s FLOAT NOT NULL,
    service_id VARCHAR(64) NOT NULL,
    hook_instance VARCHAR(64) NOT NULL,
    issuer TEXT NOT NULL,
    patient VARCHAR(64) NOT NULL,
    card_uuid VARCHAR(36),
    model TEXT NOT NULL,
    shown BOOLEAN NOT NULL,
    duration_ms FLOAT NOT NULL,
    payload {bytes} NOT NULL,
    PRIMARY KEY (prediction_uuid)
);
CREATE INDEX ix_predictions_created_s ON predictions (created_s)
"""
_BYTES = {"sqlite": "BLOB", "postgresql": "BYTEA"}


def to_version_3(connection: Connection, _keys: KeyRing) -> dict[str, int]:
    """Take the step; there is nothing to count."""
    for statement in _TABLES.format(bytes=_BYTES[connection.dialect.name]).split(";"):
        connection.execute(text(statement))
    return {}
