"""The step to schema version 4. Released: it is not changed any more, so its SQL stands alone.

Cards, predictions and feedback remember the tenant beside the issuer: tenants of one issuer are
hospitals of their own, whose patients may have the same ids. Of hooks answered before, the audit
log knows the tenant; where its line was archived, or tells of two tenants, it stays empty.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, text

from cds_hooks.keys import KeyRing

_COLUMN = "ALTER TABLE {table} ADD COLUMN tenant TEXT DEFAULT '' NOT NULL"
_LINES = "SELECT facts FROM audit WHERE event = 'hook answered' AND facts NOT LIKE :without"
_ROWS = "SELECT {key}, service_id, issuer, hook_instance, card_uuid FROM {table}"
_FILL = "UPDATE {table} SET tenant = :tenant WHERE {key} = :key"
_Answered = tuple[Any, ...]  # service, issuer, hook instance and card of an answered hook


def to_version_4(connection: Connection, _keys: KeyRing) -> dict[str, int]:
    """Take the step; return for how many rows a tenant was found."""
    for table in ("cards", "predictions", "feedback"):
        connection.execute(text(_COLUMN.format(table=table)))
    tenants = _tenants(connection)
    return {
        "tenantsOfCards": _fill(connection, "cards", "card_uuid", tenants),
        "tenantsOfPredictions": _fill(connection, "predictions", "prediction_uuid", tenants),
    }


def _tenants(connection: Connection) -> dict[_Answered, str]:
    """The tenants of the audit log. Lines without one are left in the database: most have none."""
    found: dict[_Answered, str] = {}
    for (line,) in connection.execute(text(_LINES), {"without": '%"tenant":""%'}):
        facts = json.loads(line)
        tenant = facts.get("tenant", "")
        if not isinstance(tenant, str) or not tenant or not _storable(tenant):
            continue
        answered = tuple(facts.get(one) for one in ("service", "issuer", "hookInstance", "card"))
        if found.setdefault(answered, tenant) != tenant:
            found[answered] = ""
    return found


def _storable(tenant: str) -> bool:
    """Whether a text column takes it. In a line of the audit log all characters are escaped."""
    return "\x00" not in tenant and not any("\ud800" <= one <= "\udfff" for one in tenant)


def _fill(connection: Connection, table: str, key: str, tenants: dict[_Answered, str]) -> int:
    if not tenants:
        return 0
    rows = connection.execute(text(_ROWS.format(key=key, table=table))).all()
    known = [{"key": row[0], "tenant": tenants.get(tuple(row[1:]), "")} for row in rows]
    known = [one for one in known if one["tenant"]]
    if known:
        connection.execute(text(_FILL.format(table=table, key=key)), known)
    return len(known)
