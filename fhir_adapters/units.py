"""Units: from the spellings of EHRs and devices to a variable's canonical UCUM unit.

Three steps, cheapest first: a table of the UCUM units that vital signs, laboratories and devices
use; aliases for spellings that are not UCUM ("BEATS PER MINUTE", "x10e3/uL"); and for any other
code that its sender declares to be UCUM, ucumvert and pint, imported on first need (about a
second, hence off the usual path). What was found for a variable and unit is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

from fhir_adapters.codes import MDC, SYSTEM_SPELLINGS, Variable, load_variables
from fhir_adapters.unit_table import (
    AMOUNT_CONCENTRATION,
    CHARGE_CONCENTRATION,
    ENZYME,
    INTERNATIONAL,
    MASS_CONCENTRATION,
    UNITS,
    Unit,
)

UCUM = "http://unitsofmeasure.org"
UCUM_SPELLINGS = frozenset(
    {"", UCUM, f"{UCUM}/", "https://unitsofmeasure.org", "urn:oid:2.16.840.1.113883.6.8"}
)
MDC_SPELLINGS = frozenset(SYSTEM_SPELLINGS[MDC])
LONGEST_UNIT = 64  # characters; nothing longer is a unit


class Conversion(NamedTuple):
    """canonical = value * factor + offset."""

    factor: float
    offset: float = 0.0


# Enzyme units of laboratories are written as international units as well, and mean the same.
_ENZYME_AS_INTERNATIONAL = re.compile(r"\[?[iI][uU]\]?")
_PLURAL = re.compile(r"\((?:e?s)\)")  # "lb(s)", "inch(es)"
# A daily total is a total: "mL/24 h", "mL/(24.h)", "steps/day".
_A_DAY = re.compile(r"\s*/\s*(?:d|day|24\s*h(?:rs?|ours?)?|\(24\.h\)|\{24\s*h\})$", re.IGNORECASE)
_CALCULATED = re.compile(r"\s*\((?:calc|calculated|est|estimated)\.?\)$", re.IGNORECASE)
_FIBRINOGEN_EQUIVALENT = re.compile(r"\s*\(?feu\)?$", re.IGNORECASE)  # what D-dimer counts in
# Variables that are counts, scores or plain numbers: any annotation, "1" or nothing is their unit.
_PLAIN_UNITS = frozenset(
    {
        *("", "1", "#", "[pH]", "pH", "pH units", "pH unit", "[score]", "score", "scores"),
        *("points", "point", "pts", "pt", "ratio", "index", "INR", "GCS", "steps", "step", "count"),
    }
)
_ANNOTATION = re.compile(r"\{[^{}]*\}|[{}]")
_SPACES = re.compile(r"\s+")


def conversion(variable: Variable, unit: str, code: str, system: str) -> Conversion | None:
    """Return how a quantity's number becomes the variable's canonical unit; ``None`` if it cannot.

    ``unit``, ``code`` and ``system`` are the quantity's, "" where absent. A UCUM code counts
    before the unit text, which is read where the code is none of UCUM's.
    """
    if variable.name.endswith("_24h"):
        unit, code = _A_DAY.sub("", unit), _A_DAY.sub("", code)
    if len(unit) > LONGEST_UNIT or len(code) > LONGEST_UNIT or len(system) > LONGEST_UNIT:
        return None  # no unit, and nothing that the cache should hold
    return _conversion(variable, unit, code, system)


def says_no_unit(text: str) -> bool:
    """Whether a unit's text names none: it is empty, or nothing but an annotation."""
    return not _without_annotations(text).strip()


@lru_cache(maxsize=8192)
def _conversion(variable: Variable, unit: str, code: str, system: str) -> Conversion | None:
    found = _own_conversion(variable, unit, code, system)
    if found is not None:
        return found
    for scale in _other_scales().get(variable.name, ()):  # HbA1c in mmol/mol
        found = _own_conversion(scale, unit, code, system)
        if found is not None:
            factor, offset = scale.read_as_factor, scale.read_as_offset
            return Conversion(found.factor * factor, found.offset * factor + offset)
    return None


@cache
def _other_scales() -> dict[str, tuple[Variable, ...]]:
    """Return, by variable, the rows that measure it on a scale which its own units lack.

    A row in a unit of the same dimension (urea and its nitrogen) is told by its code alone.
    """
    table = load_variables()
    scales: dict[str, tuple[Variable, ...]] = {}
    for row in table.values():
        if row.read_as and UNITS[row.unit].dimension != UNITS[table[row.read_as].unit].dimension:
            scales[row.read_as] = (*scales.get(row.read_as, ()), row)
    return scales


def _own_conversion(variable: Variable, unit: str, code: str, system: str) -> Conversion | None:
    if code and system in MDC_SPELLINGS:
        code, system = mdc_units().get(code, ""), ""
    if code and system in UCUM_SPELLINGS:
        found = _first_conversion(variable, code)
        if found is None and code not in UNITS and not is_plain(variable):
            found = _by_pint(variable, code)
        if found is not None or code in UNITS:
            return found
    return _first_conversion(variable, unit)


