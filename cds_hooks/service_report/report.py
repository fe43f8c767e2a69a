"""The document of a service report: all parts, with small cells hidden."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from cds_hooks.feedback_report import feedback_report
from cds_hooks.service_report.accuracy import accuracy, joined
from cds_hooks.service_report.cells import Cells, Json
from cds_hooks.service_report.inputs import drift
from cds_hooks.service_report.outcomes import read_outcomes
from cds_hooks.service_report.reading import Period, Unreadable, answered_hooks
from cds_hooks.service_report.sources import require_source
from cds_hooks.service_report.uptake import uptake
from cds_hooks.service_report.usage import usage
from cds_hooks.store import Store

LEAST_CELL = 5


def service_report(
    store: Store, period: Period, *, outcomes: Path | None = None, least_cell: int = LEAST_CELL
) -> Json:
    """Return the document of a period. Reads the store, and nothing else but ``outcomes``.

    Raises LabelsUnusable for a file of outcomes that cannot be used, or that may be about patients
    of more than one hospital.
    """
    cells, unreadable = Cells(least_cell), Unreadable()
    given = read_outcomes(outcomes) if outcomes else None
    if given is not None:
        require_source(store, period, by_patient=given.by_patient)
    hooks = list(answered_hooks(store, period, unreadable))
    feedback = feedback_report(store, **asdict(period))
    document: Json = {
        "period": {
            "from": _day(period.since),
            "to": _day(period.until),
            "service": period.service_id,
            "issuer": period.issuer,
            "tenant": period.tenant,
            "madeAt": store.clock().isoformat(timespec="seconds"),
        },
        "leastCell": least_cell,
        "unreadable": unreadable.rows,
        **usage(hooks, cells),
        **uptake(feedback, cells),
        "drift": drift(hooks),
    }
    if given is not None:
        document["accuracy"] = accuracy(joined(hooks, given, store), given, cells)
    return document


def _day(moment: datetime | None) -> str | None:
    return moment.date().isoformat() if moment else None
