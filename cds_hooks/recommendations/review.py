"""What a site is warned of: steps whose review is overdue, and guidelines with a newer edition.

A warning is no fault: the step is offered all the same. The date of a review is that of a person
who compared the step with its guideline, so only that person may change it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from cds_hooks.recommendations.step import Step

REVIEW_EVERY = timedelta(days=365)


def warnings(step: Step, today: date) -> Iterator[str]:
    """Yield sentences about one step."""
    reviewed = _end_of(step.reviewed)
    if reviewed is None:
        yield "no lastReviewDate says when it was compared with its guideline"
    elif today > reviewed + REVIEW_EVERY:
        days = (today - reviewed - REVIEW_EVERY).days
        overdue = "1 day" if days == 1 else f"{days} days"
        yield f"last reviewed on {step.reviewed}; the yearly review is overdue by {overdue}"
    for one in step.citations:
        if one.newer:
            yield f"cites {one.label}; newer, and not reviewed: {one.newer}"


def _end_of(text: str) -> date | None:
    """The last day that a FHIR date may mean: of a year its last one, of a month likewise."""
    parts = [int(part) for part in text.split("-")] if text else []
    if len(parts) == 3:
        return date(*parts)
    if len(parts) == 2:
        year, month = parts
        return date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    return date(parts[0], 12, 31) if parts else None
