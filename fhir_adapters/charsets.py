"""Bytes to clean text, whatever the sender says about the charset.

Valid UTF-8 that uses more than ASCII is hardly ever anything else, so it is tried before the
declared charset: text labelled iso-8859-1 is often UTF-8. What no charset explains is read as
windows-1252, which contains iso-8859-1 for all printable characters.
"""

from __future__ import annotations

import codecs
import re

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Python also has codecs that unpack or translate (zip, rot13, idna): never those.
_CHARSETS = re.compile(
    r"iso-?8859-\d+|latin-?\d|windows-\d+|cp\d+|us-ascii|utf-?(8|16|32)(-?[lb]e)?"
    r"|shift_jis|euc-(jp|kr)|gb(k|2312|18030)|big5|koi8-[ru]|macintosh",
    re.IGNORECASE,
)
_CHARSET_PARAMETER = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_SAMPLE_BYTES = 4_096

_LINE_ENDS = re.compile("\r\n|[\r\f\v\x1c\x1d\x1e\x85\u2028\u2029]")
_SPACES = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
# C0 and C1 controls but newline and tab; soft hyphen, zero-width and bidirectional controls (they
# can make text look other than it reads); byte order marks and lone surrogates.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u061c\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_ODD = re.compile("[\x00-\x08\x0b\x0e-\x1f\ufffd]")
_LIGATURES = str.maketrans({"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi"})


def charset_of(content_type: str) -> str:
    """Return the charset parameter of a content type, "" if it has none that is a charset."""
    found = _CHARSET_PARAMETER.search(content_type)
    return found.group(1) if found and _CHARSETS.fullmatch(found.group(1)) else ""


def decode(data: bytes, charset: str = "") -> str:
    """Return the text of the bytes; bytes that fit no charset become U+FFFD."""
    for mark, name in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace")
    for name in filter(None, (_utf16_without_mark(data), "utf-8", charset)):
        try:
            return data.decode(name)
        except LookupError:
            continue
        except UnicodeDecodeError as exc:
            if len(data) - 4 < exc.start and exc.start > 0:  # cut in the middle of a character
                return data[: exc.start].decode(name)
    return data.decode("cp1252", "replace")


_V2_LINE_BREAK = "\\.br\\"
_V2_ESCAPES = {
    _V2_LINE_BREAK: "\n",
    "\\T\\": "&",
    "\\F\\": "|",
    "\\S\\": "^",
    "\\R\\": "~",
    "\\E\\": "\\",
}


def clean(text: str) -> str:
    """Return text with one kind of line end and space, without characters that nobody sees."""
    if _V2_LINE_BREAK in text:  # as interfaces leave them that were built from HL7 v2
        for escape, meaning in _V2_ESCAPES.items():
            text = text.replace(escape, meaning)
    if text.isascii() and text.isprintable():
        return text
    text = _LINE_ENDS.sub("\n", text)
    text = _SPACES.sub(" ", text)
    return _UNSEEN.sub("", text).translate(_LIGATURES)


def is_binary(text: str) -> bool:
    """Whether decoded text is rather the bytes of a picture or a program than writing."""
    sample = text[:_SAMPLE_BYTES]
    return len(_ODD.findall(sample)) > len(sample) * 0.05


def _utf16_without_mark(data: bytes) -> str:
    sample = data[:_SAMPLE_BYTES]
    half = len(sample) // 2
    if half < 2:
        return ""
    if sample[1::2].count(0) > half * 0.7:
        return "utf-16-le"
    return "utf-16-be" if sample[0::2].count(0) > half * 0.7 else ""
