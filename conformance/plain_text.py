"""Texts of others, as they may stand in a terminal, in XML and in a page."""

from __future__ import annotations

import unicodedata

_KEPT = "\n\t"
# Controls (a terminal obeys them), halves of surrogates (no file holds them), and what XML forbids
# or nobody sees, such as a change of the direction of writing.
_HIDDEN = ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")


def plain(text: str) -> str:
    r"""Return a text in which characters that are not to be seen are written as \u001b."""
    if text.isprintable():
        return text
    return "".join(_shown(one) for one in text)


def _shown(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _HIDDEN:
        return character
    return f"\\u{ord(character):04x}"