def unitless_conversion(variable: Variable, number: float) -> Conversion | None:
    """Return the conversion of a number without any unit, if only one unit in use fits it.

    It must be plausible in exactly one of the canonical unit and ``other_units``: a temperature
    of 98.6 can only be Fahrenheit, a weight of 80 may be kilograms or pounds.
    """
    fitting = [
        found
        for unit in (variable.unit, *variable.other_units)
        if (found := _between(variable, UNITS.get(unit))) is not None
        and variable.plausible_low
        <= number * found.factor + found.offset
        <= variable.plausible_high
    ]
    return fitting[0] if len(fitting) == 1 else None


def is_plain(variable: Variable) -> bool:
    """Whether the variable is a count, score or other number that needs no unit."""
    return _without_annotations(variable.unit) in _PLAIN_UNITS


def _first_conversion(variable: Variable, text: str) -> Conversion | None:
    if is_plain(variable):
        key = _without_annotations(text).strip().casefold()
        plain = key in _PLAIN_CASEFOLDED or key == f"/{variable.plausible_high:g}"  # 4 "/10"
        return Conversion(1.0) if plain or text.casefold() == variable.unit.casefold() else None
    for candidate in _readings(text):
        found = _between(variable, UNITS.get(candidate))
        if found is not None:
            return found
    return None


def _readings(text: str) -> Iterator[str]:
    """Yield the UCUM codes that a unit's text may mean, the literal one first."""
    text = text.strip().replace("µ", "u").replace("μ", "u").replace("˚", "°")
    text = _FIBRINOGEN_EQUIVALENT.sub("", _CALCULATED.sub("", _PLURAL.sub("", text)))
    yield text
    bare = _without_annotations(text).strip()
    yield bare
    key = _SPACES.sub(" ", text).casefold().rstrip(".")
    yield from unit_aliases().get(text, ())  # "G/L", 10*9/L: only its capital tells it from gram
    yield from unit_aliases().get(key, ())
    yield from _by_casefold().get(_without_annotations(key).strip().replace(" ", ""), ())
    for spelled in (bare, key.replace(" ", "")):
        international = _ENZYME_AS_INTERNATIONAL.sub("[IU]", spelled)
        if international != spelled:
            yield international
            yield from _by_casefold().get(international.casefold(), ())
            yield from _by_casefold().get(international.replace("[IU]", "U").casefold(), ())


def _between(variable: Variable, source: Unit | None) -> Conversion | None:
    target = UNITS.get(variable.unit)
    if source is None or target is None:
        return None
    factor = _dimension_factor(variable, source.dimension, target.dimension)
    if factor is None:
        return None
    scale = factor / target.factor
    return Conversion(source.factor * scale, (source.offset - target.offset) * scale)


def _dimension_factor(variable: Variable, source: str, target: str) -> float | None:
    """Return base units of the target dimension for one of the source; ``None`` if unrelated."""
    if source == target:
        return 1.0
    if {source, target} == {ENZYME, INTERNATIONAL}:
        return 1.0
    per_mol = {
        AMOUNT_CONCENTRATION: 1.0,
        MASS_CONCENTRATION: variable.molar_mass_g_per_mol,
        CHARGE_CONCENTRATION: variable.charge,
    }
    of_source, of_target = per_mol.get(source), per_mol.get(target)
    if of_source is None or of_target is None:
        return None
    return of_target / of_source


def _by_pint(variable: Variable, code: str) -> Conversion | None:
    from fhir_adapters.ucum import linear_conversion

    target = UNITS.get(variable.unit)
    found = linear_conversion(code, variable.unit)
    if found is not None or target is None:
        return None if found is None else Conversion(*found)
    bases = {MASS_CONCENTRATION: "g/L", AMOUNT_CONCENTRATION: "mol/L"}
    for dimension, base in bases.items():
        factor = _dimension_factor(variable, dimension, target.dimension)
        found = linear_conversion(code, base) if factor is not None else None
        if found is not None and factor is not None:
            return Conversion(found[0] * factor / target.factor)
    return None


def _without_annotations(text: str) -> str:
    return _ANNOTATION.sub("", text)


@cache
def _by_casefold() -> dict[str, tuple[str, ...]]:
    codes: dict[str, tuple[str, ...]] = {}
    for code in UNITS:
        codes[code.casefold()] = (*codes.get(code.casefold(), ()), code)
    return codes


@cache
def unit_aliases() -> dict[str, tuple[str, ...]]:
    """Return the spellings of unit_aliases.csv, mostly casefolded, and their UCUM codes."""
    return {spelling: tuple(codes) for spelling, codes in _alias_rows("")}


@cache
def mdc_units() -> dict[str, str]:
    """Return the UCUM codes of the 11073 unit codes that health devices send."""
    return {spelling: codes[0] for spelling, codes in _alias_rows(MDC)}


def _alias_rows(system: str) -> Iterator[tuple[str, list[str]]]:
    text = files("fhir_adapters").joinpath("unit_aliases.csv").read_text(encoding="utf-8")
    for line in text.splitlines()[1:]:
        row_system, spelling, codes = line.split(",")
        if row_system == system:
            yield spelling, codes.split()


_PLAIN_CASEFOLDED = frozenset(text.casefold() for text in _PLAIN_UNITS)
