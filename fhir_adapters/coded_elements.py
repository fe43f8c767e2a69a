"""Which parts of an Observation measure a variable of the table: itself, or its components."""

from __future__ import annotations

from typing import Any

from fhir_adapters.codes import CodeTable, Variable
from fhir_adapters.reading_log import ReadingLog, quoted

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
    if has_components:
        for component in components:  # type: ignore[union-attr]  # a list, see above
            part = component.get("code") if type(component) is dict else None
            parts = codes.named_by(part.get("coding")) if type(part) is dict else ()
            if parts:
                named = parts
                _add_component(elements, component, parts, source, log)
    if not named:
        log.leave_out_unmapped(source, _code_label(code))
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
