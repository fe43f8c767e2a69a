"""The table of variables and the way from a FHIR code to one of them.

``variables.csv`` is the one table that a data scientist reads and extends; `READING.md` says what
its columns mean. A CodeableConcept names a variable when any of its codings does, by system *and*
code: an Epic pulse has the panel code 8716-3 before 8867-4, and its blood pressures carry codings
of other systems that reuse LOINC's codes.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, get_args

VariableModality = Literal["structured", "device", "both"]

LOINC = "http://loinc.org"
MDC = "urn:iso:std:iso:11073:10101"
SNOMED = "http://snomed.info/sct"
VARIABLE_SYSTEM = "urn:meam:variables"  # our own: the code is a variable's name

# Spellings under which servers name the same code system.
SYSTEM_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    LOINC: (LOINC, f"{LOINC}/", "https://loinc.org", "urn:oid:2.16.840.1.113883.6.1"),
    MDC: (MDC, "urn:oid:2.16.840.1.113883.6.24"),
    SNOMED: (SNOMED, f"{SNOMED}/", "https://snomed.info/sct", "urn:oid:2.16.840.1.113883.6.96"),
    VARIABLE_SYSTEM: (VARIABLE_SYSTEM,),
}
# Case never tells two systems apart.
_BY_TIDY_SPELLING = {
    spelling.casefold(): system
    for system, spellings in SYSTEM_SPELLINGS.items()
    for spelling in (
        *spellings,
        *(one.removeprefix("urn:oid:") for one in spellings if one.startswith("urn:oid:")),
        *(one.replace("://", "://www.") for one in spellings if "://" in one),
    )
}


class VariableTableError(ValueError):
    """``variables.csv`` or a site's ConceptMap cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """One row of variables.csv; one object a row, so that variables compare by identity."""

    name: str
    display: str
    unit: str  # canonical, UCUM
    plausible_low: float  # in the canonical unit, inclusive
    plausible_high: float
    modality: VariableModality
    organ_system: str
    loinc: tuple[str, ...] = ()
    mdc: tuple[str, ...] = ()  # 11073 codes with their partition, as devices send them
    snomed: tuple[str, ...] = ()
    broader: str = ""  # name of the variable of which this one is a special case
    molar_mass_g_per_mol: float | None = None  # allows mass <-> amount of substance
    charge: int | None = None  # of the ion; allows equivalents
    other_units: tuple[str, ...] = ()  # in use for it; a number without unit must not fit these
    flat_line_min: float | None = None  # dense series: a run of equal values this long is no signal
    max_jump: float | None = None  # dense series: a one-point excursion above this is an artefact
    read_as: str = ""  # the variable that this one measures on another scale, "" if it stands alone
    read_as_factor: float = 1.0  # the other's number = this number * factor + offset
    read_as_offset: float = 0.0

    @property
    def has_channel(self) -> bool:
        """Whether devices may deliver it as a series."""
        return self.modality != "structured"


class CodeTable:
    """Finds the variable that codings name."""

    def __init__(
        self,
        by_coding: Mapping[tuple[str, str], Variable],
        local: Mapping[tuple[str, str], Variable] | None = None,
    ) -> None:
        self._by_coding = by_coding
        self._local = local or {}

    def lookup(self, system: str, code: str) -> Variable | None:
        """Return the variable of one code."""
        return self._by_coding.get((system, code))

    def named_by(self, codings: object) -> tuple[Variable, ...]:
        """Return the variables that the codings name: none, one, or several that disagree.

        A variable that is broader than another named one gives way: "systolic blood pressure"
        and "arterial systolic blood pressure" together mean the arterial one.
        """
        if type(codings) is not list:
            return ()
        found: Variable | None = None
        table: Mapping[Any, Variable] = self._by_coding
        try:
            for coding in codings:
                variable = table.get((coding.get("system"), coding.get("code")))
                if variable is None or variable is found:
                    continue
                if found is not None:
                    return self._most_specific(codings)
                found = variable
        except (AttributeError, TypeError):  # something else where an object or a string belongs
            return self._most_specific(codings)
        return self._as_written_loosely(codings) if found is None else (found,)

    def _as_written_loosely(self, codings: list[Any]) -> tuple[Variable, ...]:
        """Return what the codings name once case and white space do not count.

        Tried last, since few servers write a system or a code so.
        """
        tidied = [
            {"system": _tidied_system(coding["system"]), "code": coding["code"].strip()}
            for coding in codings
            if type(coding) is dict
            and type(coding.get("system")) is str
            and type(coding.get("code")) is str
        ]
        return self._most_specific(tidied)

    def _most_specific(self, codings: list[Any]) -> tuple[Variable, ...]:
        named: dict[str, Variable] = {}
        for coding in codings:
            system, code = (
                (coding.get("system"), coding.get("code")) if type(coding) is dict else (0, 0)
            )
            if type(system) is str and type(code) is str and (system, code) in self._by_coding:
                variable = self._by_coding[system, code]
                named[variable.name] = variable
        broader = {variable.broader for variable in named.values()}
        return tuple(variable for name, variable in named.items() if name not in broader)

    def variable_for(self, codings: object) -> Variable | None:
        """Return the one variable that the codings name, ``None`` if they name none or several."""
        if type(codings) is list and len(codings) == 1:  # most charts' way, at half the time
            (coding,) = codings
            system, code = (
                (coding.get("system"), coding.get("code")) if type(coding) is dict else (0, 0)
            )
            if type(system) is str and type(code) is str:
                found = self._by_coding.get((system, code))
                if found is not None:
                    return found
        named = self.named_by(codings)
        return named[0] if len(named) == 1 else None

    def extended(self, local: Mapping[tuple[str, str], Variable], origin: str) -> CodeTable:
        """Return a table that knows a site's own codes as well."""
        for (system, code), variable in local.items():
            known = self._by_coding.get((system, code))
            if known is not None and known is not variable:
                raise VariableTableError(
                    f"{origin}: {system}|{code} already means {known.name}, not {variable.name}"
                )
        return CodeTable({**self._by_coding, **local}, {**self._local, **local})

    def local_codes(self, name: str) -> tuple[str, ...]:
        """Return a site's own codes of a variable, by its name, in the order of its ConceptMap."""
        return tuple(code for (_, code), row in self._local.items() if row.name == name)


