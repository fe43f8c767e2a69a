"""A small JSON path: ``$.cards[*].summary``, with ``[*]``, ``.*`` and ``[0]``, and nothing more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_PART = re.compile(r"\.([A-Za-z0-9_-]+|\*)|\[(\*|\d+)\]")

_EACH = "[*]"


class BadPath(ValueError):
    """A path that this module does not read."""


def parts_of(path: str) -> list[str | int]:
    """Split a path into member names, indexes, ``*`` and ``[*]``. Raises BadPath."""
    rest = path.removeprefix("$")
    found: list[str | int] = []
    position = 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None:
            raise BadPath(f"'{path}' cannot be read from character {position} on.")
        found.append(part[1] or (_EACH if part[2] == "*" else int(part[2])))
        position = part.end()
    return found


def find(value: Any, path: str, where: str = "$") -> list[tuple[str, Any]]:
    """Return each value at the path, with the exact path where it stands."""
    nodes = [(where, value)]
    for part in parts_of(path):
        nodes = [child for at, node in nodes for child in _children(at, node, part)]
    return nodes


def set_at(value: Any, path: str, new: Any) -> None:
    """Put ``new`` at a path without ``*``; all but the last part has to exist. Raises BadPath."""
    holder, last = _holder(value, path)
    holder[last] = new


def remove_at(value: Any, path: str) -> None:
    """Remove what stands at a path without ``*``. Raises BadPath where nothing does."""
    holder, last = _holder(value, path)
    try:
        del holder[last]
    except (KeyError, IndexError) as exc:
        raise BadPath(f"There is nothing at '{path}'.") from exc


def dicts(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; empty for anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _children(at: str, node: Any, part: str | int) -> Iterator[tuple[str, Any]]:
    if part == _EACH:  # of an array alone: an object in its place has a case of its own
        items = node if isinstance(node, list) else ()
        yield from ((f"{at}[{index}]", child) for index, child in enumerate(items))
    elif part == "*" and isinstance(node, dict):
        yield from ((f"{at}.{name}", child) for name, child in node.items())
    elif isinstance(part, int) and isinstance(node, list) and part < len(node):
        yield f"{at}[{part}]", node[part]
    elif isinstance(part, str) and isinstance(node, dict) and part in node:
        yield f"{at}.{part}", node[part]


def _holder(value: Any, path: str) -> tuple[Any, Any]:
    parts = parts_of(path)
    if not parts or {"*", _EACH} & set(parts):
        raise BadPath(f"'{path}' does not name one place.")
    for part in parts[:-1]:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError) as exc:
            raise BadPath(f"There is nothing at '{path}'.") from exc
    return value, parts[-1]
