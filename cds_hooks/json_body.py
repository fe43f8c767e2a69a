"""The JSON of a body, fast where it can be and exact where it must be.

orjson reads the usual body. It is taken at its word only for what it reads as the standard library
does; whatever else there may be is read by the standard library, which finds the fault or the
value. A member that stands twice in one object is refused, since which of them counts would be the
reader's choice; the standard library's way of seeing it calls us for each object.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from cds_hooks.collector import collector_paused
from cds_hooks.errors import BadRequest
from cds_hooks.request import printable

# Objects, arrays and what follows a comma. 10,000 Observations of a verbose server hold half as
# many; 18 MB of "{}," would be six million, and half a gigabyte of memory.
_MOST_VALUES = 2_000_000
_ESCAPED_MARKS = (b"\\u0022", b"\\u003a", b"\\u003A")  # a quote, and a colon in both spellings
_SPACED_COLON = re.compile(rb'"[ \t\r\n]+:')
_CHUNK = 256 * 1024  # bytes looked at together, so that what comes of them stays in the cache
_LONGEST_INTEGER = 18  # digits that fit 64 bits whatever they are; orjson rounds longer ones
_BEFORE_NUMBERS = np.frombuffer(b" \t\r\n:,[-", np.uint8)
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


class _Unsure(Exception):
    """orjson may have read this otherwise than the standard library."""


def parse_json(body: bytes, *, most_values: int = _MOST_VALUES) -> Any:
    """Return the JSON value of a body. Raises BadRequest; NaN and Infinity are not JSON.

    A name that stands twice in one object is refused too, and so is a body that would grow large
    in memory.
    """
    text = np.frombuffer(body, np.uint8)
    if _value_marks(text) > most_values:
        raise BadRequest("$", f"the body holds more than {most_values} values")
    try:
        return _fast(body, text)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, _Unsure):
        return parse_exactly(body)


def parse_exactly(body: bytes) -> Any:
    """Return the JSON value of a body by the standard library. Raises BadRequest."""
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_constant=_refuse_constant,
            object_pairs_hook=_members_once,
        )
    except UnicodeDecodeError as exc:
        raise BadRequest("$", f"the body is not UTF-8 at byte {exc.start}") from exc
    except json.JSONDecodeError as exc:
        raise BadRequest(
            "$", f"the body is not JSON: {exc.msg} in line {exc.lineno}, column {exc.colno}"
        ) from exc
    except RecursionError as exc:
        raise BadRequest("$", "the body is nested too deeply") from exc
    except ValueError as exc:
        raise BadRequest("$", "the body holds a number that is out of range") from exc


def _fast(body: bytes, text: Bytes) -> Any:
    if _has_long_integer(text):
        raise _Unsure
    with collector_paused():  # orjson holds the interpreter's lock meanwhile
        value = orjson.loads(body)
    # Writing it again also refuses what is nested deeper than 254 levels.
    if not _says_all(body, text, orjson.dumps(value)):
        raise _Unsure
    return value


def _says_all(body: bytes, text: Bytes, again: bytes) -> bool:
    """Whether no member was dropped: each one that was takes a quote before a colon with it.

    A quote stands before a colon at the end of each name, and wherever a string begins with a
    colon or holds both; the latter look alike in both texts, unless an escape stands for one of
    them. So the counts are equal if and only if all names are there.
    """
    if b"\\" in body and any(mark in body for mark in _ESCAPED_MARKS):
        return False
    if _has_spaced_colon(text) and _SPACED_COLON.search(body):
        return False
    return _names(text) == _names(np.frombuffer(again, np.uint8))


def _chunks(text: Bytes, beyond: int) -> Iterator[Bytes]:
    """Yield the text in pieces, each with so many bytes of the next one."""
    for start in range(0, len(text), _CHUNK):
        yield text[start : start + _CHUNK + beyond]


def _names(text: Bytes) -> int:
    return sum(
        int(np.count_nonzero((part[:-1] == ord('"')) & (part[1:] == ord(":"))))
        for part in _chunks(text, 1)
    )


def _has_spaced_colon(text: Bytes) -> bool:
    """Whether white space stands before a colon anywhere, also in a string."""
    return any(
        ((part[:-1] <= ord(" ")) & (part[1:] == ord(":"))).any() for part in _chunks(text, 1)
    )


def _value_marks(text: Bytes) -> int:
    return sum(int(np.count_nonzero(part == mark)) for part in _chunks(text, 0) for mark in b"{[,")


def _has_long_integer(text: Bytes) -> bool:
    """Whether 19 digits may stand in a row at the beginning of a number."""
    for number, part in enumerate(_chunks(text, _LONGEST_INTEGER)):
        runs = _runs(part)
        if runs.any():
            places = number * _CHUNK + np.flatnonzero(runs)
            if places[0] == 0 or np.isin(text[places - 1], _BEFORE_NUMBERS).any():
                return True
    return False


def _runs(text: Bytes) -> Flags:
    """Mark where 19 digits begin. Each step joins two shorter runs, which may overlap."""
    run = (text - np.uint8(ord("0"))) < 10  # what is below "0" wraps around
    for shift in (1, 2, 4, 8, _LONGEST_INTEGER - 15):
        run = run[shift:] & run[:-shift]
    return run


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that stands twice: which value counts would be the reader's choice."""
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    counts = Counter(name for name, _ in pairs)  # list.count would be quadratic: an attack
    twice = next(name for name, count in counts.items() if count > 1)
    raise BadRequest("$", f"the member '{printable(twice)}' stands twice in one object")
