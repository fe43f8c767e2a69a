"""Whether a course is called rising or falling: one rule for the card and the explanation page."""

from __future__ import annotations

from model.prediction import StructuredEvidence

_LEAST_DAILY_CHANGE = 0.1  # of the last value; a slower trend is noise


def trend_of(evidence: StructuredEvidence) -> str:
    """Return "rising" or "falling", or "" where a day changes the value by less than a tenth."""
    slope, value = evidence.trend_per_hour, evidence.value
    if not slope or value is None or abs(slope) * 24 < _LEAST_DAILY_CHANGE * abs(value):
        return ""
    return "rising" if slope > 0 else "falling"