@lru_cache(maxsize=1024)
def _tidied_system(system: str) -> str:
    """Return a system's usual URI, without a version that was appended to it."""
    bare = system.strip().partition("|")[0]
    return _BY_TIDY_SPELLING.get(bare.casefold().rstrip("/"), bare)


def is_standard(codings: object) -> bool:
    """Whether a code of LOINC, 11073 MDC or SNOMED CT says what is meant, variable or not."""
    return isinstance(codings, list) and any(
        type(coding) is dict
        and type(coding.get("system")) is str
        and bool(coding.get("code"))
        and _tidied_system(coding["system"]) in SYSTEM_SPELLINGS
        for coding in codings
    )


@cache
def load_variables() -> Mapping[str, Variable]:
    """Return the variables of variables.csv by name, in table order."""
    text = files("fhir_adapters").joinpath("variables.csv").read_text(encoding="utf-8")
    return MappingProxyType(parse_variables(text))


@cache
def standard_codes() -> CodeTable:
    """Return the table of LOINC, 11073 MDC and SNOMED CT codes and of our own names."""
    return CodeTable(_codes_of(load_variables().values()))


def variable(name: str) -> Variable:
    """Return a variable by name; raises KeyError with the name if there is none."""
    return load_variables()[name]


def variable_for(codings: object) -> Variable | None:
    """Return the one variable that the codings of a CodeableConcept name by standard codes."""
    return standard_codes().variable_for(codings)


def __getattr__(name: str) -> Any:
    if name == "VARIABLES":  # read on first use: importing this module opens no file
        return load_variables()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def parse_variables(text: str) -> dict[str, Variable]:
    """Read the table; raises VariableTableError that names the row and column at fault."""
    variables: dict[str, Variable] = {}
    for row in csv.DictReader(text.splitlines()):
        parsed = _parse_row(row)
        if parsed.name in variables:
            raise _refuse(parsed.name, "name", "occurs twice")
        variables[parsed.name] = parsed
    for parsed in variables.values():
        for column in ("broader", "read_as"):
            other = getattr(parsed, column)
            if other and other not in variables:
                raise _refuse(parsed.name, column, f"there is no variable {other!r}")
        if parsed.read_as and variables[parsed.read_as].read_as:
            raise _refuse(parsed.name, "read_as", f"{parsed.read_as!r} is no scale of its own")
    _codes_of(variables.values())
    return variables


def _parse_row(row: Mapping[str, str | None]) -> Variable:
    name = row.get("name") or ""
    if not name.isidentifier():
        raise _refuse(name, "name", "is not a lower-case identifier")
    cells = {column: cell or "" for column, cell in row.items() if isinstance(column, str)}
    low, high = (_number(name, column, cells) for column in ("plausible_low", "plausible_high"))
    if low is None or high is None or low >= high:
        raise _refuse(name, "plausible_high", "low and high must be numbers, low below high")
    modality = cells.get("modality", "")
    if modality not in get_args(VariableModality):
        raise _refuse(name, "modality", f"{modality!r} is not one of structured, device, both")
    for column in ("display", "unit", "organ_system"):
        if not cells.get(column):
            raise _refuse(name, column, "is empty")
    charge = _number(name, "charge", cells)
    return Variable(
        name=name,
        display=cells["display"],
        unit=cells["unit"],
        plausible_low=low,
        plausible_high=high,
        modality=modality,  # type: ignore[arg-type]  # checked above
        organ_system=cells["organ_system"],
        loinc=tuple(cells.get("loinc", "").split()),
        mdc=tuple(cells.get("mdc", "").split()),
        snomed=tuple(cells.get("snomed", "").split()),
        broader=cells.get("broader", ""),
        molar_mass_g_per_mol=_number(name, "molar_mass_g_per_mol", cells),
        charge=None if charge is None else int(charge),
        other_units=tuple(cells.get("other_units", "").split()),
        flat_line_min=_number(name, "flat_line_min", cells),
        max_jump=_number(name, "max_jump", cells),
        read_as=cells.get("read_as", ""),
        read_as_factor=_number(name, "read_as_factor", cells) or 1.0,
        read_as_offset=_number(name, "read_as_offset", cells) or 0.0,
    )


def _number(name: str, column: str, cells: Mapping[str, str]) -> float | None:
    text = cells.get(column, "")
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _refuse(name, column, f"{text!r} is not a number")
    return number


def _codes_of(variables: Iterable[Variable]) -> dict[tuple[str, str], Variable]:
    table: dict[tuple[str, str], Variable] = {}
    for row in variables:
        columns = {LOINC: row.loinc, MDC: row.mdc, SNOMED: row.snomed, VARIABLE_SYSTEM: (row.name,)}
        for system, codes in columns.items():
            for code in codes:
                if (system, code) in table:
                    other = table[system, code].name
                    raise _refuse(row.name, system, f"code {code} is already that of {other}")
                for spelling in SYSTEM_SPELLINGS[system]:
                    table[spelling, code] = row
    return table


def _refuse(row: str, column: str, reason: str) -> VariableTableError:
    return VariableTableError(f"variables.csv, row {row!r}, column {column!r}: {reason}")
