"""The tables, as the newest schema version has them; ``migrations`` says how older ones get there.

An issuer's ``tenant`` is "" where the JWT named none, and in rows from before version 4 of which it
is not known.

Nothing in clear text here is clinical: explanations, risks and comments are encrypted, patients
and users appear as keyed fingerprints only.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)

metadata = MetaData()

schema = Table("meam_schema", metadata, Column("version", Integer, primary_key=True))

explanations = Table(
    "explanations",
    metadata,
    Column("card_uuid", String(36), primary_key=True),
    Column("created_s", Float, nullable=False),  # seconds since the Unix epoch, as all *_s here
    Column("expires_s", Float, nullable=False, index=True),
    Column("payload", LargeBinary, nullable=False),  # encrypted
)

cards = Table(
    "cards",
    metadata,
    Column("card_uuid", String(36), primary_key=True),
    Column("created_s", Float, nullable=False, index=True),
    Column("service_id", String(64), nullable=False),
    Column("hook_instance", String(64), nullable=False),
    Column("issuer", Text, nullable=False),
    Column("tenant", Text, nullable=False, server_default=""),
    Column("patient", String(64), nullable=False),  # keyed fingerprint
    Column("indicator", String(16), nullable=False),
    Column("model", Text, nullable=False),  # name and version
    Column("drivers", Text, nullable=False),  # JSON array of token ids, the strongest first
    Column("shown", Boolean, nullable=False),  # False in shadow mode
)

suggestions = Table(
    "suggestions",
    metadata,
    Column("suggestion_uuid", String(36), primary_key=True),
    Column("card_uuid", String(36), nullable=False, index=True),
    Column("step_id", String(64)),  # of the library of next steps; NULL before version 3
)

predictions = Table(  # one row for each answered hook, with a card or without
    "predictions",
    metadata,
    Column("prediction_uuid", String(36), primary_key=True),
    Column("created_s", Float, nullable=False, index=True),
    Column("service_id", String(64), nullable=False),
    Column("hook_instance", String(64), nullable=False),
    Column("issuer", Text, nullable=False),
    Column("tenant", Text, nullable=False, server_default=""),
    Column("patient", String(64), nullable=False),  # keyed fingerprint
    Column("card_uuid", String(36)),  # NULL where no card was made
    Column("model", Text, nullable=False),  # name and version
    Column("shown", Boolean, nullable=False),  # False in shadow mode
    Column("duration_ms", Float, nullable=False),  # from arrival until this was stored
    Column("payload", LargeBinary, nullable=False),  # encrypted, see kept_prediction.py
)

feedback = Table(
    "feedback",
    metadata,
    Column("fingerprint", String(64), primary_key=True),  # keyed, of the item: stored once
    Column("received_s", Float, nullable=False, index=True),
    Column("service_id", String(64), nullable=False),
    Column("issuer", Text, nullable=False),
    Column("tenant", Text, nullable=False, server_default=""),
    Column("card_uuid", String(128), nullable=False, index=True),
    Column("known_card", Boolean, nullable=False),  # a card of this service, sent to this issuer
    Column("outcome", String(16), nullable=False),
    Column("outcome_timestamp", String(64), nullable=False),
    Column("accepted", Text, nullable=False),  # JSON array of suggestion uuids
    Column("reason_code", Text),
    Column("reason_system", Text),
    Column("comment", LargeBinary),  # encrypted
    # False where a suggestion is named that this card did not have.
    Column("known_suggestions", Boolean, nullable=False, server_default=false()),
)

replays = Table(
    "replays",
    metadata,
    Column("fingerprint", String(64), primary_key=True),  # of issuer and jti
    Column("expires_s", Float, nullable=False, index=True),
)

audit = Table(
    "audit",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("event", String(32), nullable=False),
    Column("facts", Text, nullable=False),  # JSON object, keys sorted
    Column("key_id", String(16), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("signature", String(64), nullable=False),
)

shown_findings = Table(  # the memory of cool_down.py
    "shown_findings",
    metadata,
    Column("fingerprint", String(64), primary_key=True),  # keyed, of user, patient and finding
    Column("shown_s", Float, nullable=False, index=True),
    Column("payload", LargeBinary, nullable=False),  # encrypted: risk, indicator, hook instance
)

audit_head = Table(  # one row: what allows to continue the chain, see audit.py
    "audit_head",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("seal", String(64), nullable=False),
)

lasting_secrets = Table(  # what has to outlive a rotation of keys, see lasting_secrets.py
    "lasting_secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("secret", LargeBinary, nullable=False),  # encrypted
)

ENCRYPTED = (  # each with its primary key; NULL where there is nothing
    explanations.c.payload,
    predictions.c.payload,
    feedback.c.comment,
    shown_findings.c.payload,
    lasting_secrets.c.secret,
)


def place(column: Column[bytes], row: str) -> str:
    """Name where a ciphertext stands, so that it is worth nothing in another row or column."""
    return f"{column.table.name}.{column.name} {row}"
