"""Reads Observations: charted values become Measurements, device values points of channels.

Each Observation is looked at once, cheap checks first. Whatever is wrong with one value leaves out
that value with a sentence; only another patient's resource or an old FHIR version ends the reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

from fhir_adapters.codes import CodeTable, Variable
from fhir_adapters.devices import ChannelCollector, device_of, is_device_observation
from fhir_adapters.reading_log import ReadingLog, quoted
from fhir_adapters.sampled_data import UnreadableSamples, read_samples, samples_start_s
from fhir_adapters.subjects import Ownership
from fhir_adapters.times import Moment, effective_moment, parse_moment, proof_of_existence
from fhir_adapters.units import conversion, unitless_conversion
from fhir_adapters.values import Unreadable, Value, read_value
from fhir_adapters.versions import check_observation_version
from model.record import Measurement

# "preliminary" and "unknown" values are what the clinician sees too. "registered" has no result
# yet, "superseded" (no code of the standard, but sent) has a successor.
USED_STATUSES = frozenset({"final", "amended", "corrected", "preliminary", "unknown"})
LONGEST_INTERPRETATION = 8  # characters; the standard's codes have at most 6

Element = tuple[dict[str, Any], Variable]  # an Observation or component, and what it measures


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
        self._moments: dict[str, Moment | None] = {}  # charts repeat times; parsing costs most
        self._measurements: list[Measurement] = []
        self._channels = ChannelCollector()

    def read(self, observation: dict[str, Any], source: str) -> None:
        """Read one Observation.

        Raises WrongPatient or UnsupportedFhirVersion; everything else is reported.
        """
        check_observation_version(observation, source)
        unproven = self._ownership.objection(observation, source)
        if unproven:
            self._log.leave_out(source, "subject", unproven)
            return
        elements = self._elements(observation, source)
        if not elements:
            return
        objection = self._objection(observation)
        if objection:
            self._log.leave_out(source, *objection)
            return
        device = self._device(observation)
        single = elements
        if any("valueSampledData" in element for element, _ in elements):
            single = [pair for pair in elements if "valueSampledData" not in pair[0]]
            for element, variable in elements:
                if "valueSampledData" in element:
                    self._read_samples(observation, element, variable, source, device or "")
        time = self._past_time(observation, source) if single else None
        if time is not None:
            for element, variable in single:
                self._read_single(element, variable, time, source, device)

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

    def _elements(self, observation: dict[str, Any], source: str) -> list[Element]:
        """Return the Observation and those of its components whose codes name a variable."""
        elements: list[Element] = []
        components = observation.get("component")
        has_components = type(components) is list and len(components) > 0
        code = observation.get("code")
        named = self._codes.named_by(code.get("coding")) if type(code) is dict else ()
        # A panel may be coded like one of its components; then only these have values.
        if named and not (has_components and not _has_value(observation)):
            self._add_element(elements, observation, named, source)
        if has_components:
            for component in components:  # type: ignore[union-attr]  # a list, see above
                part = component.get("code") if type(component) is dict else None
                parts = self._codes.named_by(part.get("coding")) if type(part) is dict else ()
                if parts:
                    self._add_element(elements, component, parts, source)
                    named = parts
        if not named:
            self._log.leave_out_unmapped(source, _code_label(code))
        return elements

    def _add_element(
        self,
        elements: list[Element],
        element: dict[str, Any],
        named: tuple[Variable, ...],
        source: str,
    ) -> None:
        if len(named) > 1:
            names = ", ".join(sorted(variable.name for variable in named))
            self._log.leave_out(source, "code", f"its codes name several variables: {names}")
        elif element.get("modifierExtension") and "resourceType" not in element:
            sentence = f"{named[0].name} has a modifierExtension that is not known"
            self._log.leave_out(source, "modifier", sentence)
        else:
            elements.append((element, named[0]))

    def _objection(self, observation: dict[str, Any]) -> tuple[str, str] | None:
        status = observation.get("status")
        if type(status) is not str or status not in USED_STATUSES:
            return "status", f"status {quoted(status)} is not used"
        if observation.get("modifierExtension"):
            return "modifier", "it has a modifierExtension that is not known"
        if observation.get("implicitRules"):
            return "modifier", "it has implicitRules that are not known"
        if observation.get("focus") and self._ownership.about_somebody_else(observation):
            return "focus", "its focus is not the patient"
        return None

    def _device(self, observation: dict[str, Any]) -> str | None:
        """Return the device's label ("" if unnamed) for a device Observation, else ``None``."""
        if not is_device_observation(observation):
            return None
        return device_of(observation, self._device_of_metric)

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
        if type(issued) is str:
            available = self._parsed(issued)
            if available is not None and available.time > self._prediction_time:
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
        value = _plain_quantity(element) or read_value(element, variable)
        if isinstance(value, Unreadable):
            self._log.leave_out(source, *value)
            return
        number = self._canonical(value, variable, source)
        if number is None:
            return
        if variable.modality == "device" or (device is not None and variable.modality == "both"):
            self._channels.add_point(variable, time.timestamp(), number, source, device or "")
            return
        interpretation = element.get("interpretation")
        flag = _interpretation(interpretation) if interpretation is not None else None
        self._measurements.append(
            Measurement(variable.name, number, variable.unit, time, source, flag)
        )

    def _canonical(self, value: Value, variable: Variable, source: str) -> float | None:
        """Return the number in the canonical unit, ``None`` if it was quarantined."""
        found = conversion(variable, value.unit, value.code, value.system)
        remark = value.remark
        if found is None and not value.unit and not value.code:
            found = unitless_conversion(variable, value.number)
            if found is not None:
                remark = f"{variable.name} has no unit; only one of those in use fits its number"
        if found is None:
            self._log.leave_out(source, "unit", _unit_sentence(variable, value))
            return None
        number = value.number * found.factor + found.offset
        if not variable.plausible_low <= number <= variable.plausible_high:
            self._log.leave_out(source, "implausible", _implausible_sentence(variable))
            return None
        if variable.unit == "{bool}" and number not in (0.0, 1.0):
            self._log.leave_out(source, "implausible", f"{variable.name} is neither 0 nor 1")
            return None
        if remark:
            self._log.remark(source, "value", remark)
        return number

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
            start_s = samples_start_s(observation, samples)
        except UnreadableSamples as problem:
            self._log.leave_out(source, problem.reason, f"{variable.name} {problem}")
            return
        times_s = start_s + samples.offsets_s
        past = times_s <= self._prediction_time.timestamp()
        plausible = (samples.values >= variable.plausible_low) & (
            samples.values <= variable.plausible_high
        )
        late, wrong = int((~past).sum()), int((past & ~plausible).sum())
        if late:
            sentence = f"{late} points of {variable.name} are later than the prediction time"
            self._log.leave_out(source, "future", sentence)
        if wrong:
            sentence = f"{wrong} points: {_implausible_sentence(variable)}"
            self._log.leave_out(source, "implausible", sentence)
        if samples.remark:
            self._log.remark(source, "value", f"{variable.name} {samples.remark}")
        kept = past & plausible
        if kept.any():
            self._channels.add_points(
                variable, times_s[kept], samples.values[kept], source, device, samples.period_s
            )


