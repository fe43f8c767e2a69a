"""The reference range that a laboratory states beside its value, in the variable's own unit.

A range is shown to people and never read by the model: what cannot be read is no range, and
nothing is reported about it.
"""

from __future__ import annotations

import math
from typing import Any

from fhir_adapters.codes import Variable
from fhir_adapters.units import conversion
from fhir_adapters.values import Value, number_of

_NORMAL = "normal"  # code of "Observation Reference Range Meaning Codes"; the default of R4

Range = tuple[float | None, float | None]
NO_RANGE: Range = (None, None)


def reference_range(element: dict[str, Any], value: Value, variable: Variable) -> Range:
    """Return low and high of the normal range of an Observation or component."""
    ranges = element.get("referenceRange")
    for one in ranges if isinstance(ranges, list) else []:
        if isinstance(one, dict) and _is_normal(one) and not one.get("age"):
            low = _bound(one.get("low"), value, variable)
            high = _bound(one.get("high"), value, variable)
            if low is not None and high is not None and low > high:
                return NO_RANGE
            return low, high
    return NO_RANGE


def _is_normal(one: dict[str, Any]) -> bool:
    kind = one.get("type")
    if kind is None:
        return True
    codings = kind.get("coding") if isinstance(kind, dict) else None
    return any(
        isinstance(coding, dict) and coding.get("code") == _NORMAL
        for coding in (codings if isinstance(codings, list) else [])
    )


def _bound(quantity: object, value: Value, variable: Variable) -> float | None:
    """Return a bound. One without a unit is in the unit of the value, as R4 expects it."""
    if not isinstance(quantity, dict):
        return None
    number = number_of(quantity.get("value"))
    if number is None:
        return None
    unit, code, system = (
        text if isinstance(text := quantity.get(name), str) else ""
        for name in ("unit", "code", "system")
    )
    if not unit and not code:
        unit, code, system = value.unit, value.code, value.system
    found = conversion(variable, unit, code, system)
    if found is None:
        return None
    bound = number * found.factor + found.offset
    return bound if math.isfinite(bound) else None
