"""The course of device channels and charted values, as geometry for small charts of one time axis.

Device patches that moved the prediction are marked behind the curve: their attribution is about
the patch as a whole, not about a single sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from cds_hooks.explanation_page.curve import Axes, Floats, Frame, axes_for, line, recorded_curve
from cds_hooks.explanation_page.figures import MINUS, PageClock, logit_text, number, unit_text
from cds_hooks.explanation_page.reasons import is_measured, strongest
from cds_hooks.explanation_page.usual_ranges import UsualRange, usual_range
from model.prediction import DeviceEvidence, StructuredEvidence, TokenAttribution
from model.record import DeviceSeries, Measurement, PatientRecord

_LONGEST_WINDOW = timedelta(hours=48)
_CHARTED_SHOWN = 8
_LEVELS = (0.1, 0.33, 0.66)  # shares of the strongest patch; weaker ones are not marked
_TICK_HOURS = (1, 2, 3, 6, 12)
_PIXELS_A_TICK = 80
_WIDE, _NARROW = Frame(720.0), Frame(340.0)

Patch = tuple[TokenAttribution, DeviceEvidence]


@dataclass(frozen=True, slots=True)
class Mark:
    """A patch behind the curve that moved the prediction."""

    x: float
    width: float
    level: int  # 1..3
    raises: bool
    title: str


@dataclass(frozen=True, slots=True)
class Dot:
    """One charted value."""

    x: float
    y: float
    flag: str  # the laboratory's own flag, "" if none
    title: str


@dataclass(frozen=True, slots=True)
class Band:
    """The usual range behind a curve."""

    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One channel or variable."""

    title: str
    unit: str
    extent: str  # lowest and highest value, and the usual range, in words
    band: Band | None
    path: str  # SVG path data
    marks: tuple[Mark, ...]
    dots: tuple[Dot, ...]
    value_ticks: tuple[Tick, ...]
    frame: Frame
    ticks: tuple[Tick, ...]
    summary: str  # what the chart shows, for those who do not see it


@dataclass(frozen=True, slots=True)
class Timeline:
    """All charts, over one window of time."""

    device: tuple[Chart, ...]
    charted: tuple[Chart, ...]


def timeline(
    record: PatientRecord, tokens: Sequence[TokenAttribution], clock: PageClock
) -> Timeline:
    """Draw every device channel, and the charted values with the strongest attributions."""
    end_s = record.prediction_time.timestamp()
    start_s = _window_start(record)
    patches = [(t, t.evidence) for t in tokens if isinstance(t.evidence, DeviceEvidence)]
    largest = max((abs(token.shap_logit) for token, _ in patches), default=0.0)
    device = (
        _device_chart(series, patches, largest, (start_s, end_s), clock)
        for series in record.device_series
    )
    charted = (
        _charted_chart(token.evidence, record.measurements, (start_s, end_s), clock)
        for token in strongest(tokens)
        if isinstance(token.evidence, StructuredEvidence) and is_measured(token)
    )
    return Timeline(
        device=tuple(chart for chart in device if chart),
        charted=tuple(chart for chart in charted if chart)[:_CHARTED_SHOWN],
    )


def _window_start(record: PatientRecord) -> float:
    """Begin at the earliest item, but not more than the longest window ago."""
    earliest_s = record.prediction_time.timestamp() - 3600
    times = [m.time.timestamp() for m in record.measurements]
    times += [float(series.times_s[0]) for series in record.device_series if len(series.times_s)]
    limit_s = (record.prediction_time - _LONGEST_WINDOW).timestamp()
    return max(limit_s, min([earliest_s, *times]))


def _ticks(axes: Axes) -> tuple[Tick, ...]:
    hours = (axes.end_s - axes.start_s) / 3600
    most = (axes.frame.right - axes.frame.left) / _PIXELS_A_TICK
    step = next((step for step in _TICK_HOURS if hours / step <= most), _TICK_HOURS[-1])
    before = range(step, int(hours) + 1, step)
    ticks = [Tick(axes.x(axes.end_s - 3600 * h), f"{MINUS}{h} h") for h in before]
    return (*reversed(ticks), Tick(axes.x(axes.end_s), "now"))


def _value_ticks(axes: Axes) -> tuple[Tick, ...]:
    marks = dict.fromkeys((axes.high_mark, axes.low_mark))  # one, where all values are alike
    return tuple(Tick(axes.y(value), number(value)) for value in marks)


