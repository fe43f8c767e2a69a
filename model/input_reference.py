"""What the inputs of training looked like, so that a site can see how far its own are from them.

The checkpoint ships the quantiles of each variable's last value and of each device channel's
patch means. Between two of them lies an equal share of the training records. A variable whose
quantiles coincide (a saturation of 97 % holds more than one of the shares) cannot be compared in
this way, and is left out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.record import PatientRecord
from model.vocabulary import PATCH_STATS, STATICS, STRUCTURED_STATS, TokenConfig, VariableSpec

_LAST = STRUCTURED_STATS.index("last")
_MEAN = PATCH_STATS.index("mean")
_CODED = frozenset(STATICS) - {"age_years"}  # their values are codes, not amounts


@dataclass(frozen=True, slots=True)
class InputReference:
    """Inner quantiles by input: "lactate" for a charted variable, "device/heart_rate"."""

    edges: Mapping[str, tuple[float, ...]]
    lookback_s: float
    patch_s: float

    @property
    def bin_count(self) -> int:
        """How many bins each input has; each held the same share in training."""
        return 1 + len(next(iter(self.edges.values()), ()))

    def bins(self, record: PatientRecord) -> dict[str, int]:
        """In which bin each input of a record lies. Inputs without a value have none."""
        return {
            name: bisect_right(self.edges[name], value)
            for name, value in self._values(record).items()
            if name in self.edges
        }

    def _values(self, record: PatientRecord) -> dict[str, float]:
        now_s = record.prediction_time.timestamp()
        values: dict[str, float] = {}
        if record.demographics.age_years is not None:
            values["age_years"] = record.demographics.age_years
        for one in record.measurements:  # sorted by time: the last one stays
            if one.time.timestamp() > now_s - self.lookback_s:
                values[one.variable] = one.value
        for series in record.device_series:
            recent = series.values[series.times_s > now_s - self.patch_s]
            if len(recent):
                values[f"device/{series.channel}"] = float(np.mean(recent))
        return values


def input_reference(tokens: TokenConfig, normalisation: Mapping[str, Any]) -> InputReference:
    """Read it from a checkpoint's vocabulary and normalisation."""
    charted = _edges(tokens.variables, normalisation["structured"]["low"], _LAST)
    device = _edges(tokens.channels, normalisation["device"]["low"], _MEAN)
    return InputReference(
        edges={
            **{name: edges for name, edges in charted.items() if name not in _CODED},
            **{f"device/{name}": edges for name, edges in device.items()},
        },
        lookback_s=tokens.lookback_hours * 3600.0,
        patch_s=tokens.patch_hours * 3600.0,
    )


def _edges(
    specs: tuple[VariableSpec, ...], low: list[list[list[float]]], statistic: int
) -> dict[str, tuple[float, ...]]:
    """The inner quantiles of each variable whose quantiles all differ."""
    found = {spec.name: tuple(rows[statistic][1:]) for spec, rows in zip(specs, low, strict=True)}
    return {name: edges for name, edges in found.items() if len(set(edges)) == len(edges)}
