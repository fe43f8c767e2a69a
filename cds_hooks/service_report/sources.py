"""Whose predictions a file of outcomes is about: a patient's id is unique in one hospital only."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from cds_hooks import tables
from cds_hooks.database import reading
from cds_hooks.errors import LabelsUnusable
from cds_hooks.service_report.reading import Period, Source
from cds_hooks.store import Store


def require_source(store: Store, period: Period, *, by_patient: bool) -> None:
    """Refuse a choice that no prediction has, and patients of more than one hospital.

    All that is stored counts, not the period alone: outcomes of one hospital may fall into days on
    which only another one's hooks were answered. Raises LabelsUnusable.
    """
    held = _sources(store)
    chosen = [one for one in held if _is_chosen(one, period)]
    if held and not chosen:
        raise LabelsUnusable(
            f"No stored prediction is for {_words(period)}; they are for {_listed(held)}."
        )
    if not by_patient:
        return
    for name, option in (("issuer", "--issuer"), ("tenant", "--tenant")):
        found = sorted({getattr(one, name) for one in chosen})
        if len(found) > 1:
            raise LabelsUnusable(
                f"Predictions are stored for more than one {name}, whose patients may have the same"
                f" ids: {_listed(chosen)}. Say with {option} whose patients the outcomes are about."
            )


def _sources(store: Store) -> list[Source]:
    columns = tables.predictions.c
    with reading(store.engine) as connection:
        rows = connection.execute(select(columns.issuer, columns.tenant).distinct())
        return sorted(Source(*row) for row in rows)


def _is_chosen(source: Source, period: Period) -> bool:
    return period.issuer in (None, source.issuer) and period.tenant in (None, source.tenant)


def _words(period: Period) -> str:
    words = [f"the issuer {period.issuer}"] if period.issuer is not None else []
    if period.tenant is not None:
        words.append(f"the tenant {period.tenant}" if period.tenant else "no tenant")
    return " and ".join(words)


def _listed(sources: Sequence[Source]) -> str:
    if not any(one.tenant for one in sources):
        return ", ".join(one.issuer for one in sources)
    return ", ".join(
        f"{one.issuer} ({f'tenant {one.tenant}' if one.tenant else 'no tenant'})" for one in sources
    )
