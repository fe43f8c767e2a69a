"""The value of an Observation or component, whatever ``value[x]`` it comes as, as one number."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from fhir_adapters.answers import answer
from fhir_adapters.codes import Variable
from fhir_adapters.number_text import LONGEST_TEXT, number_in_text, points_in_text


class Value(NamedTuple):
    """A number with its unit as sent; ``remark`` says what the number does not."""

    number: float
    unit: str = ""
    code: str = ""
    system: str = ""
    remark: str = ""


class Unreadable(NamedTuple):
    """Why a value is no number."""

    reason: str  # a ReportLine's reason
    sentence: str


def number_of(raw: object) -> float | None:
    """Return a finite number, also from the text of one; a boolean is none."""
    if type(raw) is float or type(raw) is int:
        try:
            number = float(raw)
        except OverflowError:
            return None
    elif type(raw) is str and len(raw) <= 64 and _NUMBER.fullmatch(raw.strip()):
        number = float(raw)
    elif type(raw) is str and len(raw) <= 64 and _DECIMAL_COMMA.fullmatch(raw.strip()):
        number = float(raw.replace(",", "."))
    else:
        return None
    return number if math.isfinite(number) else None


def text_of(raw: object) -> str:
    """Return a string, "" for anything else."""
    return raw if type(raw) is str else ""


def plain_quantity(element: dict[str, Any]) -> Value | None:
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


def read_value(element: dict[str, Any], variable: Variable) -> Value | Unreadable:
    """Read whichever ``value[x]`` an Observation or component has."""
    present = [name for name in _READERS if element.get(name) is not None]
    if element.get("dataAbsentReason") is not None:
        also = " beside a value" if present else ""
        return Unreadable("absent", f"{variable.name} has a dataAbsentReason{also}")
    if not present:
        others = [name for name in _OTHER_VALUES if name in element]
        what = f"{others[0]}, which is no number" if others else "no value"
        return Unreadable("value", f"{variable.name} has {what}")
    if len(present) > 1:
        return Unreadable("value", f"{variable.name} has {len(present)} values where one belongs")
    return _READERS[present[0]](element[present[0]], variable)


def read_quantity(quantity: object, variable: Variable) -> Value | Unreadable:
    """Read a Quantity. A comparator leaves the bound as the number, with a remark."""
    if not isinstance(quantity, dict):
        return _no_number(variable, "valueQuantity")
    number = number_of(quantity.get("value"))
    if number is None:
        return _no_number(variable, "valueQuantity")
    comparator = quantity.get("comparator")
    remark = ""
    if comparator is not None:
        if isinstance(comparator, str):
            comparator = _COMPARATORS.get(comparator.strip(), comparator.strip())
        if comparator not in ("<", "<=", ">=", ">"):
            return Unreadable("comparator", f"{variable.name} has a comparator that is no bound")
        remark = f"{variable.name} is known as a bound ({comparator}), the bound counts"
    return Value(
        number,
        text_of(quantity.get("unit")),
        text_of(quantity.get("code")),
        text_of(quantity.get("system")),
        remark,
    )


def _read_integer(raw: object, variable: Variable) -> Value | Unreadable:
    number = number_of(raw)
    return _no_number(variable, "valueInteger") if number is None else Value(number)


def _read_boolean(raw: object, variable: Variable) -> Value | Unreadable:
    if type(raw) is not bool or variable.unit != "{bool}":
        return Unreadable("value", f"{variable.name} cannot be read from valueBoolean")
    return Value(float(raw), variable.unit)


_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d{1,2}", re.ASCII)  # three digits may be thousands
_COMPARATORS = {"≤": "<=", "≥": ">=", "=<": "<=", "=>": ">="}
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")


def _read_string(raw: object, variable: Variable) -> Value | Unreadable:
    """Read a number as people type it, points of a score, or a word of answers.csv."""
    coded = answer(variable, "", raw)
    if coded is not None:
        return Value(coded, variable.unit)
    if type(raw) is str:
        points = _points(raw, variable)
        if points is not None:
            return points
        found = number_in_text(raw)
        if found is not None:
            remark = f"{variable.name} {found.remark}" if found.remark else ""
            return Value(found.number, found.unit, remark=remark)
    return Unreadable("value", f"{variable.name} has a valueString that is no number")


def _points(text: str, variable: Variable) -> Value | None:
    if variable.unit != "{score}":
        return None
    points = points_in_text(text, variable.plausible_high)
    return None if points is None else Value(points, variable.unit)


def _read_range(raw: object, variable: Variable) -> Value | Unreadable:
    """Read a Range as its middle, or as its one bound."""
    ends = [raw.get(end) for end in ("low", "high")] if isinstance(raw, dict) else []
    values = [read_quantity(end, variable) for end in ends if end is not None]
    numbers = [value for value in values if isinstance(value, Value)]
    if not numbers or len(numbers) != len(values):
        return _no_number(variable, "valueRange")
    if len(numbers) == 1:
        return numbers[0]._replace(remark=f"{variable.name} is known as a bound, the bound counts")
    low, high = numbers
    same_unit = low[1:4] == high[1:4]
    if not same_unit or low.number > high.number:
        return Unreadable("value", f"{variable.name} has a valueRange whose ends do not fit")
    middle = low.number / 2 + high.number / 2
    return low._replace(number=middle, remark=f"{variable.name} is a range, its middle counts")


def _read_ratio(raw: object, variable: Variable) -> Value | Unreadable:
    """Read a Ratio as its quotient, in the quotient of its units: 90 mg : 1 dL is 90 mg/dL."""
    if not isinstance(raw, dict):
        return _no_number(variable, "valueRatio")
    over = read_quantity(raw.get("numerator"), variable)
    under = read_quantity(raw.get("denominator"), variable)
    if isinstance(over, Unreadable) or isinstance(under, Unreadable):
        return _no_number(variable, "valueRatio")
    if under.number <= 0 or over.remark or under.remark:
        return Unreadable("value", f"{variable.name} has a valueRatio without a definite quotient")
    numerator, denominator = over.code or over.unit, under.code or under.unit
    plain_denominator = denominator in ("", "1")
    unit = numerator if plain_denominator else f"{numerator}/{denominator}"
    return Value(over.number / under.number, unit, unit if over.code else "", over.system)


def _read_concept(raw: object, variable: Variable) -> Value | Unreadable:
    """Read a CodeableConcept through the coded answers, or by its ordinal value."""
    if isinstance(raw, dict):
        codings = raw.get("coding")
        for coding in codings if isinstance(codings, list) else []:
            if not isinstance(coding, dict):
                continue
            number = answer(variable, coding.get("system"), coding.get("code"))
            number = _ordinal(coding) if number is None else number
            if number is not None:
                return Value(number, variable.unit)
        for text in _words_of(raw):
            number = answer(variable, "", text)
            if number is not None:
                return Value(number, variable.unit)
            points = _points(text, variable) or _bare_points(text, variable)
            if points is not None:
                return points
    return Unreadable("value", f"{variable.name} has a coded answer without a number in the table")


def _words_of(concept: dict[str, Any]) -> list[str]:
    """Return how a concept is put into words: its text, then its codings' displays."""
    codings = concept.get("coding")
    listed = codings if isinstance(codings, list) else []
    words = [concept.get("text"), *(c.get("display") for c in listed if isinstance(c, dict))]
    return [text for text in words if type(text) is str and len(text) <= LONGEST_TEXT]


