"""SampledData: many values of one channel in one string.

value = origin + factor * sample. ``E`` (error) and samples without value are gaps; ``L`` and ``U``
(beyond the limits of detection) count as the limit where it is stated, else as gaps. R4 states the
sampling period in milliseconds; R5 an interval with its unit, or the offset of each sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fhir_adapters.chart import Resource
from fhir_adapters.codes import Variable
from fhir_adapters.times import parse_moment
from fhir_adapters.unit_table import TIME, UNITS
from fhir_adapters.units import conversion
from fhir_adapters.values import number_of, text_of

Floats = npt.NDArray[np.float64]
_LETTERS = frozenset("ELU")
LONGEST_DATA = 50_000_000  # characters, about 10 million samples; more is refused, not read


class UnreadableSamples(Exception):
    """The samples cannot be used; the message says why, ``reason`` is the ReportLine's."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The samples that have a value, in the variable's canonical unit."""

    offsets_s: Floats  # (n,) seconds after the first sample of the series
    values: Floats  # (n,)
    period_s: float | None  # None where the samples state their own offsets
    duration_s: float  # from the first to the end of the last sample, gaps included
    remark: str = ""


def dimensions_of(data: object) -> int:
    """Return how many values stand at each time; 1 where nothing sensible is stated."""
    stated = number_of(data.get("dimensions", 1)) if isinstance(data, dict) else None
    return int(stated) if stated is not None and stated == int(stated) and stated >= 1 else 1


def of_dimension(data: dict[str, Any], dimension: int) -> dict[str, Any]:
    """Return one dimension of interlaced samples as SampledData of its own.

    Raises UnreadableSamples where the samples are not whole rows.
    """
    count, text = dimensions_of(data), data.get("data")
    tokens = text.split() if isinstance(text, str) and len(text) <= LONGEST_DATA else []
    if not tokens or len(tokens) % count:
        raise UnreadableSamples("value", "has SampledData that are not whole rows of dimensions")
    return {**data, "dimensions": 1, "data": " ".join(tokens[dimension::count])}


def read_samples(data: object, variable: Variable) -> Samples:
    """Read a SampledData; raises UnreadableSamples."""
    if not isinstance(data, dict):
        raise UnreadableSamples("value", "has SampledData that is no object")
    if number_of(data.get("dimensions", 1)) != 1:
        raise UnreadableSamples("value", "has SampledData of several dimensions")
    origin, factor = _origin(data, variable)
    raw, limited = _parse(data)
    offsets_s, period_s, duration_s = _offsets(data, len(raw))
    with np.errstate(over="ignore", invalid="ignore"):
        values = (origin.number + factor * raw) * origin.factor + origin.offset
    for letter, limit in (("L", "lowerLimit"), ("U", "upperLimit")):
        bound = number_of(data.get(limit))
        if letter in limited and bound is not None:
            values[limited[letter]] = bound * origin.factor + origin.offset
    known = np.isfinite(values)
    if not known.any():
        raise UnreadableSamples("value", "has SampledData without a single value")
    remark = ""
    if any(known[places].any() for places in limited.values()):
        remark = "has samples beyond the limits of detection, the limit counts"
    if known.all():
        return Samples(offsets_s, values, period_s, duration_s, remark)
    return Samples(offsets_s[known], values[known], period_s, duration_s, remark)


def samples_start_s(observation: Resource, samples: Samples) -> float:
    """Return when the first sample was taken, in seconds since the epoch.

    A period starts with its first sample; a single effective time is that of the first sample,
    which places the others later and so never too early. Raises UnreadableSamples without an
    exact time: a date cannot place samples within its day.
    """
    period = observation.get("effectivePeriod")
    if isinstance(period, dict):
        start, end = parse_moment(period.get("start")), parse_moment(period.get("end"))
        if start is not None and start.exact:
            return start.time.timestamp()
        if start is None and end is not None and end.exact:
            return end.time.timestamp() - samples.duration_s
    for element in ("effectiveDateTime", "effectiveInstant"):
        moment = parse_moment(observation.get(element))
        if moment is not None and moment.exact:
            return moment.time.timestamp()
    raise UnreadableSamples("time", "has SampledData without an exact start")


@dataclass(frozen=True, slots=True)
class _Origin:
    number: float
    factor: float
    offset: float


def _origin(data: dict[str, Any], variable: Variable) -> tuple[_Origin, float]:
    origin = data.get("origin")
    origin = origin if isinstance(origin, dict) else {}
    number = number_of(origin.get("value"))
    factor = number_of(data.get("factor", 1))
    if number is None or factor is None:
        raise UnreadableSamples("value", "has SampledData without a numeric origin and factor")
    unit, code, system = (text_of(origin.get(name)) for name in ("unit", "code", "system"))
    found = conversion(variable, unit, code, system)
    if found is None:
        raise UnreadableSamples("unit", f"has SampledData in a unit unlike {variable.unit}")
    return _Origin(number, found.factor, found.offset), factor


def _parse(data: dict[str, Any]) -> tuple[Floats, dict[str, npt.NDArray[np.bool_]]]:
    """Return the samples (NaN where none) and the places of L and U."""
    text = data.get("data")
    if not isinstance(text, str) or not text or text.isspace():
        raise UnreadableSamples("value", "has SampledData without data")
    if len(text) > LONGEST_DATA:
        raise UnreadableSamples("value", "has more SampledData than is read at once")
    tokens = text.split()  # also at the no-break spaces that are sent
    # A signal repeats a few hundred different texts: each is read once, letters among them.
    try:
        read = {token: np.nan if token in _LETTERS else float(token) for token in set(tokens)}
    except ValueError as problem:
        raise UnreadableSamples("value", "has SampledData with a sample that is no number") from (
            problem
        )
    numbers = np.fromiter(map(read.__getitem__, tokens), np.float64, len(tokens))
    limited = {
        letter: np.fromiter(map(letter.__eq__, tokens), bool, len(tokens))
        for letter in "LU"
        if letter in read
    }
    return numbers, limited


def _offsets(data: dict[str, Any], count: int) -> tuple[Floats, float | None, float]:
    """Return the samples' offsets, the period if regular, and the duration, in seconds."""
    if data.get("offsets") is not None:
        return _stated_offsets(data, count)
    if data.get("interval") is not None:
        number, unit_s = number_of(data["interval"]), _interval_unit_s(data)
    else:
        number, unit_s = number_of(data.get("period")), 1e-3
    if number is None or number <= 0:
        raise UnreadableSamples("value", "has SampledData without a sampling period")
    period_s = number * unit_s
    return np.arange(count, dtype=np.float64) * period_s, period_s, count * period_s


def _stated_offsets(data: dict[str, Any], count: int) -> tuple[Floats, None, float]:
    text = data["offsets"]
    try:
        offsets = np.array(text.split() if isinstance(text, str) else [], dtype=np.float64)
    except ValueError as problem:
        raise UnreadableSamples("value", "has SampledData with unreadable offsets") from problem
    if len(offsets) != count or not np.isfinite(offsets).all():
        raise UnreadableSamples("value", "has SampledData whose offsets do not fit its samples")
    offsets_s = offsets * _interval_unit_s(data)
    return offsets_s, None, float(offsets_s.max(initial=0.0))


def _interval_unit_s(data: dict[str, Any]) -> float:
    unit = UNITS.get(text_of(data.get("intervalUnit")))
    if unit is None or unit.dimension != TIME:
        raise UnreadableSamples("unit", "has SampledData whose intervalUnit is no unit of time")
    return unit.factor
