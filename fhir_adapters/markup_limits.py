"""Keeps HTML parsing linear in the length of the page, whoever wrote the page.

HTML5 as browsers parse it has quadratic corners. Measured with lexbor: 60,000 nested ``div`` take
56 s, 60,000 attributes of one element 8 s, 60,000 ``option`` 30 s, and every unclosed ``font`` is
opened again in each paragraph that follows. Elements that say nothing to a reader are cut out where
they become many; what no clinical page needs is refused.
"""

from __future__ import annotations

import re

MAX_HTML_CHARS = 5_000_000
_MAX_NESTING = 1_000
_MAX_ATTRIBUTES = 2_000
_MAX_OPEN_FORMATS = 16
_MAX_MERGED = 16  # html and body: all their attributes are merged into the first one's
_MAX_OPTIONS = 500
_SMALL_PAGE_CHARS = 20_000  # shorter than this, no number of attributes matters

_FORMATS = frozenset(
    [
        "a",
        "b",
        "big",
        "code",
        "em",
        "font",
        "i",
        "nobr",
        "s",
        "small",
        "strike",
        "strong",
        "tt",
        "u",
    ]
)
_MERGED = frozenset({"html", "body"})
_OPTIONS = frozenset({"select", "option", "optgroup"})
_OFTEN_UNCLOSED = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "dd",
        "dt",
        "hr",
        "img",
        "input",
        "li",
        "link",
        "meta",
        "p",
        "param",
        "source",
        "td",
        "th",
        "tr",
        "wbr",
    ]
)
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})")
_WITHOUT_MANY = re.compile(
    rf"</?(?:{'|'.join(sorted(_FORMATS | _MERGED | _OPTIONS))})(?:\s[^<>]*)?>", re.IGNORECASE
)
_TAG_PART = re.compile(r"[\"'>\s]")


def defused_html(html: str) -> str:
    """Return a page that parses in linear time. Raises ValueError if it cannot be made one."""
    if len(html) > MAX_HTML_CHARS:
        raise ValueError(f"the page is longer than {MAX_HTML_CHARS:,} characters")
    if len(html) > _SMALL_PAGE_CHARS:
        _check_attributes(html)
    open_formats = open_elements = most_formats = most_elements = merged = options = 0
    for slash, name in _TAG.findall(html):
        step = -1 if slash else 1
        name = name.lower()
        if name in _FORMATS:
            open_formats = max(0, open_formats + step)
            most_formats = max(most_formats, open_formats)
        elif name in _MERGED:
            merged += 1
        elif name in _OPTIONS:
            options += 1
        elif name not in _OFTEN_UNCLOSED:
            open_elements = max(0, open_elements + step)
            most_elements = max(most_elements, open_elements)
    if most_elements > _MAX_NESTING:
        raise ValueError(f"elements are nested more than {_MAX_NESTING:,} deep")
    many = most_formats > _MAX_OPEN_FORMATS or merged > _MAX_MERGED or options > _MAX_OPTIONS
    return _WITHOUT_MANY.sub("", html) if many else html


def _check_attributes(html: str) -> None:
    position = 0
    while (tag := _TAG.search(html, position)) is not None:
        position, count = _end_of_tag(html, tag.end())
        if count > _MAX_ATTRIBUTES:
            raise ValueError(f"an element has more than {_MAX_ATTRIBUTES:,} attributes")


def _end_of_tag(html: str, position: int) -> tuple[int, int]:
    """Return where the tag ends and how many attributes it has at most."""
    count = 0
    while (part := _TAG_PART.search(html, position)) is not None:
        position = part.end()
        if part.group() == ">":
            return position, count
        if part.group() in "\"'":
            closing = html.find(part.group(), position)
            if closing < 0:
                break
            position = closing + 1
        count += 1
    return len(html), count
