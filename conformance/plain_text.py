"""Texts of others, as they may stand in a terminal, in XML and in a page."""

from __future__ import annotations

import traceback
import unicodedata
from pathlib import Path

_OURS = Path(__file__).parent
_KEPT = "\n\t"
# Controls (a terminal obeys them), halves of surrogates (no file holds them), and what XML forbids
# or nobody sees, such as a change of the direction of writing.
_HIDDEN = ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")


def plain(text: str) -> str:
    r"""Return a text in which characters that are not to be seen are written as \u001b."""
    if text.isprintable():
        return text
    return "".join(_shown(one) for one in text)


def broken_by(exc: Exception) -> str:
    """Say where the suite broke, without the text of the exception: it may quote an answer."""
    frames = traceback.extract_tb(exc.__traceback__)
    ours = [one for one in frames if _OURS in Path(one.filename).parents]
    place = (ours or frames)[-1]
    where = f"{Path(place.filename).name}, line {place.lineno}"
    return f"The suite broke on this answer: {type(exc).__name__} in {where}."


def _shown(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _HIDDEN:
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