def _plain_quantity(element: dict[str, Any]) -> Value | None:
    """Return the value of the usual shape, a Quantity with a number and nothing that limits it."""
    quantity = element.get("valueQuantity")
    if type(quantity) is not dict or "comparator" in quantity or "dataAbsentReason" in element:
        return None
    number = quantity.get("value")
    if type(number) is not float and type(number) is not int:
        return None
    unit, code = quantity.get("unit", ""), quantity.get("code", "")
    system = quantity.get("system", "")
    if type(unit) is not str or type(code) is not str or type(system) is not str:
        return None
    try:
        return Value(float(number), unit, code, system)
    except OverflowError:
        return None


def _has_value(observation: dict[str, Any]) -> bool:
    return any(element.startswith("value") for element in observation)


def _interpretation(interpretation: object) -> str | None:
    """Return the first interpretation code, for example "HH"."""
    concepts = interpretation if isinstance(interpretation, list) else [interpretation]
    for concept in concepts:
        codings = concept.get("coding") if isinstance(concept, dict) else None
        for coding in codings if isinstance(codings, list) else []:
            code = coding.get("code") if isinstance(coding, dict) else None
            if isinstance(code, str) and 0 < len(code) <= LONGEST_INTERPRETATION:
                return code
    return None


def _code_label(code: object) -> str:
    """Return how a sentence names a code that is no variable: its first coding, never its text."""
    codings = code.get("coding") if isinstance(code, dict) else None
    for coding in codings if isinstance(codings, list) else []:
        if isinstance(coding, dict) and isinstance(coding.get("code"), str):
            system = coding.get("system")
            system = system if isinstance(system, str) else ""
            return quoted(f"{system.rsplit('/', 1)[-1]}|{coding['code']}")
    return "without coding"


def _future_sentence(moment: Moment) -> str:
    if moment.exact:
        return "it is later than the prediction time"
    return "its time is not exact and may be later than the prediction time"


def _unit_sentence(variable: Variable, value: Value) -> str:
    if not value.unit and not value.code:
        return f"{variable.name} has no unit, and its number fits several units in use"
    shown = quoted(value.unit or value.code)
    return f"unit {shown} is not convertible to {variable.unit} ({variable.name})"


def _implausible_sentence(variable: Variable) -> str:
    return (
        f"{variable.name} is outside its plausible range "
        f"{variable.plausible_low:g} to {variable.plausible_high:g} {variable.unit}"
    )
