"""Reads Observations: charted values become Measurements, device values points of channels.

Each Observation is looked at once, cheap checks first. Whatever is wrong with one value leaves out
that value with a sentence; only another patient's resource or an old FHIR version ends the reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

from fhir_adapters.channels import ChannelCollector
from fhir_adapters.coded_elements import coded_elements
from fhir_adapters.codes import CodeTable, Variable, load_variables
from fhir_adapters.devices import NO_RECORDER, Recorder, is_device_observation, recorder_of
from fhir_adapters.measurement_quality import (
    DeviceStatus,
    Faults,
    device_status,
    is_faulty,
    unusable_status,
)
from fhir_adapters.observation_refusal import observation_refusal
from fhir_adapters.quantities import canonical_number, implausible_sentence
from fhir_adapters.reading_log import ReadingLog
from fhir_adapters.reference_ranges import NO_RANGE, reference_range
from fhir_adapters.sample_reader import SampleReader
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
        aliases: Mapping[str, str],
    ) -> None:
        self._ownership = ownership
        self._prediction_time = prediction_time
        self._log = log
        self._codes = codes
        self._device_of_metric = device_of_metric
        self._usual = UsualObservations(ownership, prediction_time, codes)
        self._moments: dict[str, Moment | None] = {}  # charts repeat times; parsing costs most
        self._recorders: dict[str, Recorder] = {}  # by reference
        self._measurements: list[Measurement] = []
        self._faults = Faults(aliases)
        self._channels = ChannelCollector(self._faults)
        self._samples = SampleReader(prediction_time, log, self._channels)

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
        status = None if elements else device_status(observation.get("code"))
        if not elements and status is None:
            return
        refusal = observation_refusal(observation, self._ownership)
        if refusal:
            self._log.leave_out(source, *refusal)
            return
        device = self._device(observation)
        if status is not None:
            self._note_status(status, observation, source, device or NO_RECORDER)
            return
        single = []
        for element, variable in elements:
            if self._is_disowned(observation, element, variable, source):
                continue
            if "valueSampledData" in element:
                self._samples.read(observation, element, variable, source, device or NO_RECORDER)
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
        if self._faults:
            self._measurements = list(filter(self._stands, self._measurements))
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

    def _stands(self, measurement: Measurement) -> bool:
        """Whether no device has said of it that it is no measurement."""
        objection = self._faults.objection(measurement.variable, measurement.source)
        if objection:
            self._log.leave_out(measurement.source, "quality", objection)
        return not objection

    def _is_disowned(
        self, observation: dict[str, Any], element: dict[str, Any], variable: Variable, source: str
    ) -> bool:
        """Whether its device says that a reading, or the panel that it is part of, is none."""
        for holder in (observation,) if element is observation else (observation, element):
            interpretation = holder.get("interpretation")
            quality = unusable_status(interpretation) if interpretation is not None else ""
            if quality:
                sentence = f"{variable.name} is {quality}, says its device"
                self._log.leave_out(source, "quality", sentence)
                return True
        return False

    def _device(self, observation: dict[str, Any]) -> Recorder | None:
        """Return the device of a device Observation, ``None`` of any other."""
        if not is_device_observation(observation):
            return None
        device = observation.get("device")
        reference = device.get("reference") if type(device) is dict else None
        if type(reference) is not str:
            return recorder_of(observation, self._device_of_metric)
        recorder = self._recorders.get(reference)
        if recorder is None:
            recorder = recorder_of(observation, self._device_of_metric)
            if recorder.label == recorder.identity:  # a display may differ between resources
                self._recorders[reference] = recorder
        return recorder

    def _note_status(
        self, status: DeviceStatus, observation: dict[str, Any], source: str, device: Recorder
    ) -> None:
        """Remember of which readings a device's status says that they are none."""
        time = self._past_time(observation, source) if is_faulty(observation, status) else None
        if time is not None:
            self._faults.add(status, observation, device.identity, time.timestamp())

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
        device: Recorder | None,
    ) -> None:
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
            recorder = device or NO_RECORDER
            self._channels.add_point(variable, time.timestamp(), number, source, recorder)
            return
        interpretation = element.get("interpretation")
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


def _future_sentence(moment: Moment) -> str:
    if moment.exact:
        return "it is later than the prediction time"
    return "its time is not exact and may be later than the prediction time"
