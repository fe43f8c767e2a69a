"""Reads SampledData of Observations into channels; what is late or implausible is reported."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fhir_adapters.channels import ChannelCollector
from fhir_adapters.codes import Variable
from fhir_adapters.devices import Recorder
from fhir_adapters.quantities import implausible_sentence
from fhir_adapters.reading_log import ReadingLog
from fhir_adapters.sampled_data import Floats, UnreadableSamples, read_samples, samples_start_s


class SampleReader:
    """Reads the samples of one patient up to ``prediction_time``, point by point."""

    def __init__(
        self, prediction_time: datetime, log: ReadingLog, channels: ChannelCollector
    ) -> None:
        self._prediction_time = prediction_time
        self._log = log
        self._channels = channels

    def read(
        self,
        observation: dict[str, Any],
        element: dict[str, Any],
        variable: Variable,
        source: str,
        device: Recorder,
    ) -> None:
        """Read the SampledData of an Observation or of one of its components."""
        if not variable.has_channel:
            sentence = f"{variable.name} is no channel, but comes as SampledData"
            self._log.leave_out(source, "value", sentence)
            return
        # Interlaced samples are the Observation's own, and so is what it says of them.
        holder = observation if "valueSampledData" in observation else element
        if any(one.get("dataAbsentReason") is not None for one in (holder, element)):
            sentence = f"{variable.name} has a dataAbsentReason beside its samples"
            self._log.leave_out(source, "absent", sentence)
            return
        try:
            samples = read_samples(element["valueSampledData"], variable)
            times_s = samples_start_s(observation, samples) + samples.offsets_s
        except UnreadableSamples as problem:
            self._log.leave_out(source, problem.reason, f"{variable.name} {problem}")
            return
        if samples.remark:
            self._log.remark(source, "value", f"{variable.name} {samples.remark}")
        times_s, values = self._usable(times_s, samples.values, variable, source)
        if len(times_s):
            self._channels.add_points(variable, times_s, values, source, device, samples.period_s)

    def _usable(
        self, times_s: Floats, values: Floats, variable: Variable, source: str
    ) -> tuple[Floats, Floats]:
        """Return the samples that are past and plausible, and report the others; all (n,)."""
        now_s, low, high = (
            self._prediction_time.timestamp(),
            variable.plausible_low,
            variable.plausible_high,
        )
        if times_s.max() <= now_s and values.min() >= low and values.max() <= high:
            return times_s, values  # as nearly always: nothing has to be told apart
        past, plausible = times_s <= now_s, (values >= low) & (values <= high)
        late, wrong = int((~past).sum()), int((past & ~plausible).sum())
        if late:
            sentence = f"{late} points of {variable.name} are later than the prediction time"
            self._log.leave_out(source, "future", sentence)
        if wrong:
            sentence = f"{wrong} points: {implausible_sentence(variable)}"
            self._log.leave_out(source, "implausible", sentence)
        kept = past & plausible
        return times_s[kept], values[kept]
