"""Which rows a report is about, of any table that says when, for what service and for whom."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, ColumnElement


def chosen_rows(
    time_s: Column[float],
    since: datetime | None,
    until: datetime | None,
    *,
    service_id: str | None,
    issuer: str | None,
    tenant: str | None,
) -> list[ColumnElement[bool]]:
    """Return conditions on the table of ``time_s``: [since, until), and what is not None.

    A tenant of "" chooses rows without one.
    """
    chosen: list[ColumnElement[bool]] = []
    if since is not None:
        chosen.append(time_s >= since.timestamp())
    if until is not None:
        chosen.append(time_s < until.timestamp())
    named = {"service_id": service_id, "issuer": issuer, "tenant": tenant}
    columns = time_s.table.c
    return chosen + [columns[name] == value for name, value in named.items() if value is not None]
