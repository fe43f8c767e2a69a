"""The range behind a curve: the laboratory's own, or what an early-warning score calls usual.

The range of a laboratory counts for its values. Vital signs come without one: for them the band
that scores no points in NEWS2 is shown (Royal College of Physicians, National Early Warning Score
2, London 2017), for adults, with oxygen saturation on scale 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cds_hooks.explanation_page.figures import number
from model.record import Measurement

_NEWS2: dict[str, tuple[float | None, float | None]] = {
    "respiratory_rate": (12.0, 20.0),
    "oxygen_saturation": (96.0, None),
    "systolic_blood_pressure": (111.0, 219.0),
    "arterial_systolic_blood_pressure": (111.0, 219.0),
    "heart_rate": (51.0, 90.0),
    "body_temperature": (36.1, 38.0),
}


@dataclass(frozen=True, slots=True)
class UsualRange:
    """Bounds in the variable's unit; one of them may be open."""

    low: float | None
    high: float | None
    whose: str

    @property
    def text(self) -> str:
        """The range in words, for example "laboratory's range 0.5 to 2"."""
        if self.low is None or self.high is None:
            bound = number(self.low if self.high is None else self.high)  # type: ignore[arg-type]
            return f"{self.whose} {'from' if self.high is None else 'up to'} {bound}"
        return f"{self.whose} {number(self.low)} to {number(self.high)}"


def usual_range(variable: str, measurements: Sequence[Measurement] = ()) -> UsualRange | None:
    """Return the range of a variable; ``measurements`` are its own, sorted by time."""
    for one in reversed(measurements):
        if one.reference_low is not None or one.reference_high is not None:
            return UsualRange(one.reference_low, one.reference_high, "laboratory's range")
    if variable in _NEWS2:
        return UsualRange(*_NEWS2[variable], "no NEWS2 points")
    return None
