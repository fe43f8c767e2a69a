"""Which parts of an Observation measure a variable of the table: itself, or its components."""

from __future__ import annotations

import re
from typing import Any

from fhir_adapters.codes import LOINC, VARIABLE_SYSTEM, CodeTable, Variable, is_standard
from fhir_adapters.elements import dict_of
from fhir_adapters.measurement_quality import device_status
from fhir_adapters.reading_log import ReadingLog, quoted
from fhir_adapters.sampled_data import UnreadableSamples, dimensions_of, of_dimension

_PRESSURE_PANELS = ("85354-9", "55284-4", "35094-2")
_PRESSURES = re.compile(
    r"\s*(?:BP:?\s*)?(?P<systolic>\d{2,3})\s*/\s*(?P<diastolic>\d{2,3})\s*"
    r"(?P<unit>mm\s?\[?Hg\]?)?\s*",
    re.IGNORECASE | re.ASCII,
)
Element = tuple[dict[str, Any], Variable]  # an Observation or component, and what it measures


def coded_elements(
    observation: dict[str, Any], source: str, codes: CodeTable, log: ReadingLog
) -> list[Element]:
    """Return the Observation and those of its components whose codes name a variable."""
    elements: list[Element] = []
    components = observation.get("component")
    has_components = type(components) is list and len(components) > 0
    code = observation.get("code")
    named = codes.named_by(code.get("coding")) if type(code) is dict else ()
    # A panel may be coded like one of its components; then only these have values.
    if named and not (has_components and not _has_value(observation)):
        if len(named) == 1:
            elements.append((observation, named[0]))
        else:
            _report_ambiguity(named, source, log)
    if has_components and dimensions_of(observation.get("valueSampledData")) > 1:
        return _dimensions(observation, source, codes, log)
    if has_components:
        for component in components:  # type: ignore[union-attr]  # a list, see above
            part = component.get("code") if type(component) is dict else None
            parts = codes.named_by(part.get("coding")) if type(part) is dict else ()
            if parts:
                named = parts
                _add_component(elements, component, parts, source, log)
    if not named:
        pair = _pressure_pair(observation, code, codes)
        if pair or device_status(code):
            return pair
        log.leave_out_unmapped(source, _code_label(code))
        if _has_value(observation) and not is_standard(dict_of(code).get("coding")):
            log.unknown_codes.add(source)
    return elements


def _dimensions(
    observation: dict[str, Any], source: str, codes: CodeTable, log: ReadingLog
) -> list[Element]:
    """Return the dimensions of interlaced samples that components without values name in turn."""
    data, components = observation["valueSampledData"], observation["component"]
    plain = all(type(one) is dict and not _has_value(one) for one in components)
    if not plain or len(components) != dimensions_of(data):
        sentence = "has SampledData of several dimensions that its components do not name"
        log.leave_out(source, "value", sentence)
        return []
    elements: list[Element] = []
    for dimension, component in enumerate(components):
        code = component.get("code")
        named = codes.named_by(code.get("coding")) if type(code) is dict else ()
        if named:
            try:
                alone = {**component, "valueSampledData": of_dimension(data, dimension)}
            except UnreadableSamples as problem:
                log.leave_out(source, problem.reason, str(problem))
                return []
            _add_component(elements, alone, named, source, log)
    return elements


def _pressure_pair(observation: dict[str, Any], code: object, codes: CodeTable) -> list[Element]:
    """Read a blood pressure that is one text under its panel's code: "120/80 mmHg"."""
    text = observation.get("valueString")
    matched = _PRESSURES.fullmatch(text) if type(text) is str and len(text) <= 64 else None
    codings = code.get("coding") if type(code) is dict else None
    if matched is None or not any(
        isinstance(coding, dict)
        and coding.get("system") == LOINC
        and coding.get("code") in _PRESSURE_PANELS
        for coding in (codings if isinstance(codings, list) else [])
    ):
        return []
    elements = []
    for name in ("systolic", "diastolic"):
        variable = codes.lookup(VARIABLE_SYSTEM, f"{name}_blood_pressure")
        quantity = {"value": float(matched[name]), "unit": matched["unit"] or "mm[Hg]"}
        absent = observation.get("dataAbsentReason")
        element = {"valueQuantity": quantity, **({"dataAbsentReason": absent} if absent else {})}
        if variable is not None:
            elements.append((element, variable))
    return elements


def _add_component(
    elements: list[Element],
    component: dict[str, Any],
    named: tuple[Variable, ...],
    source: str,
    log: ReadingLog,
) -> None:
    if len(named) > 1:
        _report_ambiguity(named, source, log)
    elif component.get("modifierExtension"):
        sentence = f"{named[0].name} has a modifierExtension that is not known"
        log.leave_out(source, "modifier", sentence)
    else:
        elements.append((component, named[0]))


def _report_ambiguity(named: tuple[Variable, ...], source: str, log: ReadingLog) -> None:
    names = ", ".join(sorted(variable.name for variable in named))
    log.leave_out(source, "code", f"its codes name several variables: {names}")


def _has_value(observation: dict[str, Any]) -> bool:
    return any(element.startswith("value") for element in observation)


def _code_label(code: object) -> str:
    """Return how a sentence names a code that is no variable: its first coding, never its text."""
    codings = code.get("coding") if isinstance(code, dict) else None
    for coding in codings if isinstance(codings, list) else []:
        if isinstance(coding, dict) and isinstance(coding.get("code"), str):
            system = coding.get("system")
            system = system if isinstance(system, str) else ""
            return quoted(f"{system.rsplit('/', 1)[-1]}|{coding['code']}")
    return "without coding"
