"""How far a heading of the past, of relatives or of advice reaches.

Such a heading flags all that stands under it, and notes do not always say where that ends: the next
line may be "Neuro: sedated". A section ends before its next heading where going on would be a
guess: at a line with its own label, and at text after an empty line once its list is complete.
"""

from __future__ import annotations

import re

from fhir_adapters.assertion_cues import RELATIVES
from fhir_adapters.note_headings import Heading, has_assertion, is_label

_LABEL = re.compile(r"([^\W\d_][\w /&-]{0,24}):(?=\s)")


def label_of(line: str) -> str:
    """Return "Neuro" of "Neuro: sedated"."""
    found = _LABEL.match(line)
    return found.group(1) if found else ""


class OpenSection:
    """The section that the lines of a text stand under, one after the other."""

    def __init__(self, outer: str) -> None:
        self._outer = outer
        self.title = outer
        self._begin(one_line=False)

    def open(self, heading: Heading) -> None:
        """Begin the section of a heading inside the outer one."""
        self.title = joined_titles(self._outer, heading.title)
        self._begin(one_line=bool(heading.rest))

    def _begin(self, *, one_line: bool) -> None:
        self._one_line = one_line
        self._has_list = False
        self._has_text = one_line

    def place(self, line: str, *, listed: bool, after_gap: bool) -> str:
        """Return the title for a line. ``listed``: an item or row; ``after_gap``: of lines."""
        if has_assertion(self.title) and not listed and self._ends_at(line, after_gap=after_gap):
            self.title = present_title(self._outer)
        self._has_list |= listed
        self._has_text |= not label_of(line)
        return self.title

    def _ends_at(self, line: str, *, after_gap: bool) -> bool:
        label = label_of(line)
        if is_label(label) and self._has_text:  # under "PMH:" alone "Cardiac: CAD" is a part of it
            return True
        # "Mother: breast cancer" goes on with the family.
        is_relative = not RELATIVES.isdisjoint(label.lower().split())
        if label and self._one_line and not is_relative:
            return True
        return after_gap and (self._one_line or self._has_list)


def joined_titles(outer: str, title: str) -> str:
    """Return "Hospital course – Imaging" for a heading inside a section."""
    return f"{outer} – {title}" if outer and outer.lower() != title.lower() else title


def present_title(outer: str) -> str:
    """Return the title of what stands after a section of the past inside the outer one."""
    return "" if has_assertion(outer) else outer
