"""Elements of a resource as the type that FHIR gives them, or as nothing.

Servers and attackers send a number where an object belongs; a reader of optional elements treats
that as absent.
"""

from __future__ import annotations

from typing import Any


def text_of(value: object) -> str:
    """Return a string value without outer white space; anything else is ``""``."""
    return value.strip() if isinstance(value, str) else ""


def dict_of(value: object) -> dict[str, Any]:
    """Return an object; anything else is ``{}``."""
    return value if isinstance(value, dict) else {}


def dicts_of(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list, or a lone object as a list of one (R4 and R5 differ here)."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]
