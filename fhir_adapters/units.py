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

from fhir_adapters.codes import MDC, SYSTEM_SPELLINGS, Variable

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


class Unit(NamedTuple):
    """A unit of the table: base = value * factor + offset in its dimension's base unit."""

    dimension: str
    factor: float
    offset: float = 0.0


_RATE, _SHARE, _TEMPERATURE, _PRESSURE = "rate", "share", "temperature", "pressure"
_MASS, _LENGTH, _VOLUME, _TIME = "mass", "length", "volume", "time"
_COUNT, _MASS_CONCENTRATION, _AMOUNT_CONCENTRATION = "count", "mass/volume", "amount/volume"
_CHARGE_CONCENTRATION, _CELLS, _ENZYME = "charge/volume", "number/volume", "enzyme/volume"
_INTERNATIONAL, _CONDUCTANCE, _FLOW, _FILTRATION = "iu/volume", "conductance", "flow", "filtration"
_DENSITY, _OSMOLALITY, _ACCELERATION, _ENERGY = "mass/area", "osmolality", "acceleration", "energy"

_PREFIXES = {"": 1.0, "d": 1e-1, "c": 1e-2, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_VOLUMES_L = {"L": 1.0, "dL": 1e-1, "mL": 1e-3, "uL": 1e-6}

UNITS: dict[str, Unit] = {
    "/min": Unit(_RATE, 1.0),
    "/s": Unit(_RATE, 60.0),
    "Hz": Unit(_RATE, 60.0),
    "/h": Unit(_RATE, 1 / 60),
    "%": Unit(_SHARE, 1.0),
    "1": Unit(_SHARE, 100.0),
    "L/L": Unit(_SHARE, 100.0),
    "Cel": Unit(_TEMPERATURE, 1.0),
    "K": Unit(_TEMPERATURE, 1.0, -273.15),
    "[degF]": Unit(_TEMPERATURE, 5 / 9, -160 / 9),
    "mm[Hg]": Unit(_PRESSURE, 1.0),
    "cm[Hg]": Unit(_PRESSURE, 10.0),
    "kPa": Unit(_PRESSURE, 1 / 0.133322387415),
    "Pa": Unit(_PRESSURE, 1 / 133.322387415),
    "mbar": Unit(_PRESSURE, 100 / 133.322387415),
    "cm[H2O]": Unit(_PRESSURE, 98.0665 / 133.322387415),
    "kg": Unit(_MASS, 1.0),
    "g": Unit(_MASS, 1e-3),
    "[lb_av]": Unit(_MASS, 0.45359237),
    "[oz_av]": Unit(_MASS, 0.45359237 / 16),
    "cm": Unit(_LENGTH, 1.0),
    "m": Unit(_LENGTH, 100.0),
    "mm": Unit(_LENGTH, 0.1),
    "[in_i]": Unit(_LENGTH, 2.54),
    "[ft_i]": Unit(_LENGTH, 30.48),
    "L": Unit(_VOLUME, 1.0),
    "dL": Unit(_VOLUME, 1e-1),
    "cL": Unit(_VOLUME, 1e-2),
    "mL": Unit(_VOLUME, 1e-3),
    "uL": Unit(_VOLUME, 1e-6),
    "cm3": Unit(_VOLUME, 1e-3),
    "s": Unit(_TIME, 1.0),
    "ms": Unit(_TIME, 1e-3),
    "us": Unit(_TIME, 1e-6),
    "min": Unit(_TIME, 60.0),
    "h": Unit(_TIME, 3600.0),
    "d": Unit(_TIME, 86400.0),
    "uS": Unit(_CONDUCTANCE, 1.0),
    "mS": Unit(_CONDUCTANCE, 1e3),
    "S": Unit(_CONDUCTANCE, 1e6),
    "nS": Unit(_CONDUCTANCE, 1e-3),
    "L/min": Unit(_FLOW, 1.0),
    "mL/min": Unit(_FLOW, 1e-3),
    "L/h": Unit(_FLOW, 1 / 60),
    "mL/h": Unit(_FLOW, 1e-3 / 60),
    "L/s": Unit(_FLOW, 60.0),
    "mL/min/{1.73_m2}": Unit(_FILTRATION, 1.0),
    "kg/m2": Unit(_DENSITY, 1.0),
    "mosm/kg": Unit(_OSMOLALITY, 1.0),
    "kcal": Unit(_ENERGY, 1.0),
    "cal": Unit(_ENERGY, 1e-3),
    "kJ": Unit(_ENERGY, 1 / 4.184),
    "U/L": Unit(_ENZYME, 1.0),
    "mU/L": Unit(_ENZYME, 1e-3),
    "kU/L": Unit(_ENZYME, 1e3),
    "U/mL": Unit(_ENZYME, 1e3),
    "mU/mL": Unit(_ENZYME, 1.0),
    "ukat/L": Unit(_ENZYME, 60.0),
    "nkat/L": Unit(_ENZYME, 0.06),
    "[IU]/L": Unit(_INTERNATIONAL, 1.0),
    "m[IU]/L": Unit(_INTERNATIONAL, 1e-3),
    "u[IU]/mL": Unit(_INTERNATIONAL, 1e-3),
    "m[IU]/mL": Unit(_INTERNATIONAL, 1.0),
    "[IU]/mL": Unit(_INTERNATIONAL, 1e3),
}
for _volume, _litres in _VOLUMES_L.items():
    UNITS[f"/{_volume}"] = Unit(_CELLS, 1 / _litres)
    for _power in (3, 6, 9, 12):
        UNITS[f"10*{_power}/{_volume}"] = Unit(_CELLS, 10.0**_power / _litres)
    for _prefix, _scale in _PREFIXES.items():
        UNITS[f"{_prefix}g/{_volume}"] = Unit(_MASS_CONCENTRATION, _scale / _litres)
        UNITS[f"{_prefix}mol/{_volume}"] = Unit(_AMOUNT_CONCENTRATION, _scale / _litres)
        UNITS[f"{_prefix}eq/{_volume}"] = Unit(_CHARGE_CONCENTRATION, _scale / _litres)

# Enzyme units of laboratories are written as international units as well, and mean the same.
_ENZYME_AS_INTERNATIONAL = re.compile(r"\[?[iI][uU]\]?")
# Variables that are counts, scores or plain numbers: any annotation, "1" or nothing is their unit.
_PLAIN_UNITS = frozenset({"", "1", "[pH]", "#", "[score]", "score", "points", "ratio", "index"})
_ANNOTATION = re.compile(r"\{[^{}]*\}|[{}]")
_SPACES = re.compile(r"\s+")


def conversion(variable: Variable, unit: str, code: str, system: str) -> Conversion | None:
    """Return how a quantity's number becomes the variable's canonical unit; ``None`` if it cannot.

    ``unit``, ``code`` and ``system`` are the quantity's, "" where absent. A UCUM code counts
    before the unit text, which is read where the code is none of UCUM's.
    """
    return _conversion(variable, unit, code, system)


@lru_cache(maxsize=8192)
def _conversion(variable: Variable, unit: str, code: str, system: str) -> Conversion | None:
    if len(unit) > LONGEST_UNIT or len(code) > LONGEST_UNIT:
        return None
    if code and system in MDC_SPELLINGS:
        code, system = mdc_units().get(code, ""), ""
    if code and system in UCUM_SPELLINGS:
        found = _first_conversion(variable, code)
        if found is None and code not in UNITS:
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
        and variable.plausible_low <= number * found.factor + found.offset <= variable.plausible_high
    ]
    return fitting[0] if len(fitting) == 1 else None


