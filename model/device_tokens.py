"""Device tokens: one for each channel and patch of time that holds samples."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from model.prediction import DeviceEvidence
from model.record import DeviceSeries, PatientRecord
from model.vocabulary import (
    PATCH_STATS,
    SECONDS_PER_HOUR,
    Doubles,
    Floats,
    Integers,
    TokenConfig,
    TokenLabel,
    VariableSpec,
)
from model.windows import slope


def device_tokens(
    record: PatientRecord, config: TokenConfig, with_labels: bool
) -> tuple[tuple[Floats, Integers, Integers], list[TokenLabel]]:
    end_s = record.prediction_time.timestamp()
    patch_s = config.patch_hours * SECONDS_PER_HOUR
    edges: Doubles = end_s + np.arange(-config.patch_count, 1, dtype=np.float64) * patch_s
    stats: list[Doubles] = []
    channels: list[Integers] = []
    patches: list[Integers] = []
    labels: list[TokenLabel] = []
    for series in record.device_series:
        channel = config.channel_index.get(series.channel)
        if channel is None:
            continue
        bounds = np.searchsorted(series.times_s, edges, side="right")
        bounds[0] = np.searchsorted(series.times_s, edges[0], side="left")  # a closed window
        filled = np.flatnonzero(bounds[1:] > bounds[:-1])
        if not len(filled):
            continue
        rows = _patch_stats(series, bounds[filled], bounds[filled + 1], edges[filled + 1], config)
        stats.append(rows)
        channels.append(np.full(len(filled), channel, np.int64))
        patches.append(filled)
        if with_labels:
            labels += _patch_labels(series, config.channels[channel], bounds, filled, edges, rows)
    if not stats:
        none = np.zeros(0, np.int64)
        return (np.zeros((0, len(PATCH_STATS)), np.float32), none, none), []
    arrays = (
        np.concatenate(stats).astype(np.float32),
        np.concatenate(channels),
        np.concatenate(patches),
    )
    return arrays, labels


def _patch_stats(
    series: DeviceSeries, starts: Integers, ends: Integers, end_s: Doubles, config: TokenConfig
) -> Doubles:
    """Return (k, 6) statistics of consecutive, non-empty patches."""
    used = slice(int(starts[0]), int(ends[-1]))
    offsets = starts - starts[0]
    count = ends - starts
    values = series.values[used].astype(np.float64)
    hours = (series.times_s[used] - np.repeat(end_s, count)) / SECONDS_PER_HOUR
    mean = np.add.reduceat(values, offsets) / count
    deviation = values - np.repeat(mean, count)
    time_deviation = hours - np.repeat(np.add.reduceat(hours, offsets) / count, count)
    trend = slope(
        np.add.reduceat(deviation * time_deviation, offsets),
        np.add.reduceat(time_deviation**2, offsets),
    )
    several = count > 1
    return np.stack(
        [
            mean,
            np.where(several, np.sqrt(np.add.reduceat(deviation**2, offsets) / count), np.nan),
            np.where(several, trend, np.nan),
            np.minimum.reduceat(values, offsets),
            np.maximum.reduceat(values, offsets),
            _coverage(series, hours, offsets, count, config.patch_hours),
        ],
        axis=1,
    )


def _coverage(
    series: DeviceSeries, hours: Doubles, offsets: Integers, count: Integers, patch_hours: int
) -> Doubles:
    """Share of the samples that the period promises; without one, share of hours with a sample."""
    if series.period_s:
        covered = count * series.period_s / SECONDS_PER_HOUR
    else:
        hour = np.floor(hours - 1e-9)  # the hour's own end belongs to it, as with patches
        begins = np.r_[True, hour[1:] != hour[:-1]]
        begins[offsets] = True
        covered = np.add.reduceat(begins.astype(np.float64), offsets)
    return np.minimum(covered / patch_hours, 1.0)


def _patch_labels(
    series: DeviceSeries,
    spec: VariableSpec,
    bounds: Integers,
    filled: Integers,
    edges: Doubles,
    rows: Doubles,
) -> list[TokenLabel]:
    times = [datetime.fromtimestamp(edge, UTC) for edge in edges.tolist()]
    labels = []
    for patch, row in zip(filled.tolist(), rows.tolist(), strict=True):
        evidence = DeviceEvidence(
            channel=spec.name,
            display=spec.display,
            unit=spec.unit,
            start=times[patch],
            end=times[patch + 1],
            mean=row[0],
            minimum=row[3],
            maximum=row[4],
            coverage=row[5],
        )
        sources = _patch_sources(series, int(bounds[patch]), int(bounds[patch + 1]))
        token_id = f"device/{spec.name}/{patch}"
        labels.append(TokenLabel(token_id, "device", spec.organ_system, evidence, sources))
    return labels


def _patch_sources(series: DeviceSeries, start: int, end: int) -> tuple[str, ...]:
    if len(series.sources) == 1:
        return series.sources
    newest_first = dict.fromkeys(series.source_index[start:end][::-1].tolist())
    return tuple(series.sources[index] for index in newest_first)
