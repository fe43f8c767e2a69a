"""What devices say about the quality of their own readings.

Two ways are in use. A personal health device sends a status of bits as an Observation of its own
(11073-10404, MDC_PULS_OXIM_DEV_STATUS; MDC_BLOOD_PRESSURE_MEASUREMENT_STATUS), which speaks of the
readings that it is derived from, and of those of the same device and time. A monitor puts a code of
11073's measurement status into the interpretation of the reading, or of the panel around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_adapters.chart import Resource
from fhir_adapters.codes import MDC
from fhir_adapters.devices import relative_reference
from fhir_adapters.elements import dict_of, dicts_of, text_of


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """A status of bits that one kind of device sends."""

    code: str  # of MDC; its bits are named "150604.3"
    meter: str  # the kind of device, in words
    faulty_bits: frozenset[int]  # under which its numbers are no measurement
    channels: frozenset[str]


OXIMETER = DeviceStatus(
    "150604",
    "oximeter",
    # The others leave its numbers standing: low perfusion (10), a longer update period (15).
    frozenset({*range(10), 11, 12, 13, 14}),
    frozenset({"oxygen_saturation", "heart_rate", "perfusion_index"}),
)
CUFF = DeviceStatus(
    "8410608",
    "blood pressure monitor",
    # Movement, loose cuff, position. An irregular (2), fast (3) or slow (4) pulse is the patient's.
    frozenset({0, 1, 5}),
    frozenset(
        {
            *("systolic_blood_pressure", "diastolic_blood_pressure", "mean_blood_pressure"),
            "heart_rate",
        }
    ),
)
_STATUSES = {status.code: status for status in (OXIMETER, CUFF)}
_UNUSABLE = frozenset(
    {"invalid", "questionable", "not-available", "calibration-ongoing", "test-data", "demo-data"}
)
_STATUS_SYSTEM_END = "measurement-status"  # of the two guides that define it


def device_status(code: object) -> DeviceStatus | None:
    """Return which status of bits an Observation's code says that it is."""
    for coding in dicts_of(dict_of(code).get("coding")):
        status = _STATUSES.get(text_of(coding.get("code")))
        if status is not None and coding.get("system") == MDC:
            return status
    return None


def is_faulty(observation: Resource, status: DeviceStatus) -> bool:
    """Whether a bit of the status is set that makes the device's readings worthless."""
    return any(_is_faulty_bit(one, status) for one in dicts_of(observation.get("component")))


def _is_faulty_bit(component: dict[str, Any], status: DeviceStatus) -> bool:
    if component.get("valueBoolean") is not True:
        return False
    for coding in dicts_of(dict_of(component.get("code")).get("coding")):
        kind, _, bit = text_of(coding.get("code")).partition(".")
        if kind == status.code and bit.isdecimal() and int(bit) in status.faulty_bits:
            return True
    return False


class Faults:
    """The readings of which their devices have said that they are none.

    ``aliases`` says which reference the ``urn:uuid`` of a Bundle stood for.
    """

    def __init__(self, aliases: Mapping[str, str]) -> None:
        self._aliases = aliases
        self._at_times: dict[tuple[str, str, float], str] = {}  # channel, device, time: meter
        self._of_sources: dict[tuple[str, str], str] = {}  # channel, source: meter

    def __bool__(self) -> bool:
        return bool(self._at_times)

    def add(self, status: DeviceStatus, observation: Resource, device: str, time_s: float) -> None:
        """Take in a status that is faulty; ``device`` and ``time_s`` are its own."""
        references = [text_of(one.get("reference")) for one in _derived_from(observation)]
        for channel in status.channels:
            self._at_times[channel, device, time_s] = status.meter
            for reference in references:
                source = relative_reference(self._aliases.get(reference, reference))
                self._of_sources[channel, source] = status.meter

    def objection(
        self, channel: str, source: str, device: str = "", time_s: float | None = None
    ) -> str:
        """Return a sentence on why a reading is none, "" if nothing was said against it.

        Without a time only a status that names the Observation counts.
        """
        meter = self._of_sources.get((channel, source), "")
        if not meter and time_s is not None:
            meter = self._at_times.get((channel, device, time_s), "")
        return f"{channel} is no measurement, says the {meter}'s status" if meter else ""


def _derived_from(observation: Resource) -> list[dict[str, Any]]:
    return dicts_of(observation.get("derivedFrom"))


def unusable_status(interpretation: object) -> str:
    """Return the measurement status that forbids to use a reading ("invalid"), else ""."""
    for concept in dicts_of(interpretation):
        for coding in dicts_of(concept.get("coding")):
            system, code = coding.get("system"), coding.get("code")
            if (
                isinstance(system, str)
                and system.endswith(_STATUS_SYSTEM_END)
                and isinstance(code, str)
                and code in _UNUSABLE
            ):
                return code
    return ""
