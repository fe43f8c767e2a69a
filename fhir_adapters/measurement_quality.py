"""What devices say about the quality of their own readings.

Two ways are in use. A personal health device sends a status of bits as an Observation of its own
(11073-10404, MDC_PULS_OXIM_DEV_STATUS), which speaks of the readings of the same device and time.
A monitor puts a code of 11073's measurement status into the reading's interpretation.
"""

from __future__ import annotations

from typing import Any

from fhir_adapters.chart import Resource
from fhir_adapters.codes import MDC
from fhir_adapters.elements import dict_of, dicts_of

OXIMETER_STATUS = "150604"
OXIMETER_CHANNELS = frozenset({"oxygen_saturation", "heart_rate", "perfusion_index"})
# Bits under which the oximeter's numbers are no measurement. The others leave them standing:
# low perfusion (10), and a longer update period (15).
_FAULTY_BITS = frozenset({*range(10), 11, 12, 13, 14})
_UNUSABLE = frozenset(
    {"invalid", "questionable", "not-available", "calibration-ongoing", "test-data", "demo-data"}
)
_STATUS_SYSTEM_END = "measurement-status"  # of the two guides that define it


def is_oximeter_status(code: object) -> bool:
    """Whether an Observation's code says that it is an oximeter's status."""
    return any(
        coding.get("system") == MDC and coding.get("code") == OXIMETER_STATUS
        for coding in dicts_of(dict_of(code).get("coding"))
    )


def is_faulty(observation: Resource) -> bool:
    """Whether a bit of an oximeter's status is set that makes its readings worthless."""
    return any(_is_faulty_bit(component) for component in dicts_of(observation.get("component")))


def _is_faulty_bit(component: dict[str, Any]) -> bool:
    if component.get("valueBoolean") is not True:
        return False
    for coding in dicts_of(dict_of(component.get("code")).get("coding")):
        code = coding.get("code")
        kind, _, bit = code.partition(".") if isinstance(code, str) else ("", "", "")
        if kind == OXIMETER_STATUS and bit.isdecimal() and int(bit) in _FAULTY_BITS:
            return True
    return False


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
