"""Members of foreign JSON in the shape that was expected, or empty: servers send anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def object_of(value: object) -> Mapping[str, Any]:
    """Return an object as it is, an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def objects_of(value: object) -> list[Mapping[str, Any]]:
    """Return the objects of an array, nothing for anything else."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def text_of(value: object) -> str:
    """Return a string or a number as text, "" for anything else."""
    return str(value) if isinstance(value, str | int | float) else ""
