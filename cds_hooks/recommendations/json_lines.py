"""On which line of a JSON text each value stands, so that a fault can be pointed at."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_MARK = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+|\n')


def lines_of(text: str) -> dict[Path, int]:
    """Return the line of each value by its path. ``text`` has to be valid JSON."""
    lines: dict[Path, int] = {}
    line = 1
    places: list[list[str | int]] = []  # the member or index that is being read, outermost first
    inside: list[str] = []  # "{" or "["
    key_next = False
    for mark in _MARK.findall(text):
        if mark == "\n":
            line += 1
        elif mark in "}]":
            inside.pop()
            places.pop()
        elif mark == ",":
            key_next = inside[-1] == "{"
            if not key_next:
                places[-1][0] = int(places[-1][0]) + 1
        elif mark == ":":
            key_next = False
        elif key_next:
            places[-1][0] = mark[1:-1]
            lines[_path(places)] = line
        else:
            lines.setdefault(_path(places), line)
            if mark in "{[":
                inside.append(mark)
                places.append(["" if mark == "{" else 0])
                key_next = mark == "{"
    return lines


def line_of(lines: dict[Path, int], path: Path) -> int:
    """Return the line of a value; of the nearest one around it, if there is none."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _path(places: list[list[str | int]]) -> Path:
    return tuple(place[0] for place in places)
