"""What the model had before it: by kind of data, and by FHIR resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cds_hooks.explanation_page.figures import PageClock
from cds_hooks.explanation_page.reasons import group_title, is_measured, strongest
from model.prediction import Explanation, TokenAttribution
from model.record import PatientRecord

_MODALITIES = ("structured", "note", "device")


@dataclass(frozen=True, slots=True)
class Coverage:
    """One kind of data in the record, and how much of it the model read."""

    title: str
    held: str
    findings: str
    newest: str


@dataclass(frozen=True, slots=True)
class Source:
    """One FHIR resource and what was taken from it."""

    number: int  # of its row, which findings link to
    reference: str
    used_for: tuple[str, ...]


def sources_of(explanation: Explanation | None) -> tuple[Source, ...]:
    """Return each FHIR resource with what it gave, those of the strongest reasons first."""
    if explanation is None:
        return ()
    used: dict[str, dict[str, None]] = {}
    for token in strongest(explanation.tokens):
        name = getattr(token.evidence, "display", "") or getattr(token.evidence, "note_type", "")
        for reference in token.sources:
            used.setdefault(reference, {})[name] = None
    return tuple(
        Source(number, reference, tuple(names))
        for number, (reference, names) in enumerate(used.items(), start=1)
    )


def coverage(
    record: PatientRecord, explanation: Explanation | None, clock: PageClock
) -> tuple[Coverage, ...]:
    """Return a line for each kind of data, also for one that the chart has nothing of."""
    tokens = explanation.tokens if explanation else ()
    return tuple(
        Coverage(
            title=group_title(modality),
            held=_held(record, modality),
            findings=_findings([token for token in tokens if token.modality == modality]),
            newest=_newest_text(record, modality, clock),
        )
        for modality in _MODALITIES
    )


def _held(record: PatientRecord, modality: str) -> str:
    if modality == "structured":
        variables = {one.variable for one in record.measurements}
        return _many((len(record.measurements), "value"), (len(variables), "variable"))
    if modality == "note":
        sentences = sum(len(note.sentences) for note in record.notes)
        return _many((sentences, "sentence"), (len(record.notes), "note"))
    hours = sum(float(s.times_s[-1] - s.times_s[0]) / 3600 for s in record.device_series)
    if not record.device_series:
        return "nothing"
    channels = _counted(len(record.device_series), "channel")
    return f"{channels}, {hours / len(record.device_series):.0f} h each on average"


def _many(items: tuple[int, str], groups: tuple[int, str]) -> str:
    return f"{_counted(*items)} of {_counted(*groups)}" if items[0] else "nothing"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _findings(tokens: Sequence[TokenAttribution]) -> str:
    measured = sum(is_measured(token) for token in tokens)
    absent = len(tokens) - measured
    also = f", {_counted(absent, 'variable')} never measured" if absent else ""
    return f"{_counted(measured, 'finding')}{also}"


def _newest_text(record: PatientRecord, modality: str, clock: PageClock) -> str:
    newest = _newest(record, modality)
    return clock.with_age(newest) if newest else "none"


def _newest(record: PatientRecord, modality: str) -> datetime | None:
    if modality == "structured":
        return max((one.time for one in record.measurements), default=None)
    if modality == "note":
        return max((note.time for note in record.notes), default=None)
    ends = [float(series.times_s[-1]) for series in record.device_series if len(series.times_s)]
    return datetime.fromtimestamp(max(ends), UTC) if ends else None
