"""Lines of a note to paragraphs under headings.

A paragraph is what may hold several sentences: prose whose wrapped lines were joined, one item of
a list, or one ``key: value`` line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from fhir_adapters.note_headings import Heading, heading_line, inline_heading, is_shouting
from fhir_adapters.note_sections import OpenSection


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text on one line, and the heading that it stands under."""

    text: str
    section: str
    is_row: bool = False  # of a table; its cells are separated by " | "
    is_unchecked: bool = False  # behind an empty check box
    is_item: bool = False  # of a list


_ITEM = re.compile(
    r"(?:[-*•·▪●►◦‣–—]\s+|[-*•·▪●►◦‣](?=[A-Z])|o\s+(?=[A-Z])|\(?\d{1,2}[.)]\s+|[a-zA-Z]\)\s+"
    r"|#\s*\d{0,2}[.:)]?\s+)"
)
_RULE = re.compile(r"[-=_*#~.\s]{3,}|page \d{1,4}(?: of \d{1,4})?", re.IGNORECASE)
_KEY_VALUE = re.compile(r"[^\W\d_][\w /&().,%+-]{0,40}:\s+\S")
_ENDS_SENTENCE = re.compile(r"[.!?:;][\"')\]]*$")
_ENDS_OPEN = re.compile(
    r"(?:[,/(&+-]|\b(?:and|or|with|of|to|in|for|at|by|from|the|a|dr\.|mr\.|mrs\.|ms\.|vs\.))$",
    re.IGNORECASE,
)
_NARROWEST_PAGE = 50  # columns; shorter lines are lists, not wrapped prose
_PROSE_PAGE = 68  # from here on a line that fills the page runs on, whatever comes next
_WIDEST_PAGE = 140
_LINKS = frozenset({"and", "or", "with", "of", "to", "in", "for", "at", "by", "but", "from", "the"})


BAR = " | "
BULLET = "‣ "  # before items of lists in markup; some are headings with their text
_EMPTY_BOX = re.compile(r"(?:\[[ _]?\]|[☐▢□◻])\s*")
_FULL_BOX = re.compile(r"(?:\[[xX]\]|[☑☒✓✔■])\s*")
_BLANK_FIELD = re.compile(r"_{3,}")


def paragraphs(text: str, section: str = "", *, wrapped: bool = True) -> Iterator[Paragraph]:
    """Yield the paragraphs of a note in order; headings are not among them.

    Where the text stands under a heading already, headings inside it are added to that one.
    """
    place = OpenSection(section)
    unused: Heading | None = None
    last = ""
    for block in _blocks(text):
        width = max(map(len, block)) if wrapped else 0
        for position, line in enumerate(_joined(block, width)):
            heading = None
            if BAR not in line:
                capitals_count = position == 0 and line.isupper() and not is_shouting(text)
                heading = _heading(line, capitals_count=capitals_count)
            if heading is None:
                gap = position == 0 or BAR in last or last.startswith(BULLET)
                yield _paragraph(line, place, after_gap=gap)
                unused, last = None, line
                continue
            if unused is not None and not unused.known:
                yield Paragraph(unused.title, section)
            place.open(heading)
            unused, last = heading, ""
            if heading.rest:
                yield Paragraph(heading.rest, place.title)
                unused = None
    if unused is not None and not unused.known:
        yield Paragraph(unused.title, section)


def _heading(line: str, *, capitals_count: bool) -> Heading | None:
    bare = line.removeprefix(BULLET)
    capitals_count = capitals_count and bare is line  # "COPD" in a list is an item
    return heading_line(bare, capitals_count=capitals_count) or inline_heading(bare)


def _paragraph(line: str, place: OpenSection, *, after_gap: bool) -> Paragraph:
    if "___" in line:
        line = _BLANK_FIELD.sub("", line)
    bulleted, line = line.startswith(BULLET), line.removeprefix(BULLET)
    if BAR in line:
        return Paragraph(line, place.place(line, listed=True, after_gap=after_gap), is_row=True)
    empty = None if line[:1].isalnum() else _EMPTY_BOX.match(line)
    item = empty or _FULL_BOX.match(line) or _ITEM.match(line)
    text = line[item.end() :] if item else line
    is_item = bulleted or item is not None
    title = place.place(text, listed=is_item, after_gap=after_gap)
    return Paragraph(text, title, is_unchecked=empty is not None, is_item=is_item and empty is None)


def _blocks(text: str) -> Iterator[list[str]]:
    """Yield the lines between empty lines and rules."""
    block: list[str] = []
    for raw in text.split("\n"):
        line = raw.expandtabs(4).strip()
        if line and not _RULE.fullmatch(line):
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _joined(block: list[str], width: int) -> Iterator[str]:
    """Yield the lines of a block with those joined that a narrow page has broken."""
    parts = [block[0]]
    for last, line in pairwise(block):
        if _runs_on(last, line, width):
            parts.append(line)
        else:
            yield _join(parts)
            parts = [line]
    yield _join(parts)


def _join(parts: list[str]) -> str:
    return " ".join(parts)


def _runs_on(last: str, line: str, width: int) -> bool:
    if not width:
        return False
    first = line.split(" ", 1)[0]
    fills_page = len(last) + 1 + len(first) > width and _NARROWEST_PAGE <= width <= _WIDEST_PAGE
    is_open = _ENDS_OPEN.search(last) is not None
    if not is_open:
        is_prose = width >= _PROSE_PAGE or first[0].islower()
        if not (first in _LINKS or (fills_page and is_prose)) or _ENDS_SENTENCE.search(last):
            return False
    return not _starts_anew(line) and heading_line(last, capitals_count=False) is None


def _starts_anew(line: str) -> bool:
    return bool(
        _ITEM.match(line)
        or BAR in line
        or _EMPTY_BOX.match(line)
        or _FULL_BOX.match(line)
        or _KEY_VALUE.match(line)
        or heading_line(line, capitals_count=True)
        or inline_heading(line)
    )
