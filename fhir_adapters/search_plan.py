"""How a search is put to a server: as asked, or in the way that this server can answer.

A search is a relative URL such as ``Observation?patient=1&category=laboratory``. What cannot be
asked is never dropped in silence: it becomes a line that says so, or an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from fhir_adapters.capability import Capabilities
from fhir_adapters.codes import LOINC, load_variables
from fhir_adapters.errors import FhirRejected
from model.record import ReportLine

_QUERY = re.compile(r"([A-Z][A-Za-z]+)\?([^#\s\\]*)")
_PATIENT_PARAMETERS = ("patient", "subject")
_NARROWING = ("category", "code", "_id")
_SHOWN = ("category", "class", "type")  # parameters whose values say nothing about a patient
_CODES_A_SEARCH = 40  # keeps the URL under 2 kB, which old proxies cut


@dataclass(frozen=True, slots=True)
class Query:
    """A search, taken apart. Parameters keep their order; values are decoded."""

    resource_type: str
    parameters: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Query:
        """Raises FhirRejected for anything but ``Type?name=value``."""
        found = _QUERY.fullmatch(text)
        if not found:
            raise FhirRejected("a search is not of the form Type?name=value")
        return cls(found[1], tuple(parse_qsl(found[2], keep_blank_values=True)))

    def __str__(self) -> str:
        text = "&".join(
            f"{quote(name, ':.')}={quote(value, _SAFE)}" for name, value in self.parameters
        )
        return f"{self.resource_type}?{text}"

    @property
    def label(self) -> str:
        """The search without what may identify a patient: "Observation?category=laboratory"."""
        shown = [f"{name}={value}" for name, value in self.parameters if name in _SHOWN]
        return f"{self.resource_type}?{'&'.join(shown)}" if shown else self.resource_type

    def names(self) -> list[str]:
        """Parameter names without modifiers and chains."""
        return [_bare(name) for name, _ in self.parameters]

    def without(self, *names: str) -> Query:
        kept = tuple(p for p in self.parameters if _bare(p[0]) not in names)
        return Query(self.resource_type, kept)

    def plus(self, name: str, value: str) -> Query:
        return Query(self.resource_type, (*self.parameters, (name, value)))


_SAFE = ":|,/.$"


def _bare(name: str) -> str:
    return re.split(r"[:.]", name, maxsplit=1)[0]


@dataclass(frozen=True, slots=True)
class Plan:
    """The searches that together answer one search, and what their answer is short of."""

    queries: tuple[Query, ...]
    notes: tuple[ReportLine, ...] = ()
    stands_for_all: bool = False  # searches for other categories come to the same plan


def require_narrow(query: Query) -> None:
    """Refuse an Observation search that servers refuse, or answer with far too much.

    Raises FhirRejected unless there is a patient, and a category or a code.
    """
    if query.resource_type != "Observation":
        return
    names = query.names()
    if not any(name in names for name in _PATIENT_PARAMETERS) and "_id" not in names:
        raise FhirRejected(f"{query.label}: an Observation search needs a patient; it was not sent")
    if not any(name in names for name in _NARROWING):
        raise FhirRejected(
            f"{query.label}: an Observation search needs a category or a code; it was not sent"
        )


def plan_search(query: Query, capabilities: Capabilities | None, codes: Sequence[str]) -> Plan:
    """Fit a search to what the server says that it supports.

    ``codes`` stand in for ``category`` on servers that know only ``code``. Raises FhirRejected
    if the server does not offer the resource type.
    """
    if capabilities is None:
        return Plan((query,))
    kind = query.resource_type
    if not capabilities.offers(kind):
        raise FhirRejected(f"{query.label}: the server's CapabilityStatement has no {kind}")
    query = _with_known_patient_parameter(query, capabilities)
    dropped = [
        name for name in dict.fromkeys(query.names()) if _droppable(name, kind, capabilities)
    ]
    notes = tuple(
        ReportLine(
            query.label,
            "unsupported-parameter",
            f"{query.label}: the FHIR server does not support the parameter '{name}'; "
            "the search was made without it",
        )
        for name in dropped
    )
    by_code = _replaces_category(query, capabilities)
    fitted = query.without(*dropped, *(("category",) if by_code else ()))
    if not by_code:
        return Plan((fitted,), notes)
    searches = tuple(fitted.plus("code", group) for group in _code_groups(codes))
    return Plan(searches, notes, stands_for_all=True)


def by_single_category(query: Query) -> Plan:
    """Split a search for several categories: some servers take one at a time."""
    for position, (name, value) in enumerate(query.parameters):
        if name == "category" and "," in value:
            before, after = query.parameters[:position], query.parameters[position + 1 :]
            return Plan(
                tuple(
                    Query(query.resource_type, (*before, (name, one), *after))
                    for one in dict.fromkeys(value.split(","))
                    if one
                )
            )
    return Plan((query,))


def _with_known_patient_parameter(query: Query, capabilities: Capabilities) -> Query:
    kind = query.resource_type
    if not capabilities.lacks(kind, "patient") or capabilities.lacks(kind, "subject"):
        return query
    renamed = tuple(
        ("subject", value if "/" in value else f"Patient/{value}")
        if name == "patient"
        else (name, value)
        for name, value in query.parameters
    )
    return Query(kind, renamed)


def _droppable(name: str, kind: str, capabilities: Capabilities) -> bool:
    """Say whether a filter may go. Who the patient is may never go, nor a search's only limit."""
    if name.startswith("_") or name in (*_PATIENT_PARAMETERS, "category", "code"):
        return False
    return capabilities.lacks(kind, name)


def _replaces_category(query: Query, capabilities: Capabilities) -> bool:
    kind = query.resource_type
    return (
        kind == "Observation"
        and "category" in query.names()
        and "code" not in query.names()
        and capabilities.lacks(kind, "category")
        and not capabilities.lacks(kind, "code")
    )


def _code_groups(codes: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(codes), _CODES_A_SEARCH):
        yield ",".join(f"{LOINC}|{code}" for code in codes[start : start + _CODES_A_SEARCH])


def loinc_codes() -> tuple[str, ...]:
    """Return every LOINC code that the table of variables knows, in its order."""
    rows = load_variables().values()
    return tuple(dict.fromkeys(code for row in rows for code in row.loinc))
