"""What a case says of JSON values: paths and predicates, and for which nodes they are meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from conformance.json_path import find

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "object": dict,
    "array": list,
    "boolean": bool,
    "number": (int, float),
}


def judge(value: Any, rule: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """Return whether a rule met anything to judge, and a sentence for each fault.

    A rule is a predicate on its own, or ``for_each`` a path, ``when`` predicates hold, ``then``.
    A node that is null is left to the rule that forbids null: one fault is told once.
    """
    if "for_each" not in rule:
        return True, list(_faults(value, rule, "$"))
    nodes = find(value, rule["for_each"])
    chosen = [
        (where, node)
        for where, node in nodes
        if node is not None
        and not any(fault for one in rule.get("when", ()) for fault in _faults(node, one, where))
    ]
    faults = [
        fault
        for where, node in chosen
        for one in rule["then"]
        for fault in _faults(node, one, where)
    ]
    return bool(chosen), faults


def _faults(value: Any, predicate: Mapping[str, Any], where: str) -> Iterator[str]:
    path = predicate.get("at", "$")
    found = find(value, path, where)
    if "present" in predicate:
        if bool(found) != predicate["present"]:
            place = where + path.removeprefix("$")
            yield f"{place} is {'missing' if predicate['present'] else 'not allowed here'}."
        return
    if not found and not predicate.get("optional"):
        yield f"{where}{path.removeprefix('$')} is missing."
    for at, node in found:
        for name, expected in predicate.items():
            if name in _PREDICATES and not _PREDICATES[name](node, expected):
                yield f"{at} {_SENTENCES[name].format(expected)}."


def _is(node: Any, expected: str) -> bool:
    kind = _TYPES[expected]
    return isinstance(node, kind) and (expected == "boolean" or not isinstance(node, bool))


def _matches(node: Any, expected: str) -> bool:
    return isinstance(node, str) and re.search(expected, node) is not None


_PREDICATES: Mapping[str, Callable[[Any, Any], bool]] = {
    "is": _is,
    "in": lambda node, expected: node in expected,
    "equals": lambda node, expected: node == expected,
    "matches": _matches,
    "shorter_than": lambda node, expected: isinstance(node, str) and len(node) < expected,
    "not_empty": lambda node, _: node not in ("", [], {}),
}
_SENTENCES: Mapping[str, str] = {
    "is": "is not of the type {}",
    "in": "is not one of {}",
    "equals": "is not {}",
    "matches": "does not match {}",
    "shorter_than": "does not have fewer than {} characters",
    "not_empty": "is empty",
}
