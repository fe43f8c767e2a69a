"""Artefacts of dense device series: flat lines of a lost sensor, and one-point spikes.

Both rules need density, for only then does a repeated or jumping value contradict physiology:
hourly charted values may well repeat. Their limits are columns of variables.csv, empty where a
channel's signal may really rest (SpO2 at 100 %) or jump (steps).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fhir_adapters.codes import Variable

DENSE_S = 120.0  # points at most this far apart are neighbours of one signal
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def is_artefact(times_s: Floats, values: Floats, variable: Variable) -> Flags:
    """Mark the artefacts of a series sorted by time; all arrays (n,)."""
    artefact = np.zeros(len(values), dtype=bool)
    if variable.flat_line_min is not None:
        artefact |= _flat_lines(times_s, values, variable.flat_line_min * 60.0)
    if variable.max_jump is not None:
        artefact |= _spikes(times_s, values, variable.max_jump)
    return artefact


def _flat_lines(times_s: Floats, values: Floats, longest_s: float) -> Flags:
    """Mark runs of exactly equal, dense values that last ``longest_s`` or more.

    A sensor that lost contact repeats its last value; a living signal of this density does not.
    """
    if len(values) < 2:
        return np.zeros(len(values), dtype=bool)
    breaks = (np.diff(values) != 0) | (np.diff(times_s) > DENSE_S)
    starts = np.concatenate(([0], np.flatnonzero(breaks) + 1))
    ends = np.concatenate((starts[1:], [len(values)])) - 1
    long = times_s[ends] - times_s[starts] >= longest_s
    return np.repeat(long, ends - starts + 1)


def _spikes(times_s: Floats, values: Floats, max_jump: float) -> Flags:
    """Mark single points that leave both dense neighbours by more than ``max_jump``.

    The neighbours must agree with each other to half of it: a step that stays is a change.
    """
    spikes = np.zeros(len(values), dtype=bool)
    if len(values) < 3:
        return spikes
    before, point, after = values[:-2], values[1:-1], values[2:]
    dense = (np.diff(times_s)[:-1] <= DENSE_S) & (np.diff(times_s)[1:] <= DENSE_S)
    away = np.minimum(np.abs(point - before), np.abs(point - after)) > max_jump
    returned = np.abs(after - before) <= max_jump / 2
    spikes[1:-1] = dense & away & returned
    return spikes
