"""A site's own codes, from a FHIR ConceptMap file.

The map's targets are codes of the table (LOINC, 11073 MDC, SNOMED CT) or our variables' names
(system ``urn:meam:variables``). A source code counts when the target means the same or more:
``equal``, ``equivalent`` or ``wider`` in R4, ``equivalent`` or ``source-is-narrower-than-target``
in R5. A narrower or inexact target would put words into the site's mouth and is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fhir_adapters.codes import CodeTable, Variable, VariableTableError, standard_codes

_ACCEPTED = frozenset({"equal", "equivalent", "wider", "source-is-narrower-than-target"})
_UNMAPPED = frozenset({"unmatched", "disjoint", "not-related-to"})


def read_concept_map(path: Path) -> CodeTable:
    """Return the standard codes and those of a ConceptMap file.

    Raises VariableTableError that names the JSON path at fault.
    """
    try:
        concept_map = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as problem:
        raise VariableTableError(f"{path.name} cannot be read as JSON: {problem}") from problem
    return codes_with_concept_map(concept_map, path.name)


def codes_with_concept_map(concept_map: Any, origin: str) -> CodeTable:
    """Return the standard codes and those of a parsed ConceptMap; ``origin`` names it in errors."""
    if not isinstance(concept_map, dict) or concept_map.get("resourceType") != "ConceptMap":
        raise VariableTableError(f"{origin} is no ConceptMap")
    standard = standard_codes()
    local: dict[tuple[str, str], Variable] = {}
    for where, key, target in _mappings(concept_map, origin):
        variable = standard.lookup(*target)
        if variable is None:
            raise VariableTableError(f"{where}: {target[0]}|{target[1]} is no code of the table")
        if local.setdefault(key, variable) is not variable:
            raise VariableTableError(f"{where}: {key[0]}|{key[1]} is mapped to two variables")
    return standard.extended(local, origin)


def _mappings(
    concept_map: dict[str, Any], origin: str
) -> Iterator[tuple[str, tuple[str, str], tuple[str, str]]]:
    """Yield (JSON path, source coding, target coding)."""
    for g, group in enumerate(_objects(concept_map, "group", origin)):
        path = f"{origin}: group[{g}]"
        source, target_system = (_system(group, end, path) for end in ("source", "target"))
        for e, element in enumerate(_objects(group, "element", path)):
            where = f"{path}.element[{e}]"
            code = _text(element, "code", where)
            for target in _objects(element, "target", where) if "target" in element else []:
                relation = target.get("equivalence") or target.get("relationship")
                if relation in _UNMAPPED:
                    continue
                if relation not in _ACCEPTED:
                    raise VariableTableError(f"{where}: relation {relation!r} is not accepted")
                yield where, (source, code), (target_system, _text(target, "code", where))


def _objects(holder: dict[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    entries = holder.get(name)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise VariableTableError(f"{where}: '{name}' must be a list of objects")
    return entries


def _system(group: dict[str, Any], end: str, where: str) -> str:
    """Return the code system of a group's end, without the version that R5 appends."""
    return _text(group, end, where).split("|", 1)[0]


def _text(holder: dict[str, Any], name: str, where: str) -> str:
    text = holder.get(name)
    if not isinstance(text, str) or not text:
        raise VariableTableError(f"{where}: '{name}' must be a text")
    return text
