"""Reads Observations of the usual shape, of which a chart may hold ten thousand.

One code, a Quantity with a number, an exact time, nothing that qualifies any of it: such an
Observation is a Measurement, or it is none of this module's business. `vitals.py` reads whatever
is left, and says what was wrong with it; it would read these alike, at twice the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fhir_adapters.codes import CodeTable, Variable
from fhir_adapters.devices import is_device_observation
from fhir_adapters.measurement_quality import unusable_status
from fhir_adapters.reference_ranges import reference_range
from fhir_adapters.subjects import Ownership
from fhir_adapters.times import parse_moment
from fhir_adapters.units import conversion
from fhir_adapters.values import Value
from model.record import Measurement

# "preliminary" and "unknown" values are what the clinician sees too. "registered" has no result
# yet, "superseded" (no code of the standard, but sent) has a successor.
USED_STATUSES = frozenset({"final", "amended", "corrected", "preliminary", "unknown"})
LONGEST_INTERPRETATION = 8  # characters; the standard's codes have at most 6

# What does not change how a value is read, and what is looked at here. Anything else, also what
# no version of FHIR has, is for the long way: a device, a modifier, components, older versions.
_MEMBERS = frozenset(
    {
        *("resourceType", "id", "status", "category", "code", "subject", "encounter"),
        *("effectiveDateTime", "issued", "valueQuantity", "interpretation", "referenceRange"),
        *("meta", "text", "language", "identifier", "performer", "basedOn", "partOf"),
        *("specimen", "method", "bodySite", "note", "hasMember", "derivedFrom"),
    }
)
_QUANTITY = frozenset({"value", "unit", "system", "code"})
_Unit = tuple[object, object, object]  # unit, code and system as sent
_Scale = tuple[float, float]  # factor and offset to the canonical unit


class UsualObservations:
    """Reads Observations of one patient that are certain by ``prediction_time``."""

    def __init__(self, ownership: Ownership, prediction_time: datetime, codes: CodeTable) -> None:
        self._own_references = ownership.references
        self._prediction_time = prediction_time
        self._variable_for = codes.variable_for
        # Charts repeat times and units, and what they mean costs most to find out.
        self._past_times: dict[str, datetime | None] = {}
        self._scales: dict[tuple[Variable, _Unit], _Scale | None] = {}

    def read(self, observation: dict[str, Any], source: str) -> Measurement | None:
        """Return its Measurement; ``None`` if it is not of the usual shape, or is not used."""
        if not _MEMBERS.issuperset(observation):
            return None
        try:
            return self._read(observation, source)
        except (KeyError, TypeError, AttributeError, OverflowError):
            return None  # a member is missing, of another type, or a number beyond all others

    def _read(self, observation: dict[str, Any], source: str) -> Measurement | None:
        quantity = observation["valueQuantity"]
        number = quantity["value"]
        if (
            (type(number) is not float and type(number) is not int)
            or not _QUANTITY.issuperset(quantity)
            or observation["status"] not in USED_STATUSES
            or observation["subject"]["reference"] not in self._own_references
            or type(observation.get("category")) is dict  # of an older version
            or ("meta" in observation and is_device_observation(observation))  # by its profile
        ):
            return None
        variable = self._variable_for(observation["code"]["coding"])
        time = self._past_time(observation)
        if variable is None or time is None:
            return None
        get = quantity.get
        unit = (get("unit", ""), get("code", ""), get("system", ""))
        scale = self._scale(variable, unit)
        if scale is None:
            return None
        value = number * scale[0] + scale[1]
        if not variable.plausible_low <= value <= variable.plausible_high:
            return None
        if "interpretation" in observation or "referenceRange" in observation:
            sent = Value(float(number), *unit)
            return self._qualified(observation, sent, value, variable, time, source)
        return Measurement(variable.name, value, variable.unit, time, source)

    def _qualified(
        self,
        observation: dict[str, Any],
        sent: Value,
        value: float,
        variable: Variable,
        time: datetime,
        source: str,
    ) -> Measurement | None:
        """Return the Measurement of a value that the laboratory put a flag or a range beside."""
        interpretation = observation.get("interpretation")
        if unusable_status(interpretation):
            return None
        flag = interpretation_code(interpretation)
        normal = reference_range(observation, sent, variable)
        return Measurement(variable.name, value, variable.unit, time, source, flag, *normal)

    def _scale(self, variable: Variable, unit: tuple[str, str, str]) -> _Scale | None:
        """Return factor and offset; ``None`` for a variable or unit that has to be told of."""
        try:
            return self._scales[variable, unit]
        except KeyError:
            scale = self._scales[variable, unit] = _scale_of(variable, unit)
            return scale

    def _past_time(self, observation: Mapping[str, Any]) -> datetime | None:
        """Return when it was true, if that and its issue are exact and past."""
        text = observation["effectiveDateTime"]
        time = self._exact_past(text)
        issued = observation.get("issued")
        if issued is not None and issued != text and self._exact_past(issued) is None:
            return None
        return time

    def _exact_past(self, text: str) -> datetime | None:
        try:
            return self._past_times[text]
        except KeyError:
            moment = parse_moment(text)
            past = moment is not None and moment.exact and moment.time <= self._prediction_time
            time = self._past_times[text] = moment.time if moment is not None and past else None
            return time


def _scale_of(variable: Variable, unit: tuple[Any, Any, Any]) -> _Scale | None:
    if not all(type(text) is str for text in unit):
        return None
    # These are read as another variable, as a point of a series, or have values of their own.
    if variable.read_as or variable.modality == "device" or variable.unit == "{bool}":
        return None
    return conversion(variable, *unit)


def interpretation_code(interpretation: object) -> str | None:
    """Return the first interpretation code, for example "HH"."""
    concepts = interpretation if isinstance(interpretation, list) else [interpretation]
    for concept in concepts:
        codings = concept.get("coding") if isinstance(concept, dict) else None
        for coding in codings if isinstance(codings, list) else []:
            code = coding.get("code") if isinstance(coding, dict) else None
            if isinstance(code, str) and 0 < len(code) <= LONGEST_INTERPRETATION:
                return code
    return None