def _bare_points(text: str, variable: Variable) -> Value | None:
    bare = variable.unit == "{score}" and text.strip().isdecimal() and len(text) <= 8
    return Value(float(text), variable.unit) if bare else None


def _ordinal(coding: dict[str, Any]) -> float | None:
    extensions = coding.get("extension")
    for extension in extensions if isinstance(extensions, list) else []:
        if isinstance(extension, dict) and extension.get("url") in _ORDINAL_VALUES:
            return number_of(extension.get("valueDecimal"))
    return None


_ORDINAL_VALUES = (
    "http://hl7.org/fhir/StructureDefinition/ordinalValue",
    "http://hl7.org/fhir/StructureDefinition/itemWeight",  # its name in R5
)


def _no_number(variable: Variable, element: str) -> Unreadable:
    return Unreadable("value", f"{variable.name} has a {element} without a number")


_OTHER_VALUES = (
    "valueDateTime",
    "valueTime",
    "valuePeriod",
    "valueAttachment",
    "valueReference",
    "valueSampledData",
)
_READERS: dict[str, Callable[[object, Variable], Value | Unreadable]] = {
    "valueQuantity": read_quantity,
    "valueInteger": _read_integer,
    "valueBoolean": _read_boolean,
    "valueString": _read_string,
    "valueRange": _read_range,
    "valueRatio": _read_ratio,
    "valueCodeableConcept": _read_concept,
}
