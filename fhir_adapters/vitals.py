"""Reads Observations: charted values become Measurements, device values points of channels.

Each Observation is looked at once, cheap checks first. Whatever is wrong with one value leaves out
that value with a sentence; only another patient's resource or an old FHIR version ends the reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

from fhir_adapters.coded_elements import coded_elements
from fhir_adapters.codes import CodeTable, Variable, load_variables
from fhir_adapters.devices import ChannelCollector, device_of, is_device_observation
from fhir_adapters.measurement_quality import is_faulty, is_oximeter_status, unusable_status
from fhir_adapters.observation_refusal import observation_refusal
from fhir_adapters.quantities import canonical_number, implausible_sentence
from fhir_adapters.reading_log import ReadingLog
from fhir_adapters.reference_ranges import NO_RANGE, reference_range
from fhir_adapters.sampled_data import Floats, UnreadableSamples, read_samples, samples_start_s
from fhir_adapters.subjects import Ownership
from fhir_adapters.times import Moment, effective_moment, parse_moment, proof_of_existence
from fhir_adapters.usual_observations import UsualObservations, interpretation_code
from fhir_adapters.values import Unreadable, plain_quantity, read_value
from fhir_adapters.versions import check_observation_version
from model.record import Measurement

_COMA_PARTS = frozenset({"gcs_eye", "gcs_verbal", "gcs_motor"})


class ObservationReader:
    """Reads the Observations of one patient up to ``prediction_time``."""

    def __init__(
        self,
        ownership: Ownership,
        prediction_time: datetime,
        log: ReadingLog,
        codes: CodeTable,
        device_of_metric: Mapping[str, str],
    ) -> None:
        self._ownership = ownership
        self._prediction_time = prediction_time
        self._log = log
        self._codes = codes
        self._device_of_metric = device_of_metric
        self._usual = UsualObservations(ownership, prediction_time, codes)
        self._moments: dict[str, Moment | None] = {}  # charts repeat times; parsing costs most
        self._labels: dict[str, str] = {}  # of devices, by reference
        self._measurements: list[Measurement] = []
        self._channels = ChannelCollector()

    def read(self, observation: dict[str, Any], source: str) -> None:
        """Read one Observation.

        Raises WrongPatient or UnsupportedFhirVersion; everything else is reported.
        """
        usual = self._usual.read(observation, source)
        if usual is not None:
            self._measurements.append(usual)
            return
        check_observation_version(observation, source)
        unproven = self._ownership.objection(observation, source)
        if unproven:
            self._log.leave_out(source, "subject", unproven)
            return
        elements = coded_elements(observation, source, self._codes, self._log)
        status = not elements and is_oximeter_status(observation.get("code"))
        if not elements and not status:
            return
        refusal = observation_refusal(observation, self._ownership)
        if refusal:
            self._log.leave_out(source, *refusal)
            return
        device = self._device(observation)
        if status:
            self._note_oximeter_status(observation, source, device or "")
            return
        single = []
        for element, variable in elements:
            if "valueSampledData" in element:
                self._read_samples(observation, element, variable, source, device or "")
            else:
                single.append((element, variable))
        time = self._past_time(observation, source) if single else None
        if time is not None:
            known = len(self._measurements)
            for element, variable in single:
                self._read_single(element, variable, time, source, device)
            if len(single) >= len(_COMA_PARTS):
                self._add_coma_total(self._measurements[known:], source)

    def measurements(self) -> tuple[Measurement, ...]:
        """Return the Measurements, sorted by time, each reading once."""
        kept: list[Measurement] = []
        key = attrgetter("time", "variable", "value")
        previous: Any = None
        for measurement in sorted(
            self._measurements, key=attrgetter("time", "variable", "value", "source")
        ):
            current = key(measurement)
            if current != previous:
                kept.append(measurement)
            elif measurement.source != kept[-1].source:
                sentence = f"the same {measurement.variable} reading as {kept[-1].source}"
                self._log.leave_out(measurement.source, "duplicate", sentence)
            previous = current
        return tuple(kept)

    @property
    def channels(self) -> ChannelCollector:
        """The device points read so far."""
        return self._channels

    def _device(self, observation: dict[str, Any]) -> str | None:
        """Return the device's label ("" if unnamed) for a device Observation, else ``None``."""
        if not is_device_observation(observation):
            return None
        device = observation.get("device")
        reference = device.get("reference") if type(device) is dict else None
        if type(reference) is not str:
            return device_of(observation, self._device_of_metric)
        label = self._labels.get(reference)
        if label is None:
            label = device_of(observation, self._device_of_metric)
            if label.startswith("Device/"):  # a display may differ from resource to resource
                self._labels[reference] = label
        return label

    def _note_oximeter_status(self, observation: dict[str, Any], source: str, device: str) -> None:
        """Remember that the readings of this device at this time are no measurements."""
        time = self._past_time(observation, source) if is_faulty(observation) else None
        if time is not None:
            self._channels.add_fault(device, time.timestamp())

    def _past_time(self, observation: dict[str, Any], source: str) -> datetime | None:
        """Return when the value was true, if it was true and available by the prediction time."""
        text = observation.get("effectiveDateTime")
        moment = self._parsed(text) if type(text) is str else effective_moment(observation)
        if moment is None:
            self._log.leave_out(source, "time", "it has no effective time that can be read")
            return None
        if moment.latest > self._prediction_time:
            proof = None if moment.exact else proof_of_existence(observation)
            if proof is None or proof > self._prediction_time:
                self._log.leave_out(source, "future", _future_sentence(moment))
                return None
            return min(proof, moment.time)
        issued = observation.get("issued")
        if type(issued) is str and issued != text:
            available = self._parsed(issued)
            if available is not None and available.exact and available.time > self._prediction_time:
                self._log.leave_out(source, "future", "it was issued after the prediction time")
                return None
        return moment.time

    def _parsed(self, text: str) -> Moment | None:
        try:
            return self._moments[text]
        except KeyError:
            moment = self._moments[text] = parse_moment(text)
            return moment

    def _read_single(
        self,
        element: dict[str, Any],
        variable: Variable,
        time: datetime,
        source: str,
        device: str | None,
    ) -> None:
        interpretation = element.get("interpretation")
        quality = unusable_status(interpretation) if interpretation is not None else ""
        if quality:
            self._log.leave_out(source, "quality", f"{variable.name} is {quality}, says its device")
            return
        value = plain_quantity(element) or read_value(element, variable)
        if isinstance(value, Unreadable):
            self._log.leave_out(source, *value)
            return
        number = canonical_number(value, variable, source, self._log)
        if number is None:
            return
        normal = NO_RANGE
        if "referenceRange" in element and not variable.read_as:
            normal = reference_range(element, value, variable)
        if variable.read_as:
            number = number * variable.read_as_factor + variable.read_as_offset
            variable = load_variables()[variable.read_as]
            if not variable.plausible_low <= number <= variable.plausible_high:
                self._log.leave_out(source, "implausible", implausible_sentence(variable))
                return
        if variable.modality == "device" or (device is not None and variable.modality == "both"):
            self._channels.add_point(variable, time.timestamp(), number, source, device or "")
            return
        flag = interpretation_code(interpretation) if interpretation is not None else None
        self._measurements.append(
            Measurement(variable.name, number, variable.unit, time, source, flag, *normal)
        )

    def _add_coma_total(self, read: list[Measurement], source: str) -> None:
        """Add the Glasgow Coma Scale where a panel holds its three parts and not their sum."""
        parts = {one.variable: one for one in read}
        if "glasgow_coma_scale" in parts or not parts.keys() >= _COMA_PARTS:
            return
        total = sum(parts[name].value for name in _COMA_PARTS)
        self._log.remark(source, "value", "glasgow_coma_scale is the sum of its three parts")
        variable = load_variables()["glasgow_coma_scale"]
        time = parts["gcs_eye"].time
        self._measurements.append(Measurement(variable.name, total, variable.unit, time, source))

    def _read_samples(
        self,
        observation: dict[str, Any],
        element: dict[str, Any],
        variable: Variable,
        source: str,
        device: str,
    ) -> None:
        if not variable.has_channel:
            sentence = f"{variable.name} is no channel, but comes as SampledData"
            self._log.leave_out(source, "value", sentence)
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


def _future_sentence(moment: Moment) -> str:
    if moment.exact:
        return "it is later than the prediction time"
    return "its time is not exact and may be later than the prediction time"
