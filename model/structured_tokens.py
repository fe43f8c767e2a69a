"""Structured tokens: one for each variable of the vocabulary, measured or not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.prediction import StructuredEvidence
from model.record import Measurement, PatientRecord
from model.vocabulary import (
    SECONDS_PER_HOUR,
    SEX_CODES,
    STRUCTURED_STATS,
    Doubles,
    Floats,
    Integers,
    TokenConfig,
    TokenLabel,
    VariableSpec,
)
from model.windows import slope, window


def structured_tokens(
    record: PatientRecord, config: TokenConfig, with_labels: bool
) -> tuple[Floats, list[TokenLabel]]:
    """Return the statistics (V, 9) of every variable of the vocabulary, and their labels."""
    recent = window(record.measurements, record.prediction_time, config.lookback_hours)
    known = [m for m in recent if m.variable in config.variable_index]
    index = np.array([config.variable_index[m.variable] for m in known], np.int64)
    order = np.argsort(index, kind="stable")  # by variable, then still by time
    stats = np.full((len(config.variables), len(STRUCTURED_STATS)), np.nan)
    if known:
        values = np.array([m.value for m in known], np.float64)[order]
        now_s = record.prediction_time.timestamp()
        hours = np.array([m.time.timestamp() - now_s for m in known])[order] / SECONDS_PER_HOUR
        _fill_stats(stats, index[order], values, hours)
    statics = _statics(record, config)
    for position, (value, _, _) in statics.items():
        stats[position, 0] = value
    if not with_labels:
        return stats.astype(np.float32), []
    by_variable: list[list[Measurement]] = [[] for _ in config.variables]
    for measurement, position in zip(known, index.tolist(), strict=True):
        by_variable[position].append(measurement)
    labels = [
        _structured_label(spec, row, items, statics.get(position))
        for position, (spec, row, items) in enumerate(
            zip(config.variables, stats.tolist(), by_variable, strict=True)
        )
    ]
    return stats.astype(np.float32), labels


def _fill_stats(stats: Doubles, index: Integers, values: Doubles, hours: Doubles) -> None:
    """Write a row for each variable in index; index is sorted, hours ascend within a variable."""
    starts = np.flatnonzero(np.r_[True, index[1:] != index[:-1]])
    ends = np.r_[starts[1:], len(index)]
    count = ends - starts
    mean = np.add.reduceat(values, starts) / count
    mean_hours = np.add.reduceat(hours, starts) / count
    deviation = values - np.repeat(mean, count)
    time_deviation = hours - np.repeat(mean_hours, count)
    several = count > 1
    sd = np.sqrt(np.add.reduceat(deviation**2, starts) / count)
    trend = slope(
        np.add.reduceat(deviation * time_deviation, starts),
        np.add.reduceat(time_deviation**2, starts),
    )
    rows = np.stack(
        [
            values[ends - 1],
            np.minimum.reduceat(values, starts),
            np.maximum.reduceat(values, starts),
            mean,
            values[starts],
            np.where(several, sd, np.nan),
            np.where(several, trend, np.nan),
            count,
            -hours[ends - 1],
        ],
        axis=1,
    )
    stats[index[starts]] = rows


def _statics(record: PatientRecord, config: TokenConfig) -> dict[int, tuple[float, str, str]]:
    """Return value, wording and source of what does not change during the stay, by position."""
    person, stay = record.demographics, record.stay
    found: dict[str, tuple[float, str, str]] = {}
    if person.age_years is not None:
        found["age_years"] = (person.age_years, "", person.source)
    if person.sex in SEX_CODES:
        found["sex"] = (SEX_CODES[person.sex], person.sex, person.source)
    if stay is not None and stay.unit_type in config.unit_types:
        code = float(config.unit_types.index(stay.unit_type))
        found["unit_type"] = (code, stay.unit_type, stay.source)
    positions = config.variable_index
    return {positions[name]: entry for name, entry in found.items() if name in positions}


def _structured_label(
    spec: VariableSpec,
    stats: list[float],
    items: Sequence[Measurement],
    static: tuple[float, str, str] | None,
) -> TokenLabel:
    if static is not None:
        value, text, source = static
        evidence = StructuredEvidence(
            spec.name, spec.display, spec.unit, measured=True, value=value, text=text, count=1
        )
        sources: tuple[str, ...] = (source,)
    elif items:
        trend = stats[6]
        evidence = StructuredEvidence(
            spec.name,
            spec.display,
            spec.unit,
            measured=True,
            value=stats[0],
            time=items[-1].time,
            minimum=stats[1],
            maximum=stats[2],
            count=len(items),
            trend_per_hour=None if np.isnan(trend) else trend,
        )
        sources = tuple(dict.fromkeys(item.source for item in reversed(items)))
    else:
        evidence = StructuredEvidence(spec.name, spec.display, spec.unit, measured=False)
        sources = ()
    return TokenLabel(f"structured/{spec.name}", "structured", spec.organ_system, evidence, sources)
