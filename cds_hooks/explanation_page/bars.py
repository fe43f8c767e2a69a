"""Geometry of the signed bars: plain numbers that the templates write into SVG."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

WIDTH = 240.0
_MARGIN = 4.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar from zero to a value, with a whisker of one standard error each way."""

    zero: float
    x: float
    width: float
    raises: bool
    whisker_low: float
    whisker_high: float


@dataclass(frozen=True, slots=True)
class Scale:
    """A signed linear scale that all bars of one table share."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Return the place of a value on the strip, 0..WIDTH."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(_MARGIN + share * (WIDTH - 2 * _MARGIN), 1)

    def bar(self, value: float, standard_error: float = 0.0) -> Bar:
        """Return the bar of one value."""
        start, end = sorted((self.x(0.0), self.x(value)))
        return Bar(
            zero=self.x(0.0),
            x=start,
            width=max(round(end - start, 1), 1.0),
            raises=value >= 0,
            whisker_low=self.x(value - standard_error),
            whisker_high=self.x(value + standard_error),
        )


def scale_for(values: Iterable[tuple[float, float]]) -> Scale:
    """Return the scale that holds all (value, standard error) pairs and zero."""
    low = high = 0.0
    for value, error in values:
        low, high = min(low, value - error), max(high, value + error)
    if high - low < 1e-9:  # nothing but zeros: any scale shows them
        return Scale(-1.0, 1.0)
    return Scale(low, high)
