"""Mutates FHIR resources: whatever a broken sender, converter or attacker may make of them.

A plain seeded generator, so that 50,000 resources take a minute and every failure can be repeated
by its seed. `fuzz_reading.py` runs it as a command, `test_corpus_reading.py` a part of it.
"""

from __future__ import annotations

from copy import deepcopy
from random import Random
from typing import Any

JUNK: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    10**30,
    10**400,
    1e308,
    -0.0,
    float("nan"),
    float("inf"),
    "",
    " ",
    "x",
    "\x00",
    "\ud800",
    "9" * 5000,
    "2026-03-02",
    "2026-02-30T99:99:99Z",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "Patient/p1",
    "#x",
    "urn:uuid:",
    "http://",
    "../../Patient/p1",
    "<",
    "L",
    "1 2 E",
    "-1e999",
    [],
    [[]],
    [None, 5, "x", {}],
    {},
    {"": ""},
    {"coding": "x"},
    {"value": {}},
    {"reference": []},
    {"resourceType": "Observation"},
)
KEYS = (
    "value",
    "unit",
    "code",
    "system",
    "coding",
    "reference",
    "identifier",
    "data",
    "origin",
    "period",
    "interval",
    "intervalUnit",
    "offsets",
    "factor",
    "dimensions",
    "lowerLimit",
    "upperLimit",
    "comparator",
    "component",
    "contained",
    "modifierExtension",
    "extension",
    "focus",
    "device",
    "interpretation",
    "dataAbsentReason",
    "effectiveDateTime",
    "effectivePeriod",
    "effectiveTiming",
    "issued",
    "meta",
    "valueQuantity",
    "valueString",
    "valueRange",
    "valueRatio",
    "valueSampledData",
    "valueCodeableConcept",
    "valueInteger",
    "status",
    "start",
    "end",
    "low",
    "high",
    "numerator",
    "denominator",
    "birthDate",
    "gender",
    "link",
    "class",
    "location",
    "serviceType",
)


def mutated(resource: dict[str, Any], random: Random) -> dict[str, Any]:
    """Return a copy with one to four changes anywhere in its tree."""
    copy = deepcopy(resource)
    for _ in range(random.randint(1, 4)):
        _change(copy, random)
    return copy


def _change(resource: dict[str, Any], random: Random) -> None:
    holder, key = random.choice(list(_places(resource)))
    kind = random.randrange(8)
    if kind <= 3:
        holder[key] = deepcopy(random.choice(JUNK))
    elif kind == 4:
        if isinstance(holder, dict):
            del holder[key]
        else:
            holder.append(deepcopy(holder[key]))
    elif kind == 5 and isinstance(holder, dict):
        holder[random.choice(KEYS)] = deepcopy(random.choice((*JUNK, holder[key])))
    elif kind == 6:
        holder[key] = [deepcopy(holder[key])]
    elif isinstance(holder[key], str):
        holder[key] = _scrambled(holder[key], random)
    elif isinstance(holder[key], float):
        holder[key] = holder[key] * random.choice((-1, 1e-300, 1e9, 1e300))
    else:
        holder[key] = {random.choice(KEYS): deepcopy(holder[key])}


def _scrambled(text: str, random: Random) -> str:
    at = random.randrange(len(text) + 1)
    return (
        text[:at]
        + random.choice(("", "\u00a0", "-", "9", "T", "/", "E ", ".", "e9"))
        + text[at + 1 :]
    )


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Return every (holder, key) of a tree."""
    places: list[tuple[Any, Any]] = []
    stack = [tree]
    while stack:
        holder = stack.pop()
        items = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, value in items:
            places.append((holder, key))
            if isinstance(value, dict | list):
                stack.append(value)
    return places
