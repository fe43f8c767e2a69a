"""From a value as sent to a plausible number in a variable's canonical unit."""

from __future__ import annotations

from fhir_adapters.codes import Variable
from fhir_adapters.reading_log import ReadingLog, quoted
from fhir_adapters.units import conversion, says_no_unit, unitless_conversion
from fhir_adapters.values import Value


def canonical_number(
    value: Value, variable: Variable, source: str, log: ReadingLog
) -> float | None:
    """Return the number, or ``None`` after reporting why it was quarantined.

    A value is never clipped: what is outside the plausible range is a slip of the pen, of the
    unit or of the sensor, and no neighbour of it is more likely.
    """
    found = conversion(variable, value.unit, value.code, value.system)
    remark = value.remark
    if found is None and says_no_unit(value.unit) and says_no_unit(value.code):
        found = unitless_conversion(variable, value.number)
        if found is not None:
            remark = f"{variable.name} has no unit; only one of those in use fits its number"
    if found is None:
        log.leave_out(source, "unit", _unit_sentence(variable, value))
        return None
    number = value.number * found.factor + found.offset
    if not variable.plausible_low <= number <= variable.plausible_high:
        log.leave_out(source, "implausible", implausible_sentence(variable))
        return None
    if variable.unit == "{bool}" and number not in (0.0, 1.0):
        log.leave_out(source, "implausible", f"{variable.name} is neither 0 nor 1")
        return None
    if remark:
        log.remark(source, "value", remark)
    return number


def implausible_sentence(variable: Variable) -> str:
    """Return why a value is quarantined, without the value."""
    return (
        f"{variable.name} is outside its plausible range "
        f"{variable.plausible_low:g} to {variable.plausible_high:g} {variable.unit}"
    )


def _unit_sentence(variable: Variable, value: Value) -> str:
    if says_no_unit(value.unit) and says_no_unit(value.code):
        return f"{variable.name} has no unit, and its number fits not just one of those in use"
    shown = quoted(value.unit or value.code)
    return f"unit {shown} is not convertible to {variable.unit} ({variable.name})"
