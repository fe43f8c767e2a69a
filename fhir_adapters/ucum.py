"""UCUM by ucumvert and pint, for the units that no table of ours holds.

Importing pint and its UCUM grammar takes about a second and an unknown unit about a millisecond,
so that this module is imported on first need only, and its answers are cached by its caller.
"""

from __future__ import annotations

from functools import cache
from threading import Lock

from lark.exceptions import LarkError
from pint.errors import (
    DefinitionSyntaxError,
    DimensionalityError,
    OffsetUnitCalculusError,
    UndefinedUnitError,
)
from ucumvert import PintUcumRegistry

_registry_lock = Lock()  # pint's registry is filled while it parses


@cache
def _registry() -> PintUcumRegistry:
    return PintUcumRegistry()


def preload() -> None:
    """Pay for the import and the first parse now, for example in the background at start-up."""
    linear_conversion("g", "kg")


def linear_conversion(code: str, target: str) -> tuple[float, float] | None:
    """Return (factor, offset) from one UCUM code to another; ``None`` if unrelated or not UCUM."""
    with _registry_lock:
        try:
            at_zero = _convert(0.0, code, target)
            at_one = _convert(1.0, code, target)
        except (
            LarkError,
            DefinitionSyntaxError,
            DimensionalityError,
            OffsetUnitCalculusError,
            UndefinedUnitError,
        ):
            return None
    return at_one - at_zero, at_zero


def _convert(number: float, code: str, target: str) -> float:
    # A UCUM code may hold a number: "mg/(12.h)" is a quantity of 1/12 mg/h.
    source_one, target_one = _registry().from_ucum(code), _registry().from_ucum(target)
    quantity = _registry().Quantity(number * source_one.magnitude, source_one.units)
    return float(quantity.to(target_one.units).magnitude / target_one.magnitude)
