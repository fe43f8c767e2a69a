"""Places on a small chart and the curve between them, thinned to what can be seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_COLUMNS = 300  # the lowest and highest point of each is drawn, so that no peak is lost
_GAP_FACTOR = 5.0  # a silence of so many usual intervals breaks the curve
_SHORTEST_GAP_S = 60.0
_PAD = 5.0  # keeps dots off the axis
_BAND_SHOWN = 0.15  # of the way to a usual range that no value is in: so much of the range itself

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Frame:
    """Size of a chart and the edges of its drawing area, in SVG units."""

    width: float
    height: float = 88.0
    left: float = 44.0
    top: float = 8.0

    @property
    def right(self) -> float:
        """The right edge of the drawing area."""
        return self.width - 8.0

    @property
    def bottom(self) -> float:
        """The lower edge, where the time axis is; below it stand the hours."""
        return self.height - 18.0


@dataclass(frozen=True, slots=True)
class Axes:
    """The window of time and the range of values of one chart."""

    frame: Frame
    start_s: float
    end_s: float
    low: float
    high: float
    low_mark: float  # what is written at the axis: an observed value, or an edge of the range
    high_mark: float

    def x(self, time_s: float) -> float:
        """Return the place of a time; times outside the window stand at its edge."""
        share = (time_s - self.start_s) / (self.end_s - self.start_s)
        left, right = self.frame.left, self.frame.right
        return round(left + min(max(share, 0.0), 1.0) * (right - left), 1)

    def y(self, value: float) -> float:
        """Return the place of a value; up is more."""
        share = (value - self.low) / (self.high - self.low)
        low, high = self.frame.bottom - _PAD, self.frame.top + _PAD
        return round(low + share * (high - low), 1)


def axes_for(
    frame: Frame,
    start_s: float,
    end_s: float,
    values: Floats,
    usual: tuple[float | None, float | None] = (None, None),
) -> Axes:
    """Return the axes that hold all values, and of the usual range what shows where they stand.

    Values inside the range are drawn in the whole of it, so that a small change stays small;
    for values outside, its nearest edge is shown.
    """
    low, high = float(values.min()), float(values.max())
    low_mark = high_mark = None
    usual_low, usual_high = usual
    if usual_high is not None and low > usual_high:
        low_mark = usual_high
        low = usual_high - _BAND_SHOWN * (high - usual_high)
    elif usual_low is not None and high < usual_low:
        high_mark = usual_low
        high = usual_low + _BAND_SHOWN * (usual_low - low)
    elif (usual_low is None or low >= usual_low) and (usual_high is None or high <= usual_high):
        low = low if usual_low is None else usual_low
        high = high if usual_high is None else usual_high
    if high - low < 1e-9:  # a flat line is drawn in the middle
        low_mark = high_mark = low
        low, high = low - 1.0, high + 1.0
    return Axes(
        frame,
        start_s,
        end_s,
        low,
        high,
        low if low_mark is None else low_mark,
        high if high_mark is None else high_mark,
    )


def recorded_curve(times: Floats, values: Floats, axes: Axes) -> str:
    """Return the curve, thinned to what can be seen, and broken where nothing was recorded."""
    usual_s = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    keep = _extremes(times, values, axes)
    breaks = np.flatnonzero(np.diff(times) > max(_GAP_FACTOR * usual_s, _SHORTEST_GAP_S)) + 1
    pieces = np.split(np.arange(len(times)), breaks)
    return "".join(
        line(times[piece][keep[piece]], values[piece][keep[piece]], axes) for piece in pieces
    )


def _extremes(times: Floats, values: Floats, axes: Axes) -> npt.NDArray[np.bool_]:
    """Mark the first, lowest and highest point of each column of the chart, and the last of all."""
    width_s = (axes.end_s - axes.start_s) / _COLUMNS
    column = ((times - axes.start_s) // width_s).astype(np.int64)
    keep = np.zeros(len(times), np.bool_)
    keep[-1] = True
    starts = np.flatnonzero(np.r_[True, column[1:] != column[:-1]])
    for start, end in zip(starts, np.r_[starts[1:], len(times)], strict=True):
        keep[[start, start + values[start:end].argmin(), start + values[start:end].argmax()]] = True
    return keep


def line(times: Floats, values: Floats, axes: Axes) -> str:
    """Return SVG path data through all points."""
    points = [f"{axes.x(t)},{axes.y(v)}" for t, v in zip(times, values, strict=True)]
    if not points:
        return ""
    if len(points) == 1:  # a lone sample stays visible: round line caps draw a dot
        return f"M{points[0]}h0"
    return "M" + "L".join(points)