def _device_chart(
    series: DeviceSeries,
    patches: Sequence[Patch],
    largest: float,
    window: tuple[float, float],
    clock: PageClock,
) -> Chart | None:
    start_s, end_s = window
    inside = (series.times_s >= start_s) & (series.times_s <= end_s)
    if not inside.any():
        return None
    times, values = series.times_s[inside], series.values[inside].astype(np.float64)
    usual = usual_range(series.channel)
    axes = axes_for(_WIDE, start_s, end_s, values, _bounds(usual))
    own = [(token, patch) for token, patch in patches if patch.channel == series.channel]
    marks = tuple(
        _mark(token, patch, largest, axes, clock) for token, patch in own if _level(token, largest)
    )
    title = own[0][1].display if own else series.channel.replace("_", " ").capitalize()
    title += f", {series.device_name}" if series.device_name else ""
    unit = unit_text(series.unit)
    extent = _extent(values, usual)
    return Chart(
        title=title,
        unit=unit,
        extent=extent,
        band=_band(usual, axes),
        path=recorded_curve(times, values, axes),
        marks=marks,
        dots=(),
        value_ticks=_value_ticks(axes),
        frame=axes.frame,
        ticks=_ticks(axes),
        summary=f"{title}, {unit}: {extent}; {len(marks)} marked stretches of time",
    )


def _bounds(usual: UsualRange | None) -> tuple[float | None, float | None]:
    return (usual.low, usual.high) if usual else (None, None)


def _extent(values: Floats, usual: UsualRange | None) -> str:
    low, high = number(float(values.min())), number(float(values.max()))
    seen = low if low == high else f"{low} to {high}"
    return f"{seen}; {usual.text}" if usual else seen


def _band(usual: UsualRange | None, axes: Axes) -> Band | None:
    """Return the part of the usual range that the axes show, None if they show nothing of it."""
    if usual is None:
        return None
    top, bottom = axes.frame.top, axes.frame.bottom
    upper = top if usual.high is None or usual.high > axes.high else axes.y(usual.high)
    lower = bottom if usual.low is None or usual.low < axes.low else axes.y(usual.low)
    outside = (usual.high is not None and usual.high < axes.low) or (
        usual.low is not None and usual.low > axes.high
    )
    return None if outside else Band(upper, round(lower - upper, 1))


def _mark(
    token: TokenAttribution, evidence: DeviceEvidence, largest: float, axes: Axes, clock: PageClock
) -> Mark:
    start, end = axes.x(evidence.start.timestamp()), axes.x(evidence.end.timestamp())
    change = logit_text(token.shap_logit, token.shap_standard_error_logit)
    return Mark(
        x=start,
        width=round(end - start, 1),
        level=_level(token, largest),
        raises=token.shap_logit >= 0,
        title=f"{clock.span(evidence.start, evidence.end)}: {change}",
    )


def _level(token: TokenAttribution, largest: float) -> int:
    return sum(abs(token.shap_logit) > step * largest for step in _LEVELS)


def _charted_chart(
    evidence: StructuredEvidence,
    measurements: Sequence[Measurement],
    window: tuple[float, float],
    clock: PageClock,
) -> Chart | None:
    start_s, end_s = window
    own = [
        m
        for m in measurements
        if m.variable == evidence.variable and start_s <= m.time.timestamp() <= end_s
    ]
    if len(own) < 2:  # a single value stands in the table above
        return None
    times = np.array([m.time.timestamp() for m in own])
    values = np.array([m.value for m in own])
    usual = usual_range(evidence.variable, own)
    axes = axes_for(_NARROW, start_s, end_s, values, _bounds(usual))
    unit = unit_text(evidence.unit)
    extent = _extent(values, usual)
    return Chart(
        title=evidence.display,
        unit=unit,
        extent=extent,
        band=_band(usual, axes),
        path=line(times, values, axes),
        marks=(),
        dots=tuple(_dot(m, axes, unit, clock) for m in own),
        value_ticks=_value_ticks(axes),
        frame=axes.frame,
        ticks=_ticks(axes),
        summary=f"{evidence.display}, {unit}: {len(own)} values, {extent}",
    )


def _dot(measurement: Measurement, axes: Axes, unit: str, clock: PageClock) -> Dot:
    flag = measurement.interpretation or ""
    value = f"{number(measurement.value)} {unit}".strip()
    return Dot(
        x=axes.x(measurement.time.timestamp()),
        y=axes.y(measurement.value),
        flag="" if flag == "N" else flag,
        title=f"{clock.short(measurement.time)}: {value} {flag}".strip(),
    )
