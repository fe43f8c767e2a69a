"""The last thing done to a page: what could hide or turn its text is made visible.

Notes may hold control characters, marks that turn the direction of reading, and characters without
a shape. Templates escape markup, but a browser obeys these. Replacing them in the finished page
covers every field at once. Joiners stay: scripts and emoji need them.
"""

from __future__ import annotations

import re
import unicodedata

_DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_CONTROL = "\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f"
_SHAPELESS = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0"
    "\U000e0000-\U000e007f"
)
_ACCENT = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u20d0-\u20f0]"
_SHOWN = re.compile(f"[{_CONTROL}{_DIRECTION}]")
_DROPPED = re.compile(f"[{_SHAPELESS}]")
_PILED = re.compile(f"({_ACCENT}{{4}}){_ACCENT}+")


def visible(page: str) -> str:
    """Return the page with such characters shown as "[U+202E]", and shapeless ones left out.

    Accents piled on one letter are cut to four: no language needs more, and a hundred of them
    cover the lines above.
    """
    shown = _SHOWN.sub(lambda match: f"[U+{ord(match[0]):04X}]", page)
    return unicodedata.normalize("NFC", _PILED.sub(r"\1", _DROPPED.sub("", shown)))
