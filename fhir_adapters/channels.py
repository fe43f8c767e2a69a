"""Device points become one series a channel, whichever devices sent them.

Artefacts are judged within one device: two sensors of one patient differ by more than the signal
of one of them jumps, and neither is an artefact of the other. Where two devices contradict each
other at the same time, FHIR does not say which of them is displaced, and a series that went from
one to the other would show a trend that nobody has. So where one recorded clearly longer it is the
series, and the other is left out whole, with a sentence: a hand-over is such a jump, too. Where
neither did, any choice might hide the right one: both are read, with a remark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from fhir_adapters.artefacts import Floats
from fhir_adapters.codes import Variable
from fhir_adapters.devices import Recorder
from fhir_adapters.measurement_quality import Faults
from fhir_adapters.reading_log import ReadingLog
from fhir_adapters.traces import (
    Indices,
    Recording,
    Trace,
    contradict,
    joined,
    length_rank,
    minutes_of,
    sources_of,
    trace_of,
)
from model.record import DeviceSeries

CLEARLY_LONGER = 2  # times as many minutes with a point


class ChannelCollector:
    """Collects points in any order and merges them to one sorted series a channel."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults  # may grow until the series are asked for
        self._variables: dict[str, Variable] = {}
        self._recordings: dict[str, dict[str, Recording]] = {}  # by channel and device

    def add_point(
        self, variable: Variable, time_s: float, value: float, source: str, device: Recorder
    ) -> None:
        """Add a single point in the canonical unit."""
        recording = self._recording(variable, device)
        recording.times_s.append(time_s)
        recording.values.append(value)
        recording.sources.append(source)

    def add_points(
        self,
        variable: Variable,
        times_s: Floats,
        values: Floats,
        source: str,
        device: Recorder,
        period_s: float | None,
    ) -> None:
        """Add the samples of one Observation in the canonical unit."""
        recording = self._recording(variable, device)
        recording.blocks.append((times_s, values, source))
        if period_s is not None:
            recording.periods_s.add(period_s)

    def series(
        self, log: ReadingLog, names: Mapping[str, str] | None = None
    ) -> tuple[DeviceSeries, ...]:
        """Return one series a channel, by channel name, without duplicates and artefacts.

        ``names``: what the devices are called, by reference.
        """
        merged = []
        for name in sorted(self._recordings):
            by_device = self._recordings[name]
            recordings = [by_device[identity] for identity in sorted(by_device)]
            for recording in recordings if self._faults else ():
                self._remove_faulty(recording, name, log)
            merged.append(_merge(recordings, self._variables[name], log, names or {}))
        return tuple(series for series in merged if series is not None)

    def _remove_faulty(self, recording: Recording, channel: str, log: ReadingLog) -> None:
        """Remove the readings that their device has called none, of samples whole Observations."""
        device = recording.device.identity
        kept: list[tuple[float, float, str]] = []
        for point in zip(recording.times_s, recording.values, recording.sources, strict=True):
            objection = self._faults.objection(channel, point[2], device, point[0])
            if objection:
                log.leave_out(point[2], "quality", objection)
            else:
                kept.append(point)
        recording.times_s = [point[0] for point in kept]
        recording.values = [point[1] for point in kept]
        recording.sources = [point[2] for point in kept]
        blocks, recording.blocks = recording.blocks, []
        for block in blocks:
            objection = self._faults.objection(channel, block[2])
            if objection:
                log.leave_out(block[2], "quality", objection)
            else:
                recording.blocks.append(block)

    def _recording(self, variable: Variable, device: Recorder) -> Recording:
        try:
            return self._recordings[variable.name][device.identity]
        except KeyError:
            self._variables[variable.name] = variable
            by_device = self._recordings.setdefault(variable.name, {})
            return by_device.setdefault(device.identity, Recording(device))


def _merge(
    recordings: Sequence[Recording], variable: Variable, log: ReadingLog, names: Mapping[str, str]
) -> DeviceSeries | None:
    sources = sources_of(recordings)
    index_of = {source: index for index, source in enumerate(sources)}
    traces = [trace_of(recording, index_of, variable) for recording in recordings]
    trace = traces[0]
    if len(traces) > 1:
        trace = joined(_in_agreement(traces, sources, variable, log))
    if trace.artefact.any():
        sentence = f"points of {variable.name} are artefacts (flat line or spike)"
        _report(trace.source_index[trace.artefact], sources, sentence, log)
        trace = trace.clean()
    return _series(trace, sources, variable, names) if len(trace.times_s) else None


def _series(
    trace: Trace, sources: Sequence[str], variable: Variable, names: Mapping[str, str]
) -> DeviceSeries:
    is_used = np.bincount(trace.source_index, minlength=len(sources)) > 0
    used, place = np.flatnonzero(is_used), np.cumsum(is_used) - 1
    labels = {one.device.label for one in trace.recordings} - {""}
    periods_s: set[float] = set().union(*(one.periods_s for one in trace.recordings))
    return DeviceSeries(
        channel=variable.name,
        unit=variable.unit,
        times_s=trace.times_s,
        values=trace.values.astype(np.float32),
        sources=tuple(sources[int(index)] for index in used),
        source_index=place[trace.source_index].astype(np.int32),
        device=", ".join(sorted(labels)),
        period_s=min(periods_s) if len(periods_s) == 1 else None,
        device_name=", ".join(sorted({names[one] for one in labels if one in names})),
    )


def _in_agreement(
    traces: Iterable[Trace], sources: Sequence[str], variable: Variable, log: ReadingLog
) -> list[Trace]:
    """Return the traces without those that contradict a clearly longer one, which are reported."""
    kept: list[Trace] = []
    for trace in sorted(traces, key=length_rank):
        against = next((one for one in kept if contradict(one, trace, variable)), None)
        label = against.recordings[0].device.label if against is not None else ""
        other = label if label.startswith("Device/") else "another device"
        if against is not None and minutes_of(against) >= CLEARLY_LONGER * minutes_of(trace):
            sentence = f"points of {variable.name} contradict {other}, which recorded longer"
            _report(trace.source_index, sources, sentence, log)
            continue
        kept.append(trace)
        if against is not None:
            source = sources[int(trace.source_index.min())]
            sentence = f"{variable.name} of its device contradicts {other}, both are read"
            log.remark(source, "contradiction", sentence)
    return kept


def _report(places: Indices, sources: Sequence[str], sentence: str, log: ReadingLog) -> None:
    """Report points as left out, by their source; ``places`` are its indices, one a point."""
    counts = np.bincount(places, minlength=len(sources))
    for index in np.flatnonzero(counts):
        log.leave_out(sources[int(index)], "artefact", f"{counts[index]} {sentence}")
