"""The points of one device on one channel, and whether two devices contradict each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fhir_adapters.artefacts import DENSE_S, Flags, Floats, is_artefact
from fhir_adapters.codes import Variable
from fhir_adapters.devices import Recorder

FEWEST_PAIRS = 3  # points of two devices at about the same time that can contradict each other
Indices = npt.NDArray[np.int32]


@dataclass(slots=True)
class Recording:
    """The points of one device on one channel as they come: single ones in lists, else arrays."""

    device: Recorder
    times_s: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    blocks: list[tuple[Floats, Floats, str]] = field(default_factory=list)
    periods_s: set[float] = field(default_factory=set)


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """The points of one recording or of several, sorted by time, each once; all arrays (n,)."""

    times_s: Floats
    values: Floats
    source_index: Indices
    artefact: Flags
    recordings: tuple[Recording, ...]

    def clean(self) -> Trace:
        """Return the points that are no artefacts."""
        kept = ~self.artefact
        return Trace(
            self.times_s[kept],
            self.values[kept],
            self.source_index[kept],
            self.artefact[kept],
            self.recordings,
        )


def sources_of(recordings: Iterable[Recording]) -> list[str]:
    """Return the references that the points came from, sorted."""
    found: set[str] = set()
    for recording in recordings:
        found.update(recording.sources)
        found.update(source for _, _, source in recording.blocks)
    return sorted(found)


def trace_of(recording: Recording, index_of: Mapping[str, int], variable: Variable) -> Trace:
    """Return the sorted points of one device, its artefacts marked."""
    blocks = recording.blocks
    times_s = np.concatenate([np.array(recording.times_s), *(times for times, _, _ in blocks)])
    values = np.concatenate([np.array(recording.values), *(numbers for _, numbers, _ in blocks)])
    singles = np.array([index_of[source] for source in recording.sources], dtype=np.int32)
    whole = [np.full(len(times), index_of[source], np.int32) for times, _, source in blocks]
    none = np.zeros(len(times_s), dtype=bool)
    trace = Trace(times_s, values, np.concatenate([singles, *whole]), none, (recording,))
    if not (np.diff(times_s) > 0).all():
        trace = _sorted_once(trace)
    artefact = is_artefact(trace.times_s, trace.values, variable)
    return Trace(trace.times_s, trace.values, trace.source_index, artefact, trace.recordings)


def joined(traces: Sequence[Trace]) -> Trace:
    """Return the points of several devices as one trace."""
    return _sorted_once(
        Trace(
            np.concatenate([one.times_s for one in traces]),
            np.concatenate([one.values for one in traces]),
            np.concatenate([one.source_index for one in traces]),
            np.concatenate([one.artefact for one in traces]),
            tuple(one.recordings[0] for one in traces if not one.artefact.all()),
        )
    )


def _sorted_once(trace: Trace) -> Trace:
    """Sort the points by time, and keep each reading once.

    The same reading often comes twice, alone and inside a SampledData; if it is an artefact in
    one of them, it is.
    """
    times_s, values = trace.times_s, trace.values
    order = np.lexsort((trace.source_index, ~trace.artefact, values, times_s))
    fresh = np.ones(len(times_s), dtype=bool)
    fresh[1:] = (np.diff(times_s[order]) != 0) | (np.diff(values[order]) != 0)
    kept = order[fresh]
    return Trace(
        times_s[kept],
        values[kept],
        trace.source_index[kept],
        trace.artefact[kept],
        trace.recordings,
    )


def minutes_of(trace: Trace) -> int:
    """Return in how many minutes the device recorded a point that is no artefact."""
    return len(np.unique(trace.clean().times_s // 60))


def length_rank(trace: Trace) -> tuple[int, float, str]:
    """Rank by minutes with a point, longest first, then the latest; names only break a tie."""
    times_s = trace.clean().times_s
    last_s = float(times_s[-1]) if len(times_s) else 0.0
    return -minutes_of(trace), -last_s, trace.recordings[0].device.identity


def contradict(longer: Trace, trace: Trace, variable: Variable) -> bool:
    """Whether two devices usually differ, at the same time, by more than one signal may jump."""
    one, other = longer.clean(), trace.clean()
    if variable.max_jump is None or len(one.times_s) == 0:
        return False
    after = np.searchsorted(one.times_s, other.times_s).clip(max=len(one.times_s) - 1)
    before = (after - 1).clip(min=0)
    gaps_s = np.abs(one.times_s[[before, after]] - other.times_s)  # (2, n)
    nearest = np.where(gaps_s[0] <= gaps_s[1], before, after)
    near = gaps_s.min(axis=0) <= DENSE_S
    if near.sum() < FEWEST_PAIRS:
        return False
    differences = np.abs(one.values[nearest] - other.values)[near]
    return bool(np.median(differences) > variable.max_jump)
