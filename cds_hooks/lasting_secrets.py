"""Secrets that outlive the keys of the ring: they stand encrypted in the database.

Fingerprints of patients and of feedback stay the same when keys rotate, and the audit chain can be
verified after the keys that signed it have left the ring. ``meam keys re-encrypt`` wraps the
secrets under the new key; a copy of the database alone gives none of them away.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from sqlalchemy import Connection, insert, select

from cds_hooks import tables
from cds_hooks.database import insert_once
from cds_hooks.keys import KeyRing

PATIENT = "patient fingerprint"
AUDIT = "audit chain"
_FINGERPRINTS = "fingerprints"


def new_fingerprint_secrets(connection: Connection, keys: KeyRing) -> None:
    """Make the secrets of a new database."""
    table = tables.lasting_secrets
    for name in (PATIENT, _FINGERPRINTS):
        wrapped = keys.encrypt(os.urandom(32), tables.place(table.c.secret, name))
        connection.execute(insert(table).values(name=name, secret=wrapped))


def read_secrets(connection: Connection, keys: KeyRing) -> dict[str, bytes]:
    """All secrets by name. Raises KeyLost, CiphertextRefused."""
    table = tables.lasting_secrets
    return {
        row.name: keys.decrypt(row.secret, tables.place(table.c.secret, row.name))
        for row in connection.execute(select(table))
    }


def lacks_audit_secrets(held: Mapping[str, bytes], keys: KeyRing) -> bool:
    """Whether a key of the ring has no secret of the audit chain among ``held`` yet."""
    return any(_audit_name(key_id) not in held for key_id in keys.key_ids)


def keep_audit_secrets(connection: Connection, keys: KeyRing, held: Mapping[str, bytes]) -> None:
    """Keep what signs the audit chain, for the time after its key has left the ring."""
    table = tables.lasting_secrets
    for key_id in keys.key_ids:
        name = _audit_name(key_id)
        if name not in held:
            wrapped = keys.encrypt(keys.secret(AUDIT, key_id), tables.place(table.c.secret, name))
            insert_once(connection, table, {"name": name, "secret": wrapped})


def audit_secrets(connection: Connection, keys: KeyRing) -> dict[str, bytes]:
    """Secrets of the audit chain by key id: of the ring, and of keys that have left it."""
    prefix = _audit_name("")
    held = {
        name.removeprefix(prefix): secret
        for name, secret in read_secrets(connection, keys).items()
        if name.startswith(prefix)
    }
    return {**held, **{key_id: keys.secret(AUDIT, key_id) for key_id in keys.key_ids}}


def fingerprint_secret(held: Mapping[str, bytes]) -> bytes:
    """The secret behind all fingerprints but those of patients."""
    return held[_FINGERPRINTS]


def _audit_name(key_id: str) -> str:
    return f"{AUDIT} {key_id}"