def is_plain(variable: Variable) -> bool:
    """Whether the variable is a count, score or other number that needs no unit."""
    return _without_annotations(variable.unit) in _PLAIN_UNITS


def _first_conversion(variable: Variable, text: str) -> Conversion | None:
    if is_plain(variable):
        plain = _without_annotations(text).strip().casefold() in _PLAIN_CASEFOLDED
        return Conversion(1.0) if plain or text.casefold() == variable.unit.casefold() else None
    for candidate in _readings(text):
        found = _between(variable, UNITS.get(candidate))
        if found is not None:
            return found
    return None


def _readings(text: str) -> Iterator[str]:
    """Yield the UCUM codes that a unit's text may mean, the literal one first."""
    text = text.strip().replace("µ", "u").replace("μ", "u")
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
    if {source, target} == {_ENZYME, _INTERNATIONAL}:
        return 1.0
    per_mol = {
        _AMOUNT_CONCENTRATION: 1.0,
        _MASS_CONCENTRATION: variable.molar_mass_g_per_mol,
        _CHARGE_CONCENTRATION: variable.charge,
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
    bases = {_MASS_CONCENTRATION: "g/L", _AMOUNT_CONCENTRATION: "mol/L"}
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
    """Return the spellings of unit_aliases.csv, mostly casefolded, with the UCUM codes that they mean."""
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
