"""Text from data, made safe for the ``detail`` of a card.

A client may render ``detail`` as Markdown, as HTML, or show it as it is, and one well-known
client runs the HTML that it finds. So text from data can neither be markup nor become a link, has
no line breaks, and holds no character that is invisible or turns the direction of writing. What it
says stays readable where Markdown is not rendered.
"""

from __future__ import annotations

import re
import unicodedata

_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# Inside a line: what opens a block stands at the start of a line, where text from data never is.
_MARKDOWN = re.compile(r"([\\`*_\[\]~$])")
_SPACE = re.compile(r"\s+")
# GitHub-Flavored Markdown makes links of bare addresses, and backslashes do not stop all of its
# renderers. A blank in the address does.
_SCHEME = re.compile(r"(?<=[A-Za-z])(:)(?=/?/|[A-Za-z0-9._+-]+@)")
_WWW = re.compile(r"(?i)\b(www)(?=\.)")
_DOMAIN = re.compile(r"(?<=[A-Za-z0-9])(\.)(?=[A-Za-z]{2,})")
_MAIL = re.compile(r"(?<=\S)(@)")
_KEPT_CATEGORIES = frozenset("LMNPSZ")
_HIDDEN = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")  # letters without a shape


def plain(text: str, limit: int | None = None) -> str:
    """One line without control, invisible or direction-turning characters, shortened to limit."""
    if not (text.isascii() and text.isprintable()):  # as most texts are: nothing to be hidden
        normal = unicodedata.normalize("NFC", text)
        text = "".join(_character(character) for character in normal)
    line = _SPACE.sub(" ", text).strip()
    if limit is not None and len(line) > limit:
        return line[: limit - 1].rstrip() + "…"
    return line


def escaped(text: str, limit: int | None = None) -> str:
    """``plain`` text that stays text in Markdown and in HTML."""
    line = plain(text, limit)
    line = _SCHEME.sub(r"\1 ", line)
    line = _WWW.sub(r"\1 ", line)
    line = _DOMAIN.sub(r"\1 ", line)
    line = _MAIL.sub(r" \1", line)
    line = line.translate(_HTML)
    return _MARKDOWN.sub(r"\\\1", line)


def _character(character: str) -> str:
    if character.isspace():
        return " "
    if character in _HIDDEN or 0xFE00 <= ord(character) <= 0xFE0F:
        return ""
    category = unicodedata.category(character)
    if category[0] in _KEPT_CATEGORIES:
        return character
    return "\ufffd" if category in ("Cs", "Co", "Cn") else ""
