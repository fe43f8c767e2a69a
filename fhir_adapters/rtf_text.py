"""Rich Text Format to plain text, by striprtf, within bounds.

striprtf reads a character at a time and its expressions for links and fonts look ahead over whole
lines. So pictures are cut out before, lines are broken where RTF ignores a line break, and a
document that is still very long is refused.
"""

from __future__ import annotations

import re

from striprtf.striprtf import rtf_to_text

MAX_RTF_CHARS = 2_000_000  # without pictures
_MAX_FONT_TABLE_CHARS = 30_000

_HEX_RUN = re.compile(r"(?:[0-9a-fA-F]{64,}\s*)+")
_FONT_TABLE = re.compile(r"\{\\fonttbl")
_CELL_END = re.compile(r"[ \t]*\|[ \t]*")
_LINK = re.compile(r"\\fldinst\s*\{")


def rtf_plain_text(rtf: str) -> str:
    """Return the text. Raises ValueError for a document that cannot be read within bounds."""
    rtf = _LINK.sub(r"\\fldinst\n{", _HEX_RUN.sub("", rtf)).replace("}", "}\n")
    if len(rtf) > MAX_RTF_CHARS:
        raise ValueError(f"the RTF document is longer than {MAX_RTF_CHARS:,} characters")
    fonts = _FONT_TABLE.search(rtf)
    if fonts and rtf.find("}\n}", fonts.start(), fonts.start() + _MAX_FONT_TABLE_CHARS) < 0:
        raise ValueError(f"the RTF font table is longer than {_MAX_FONT_TABLE_CHARS:,} characters")
    try:
        text = str(rtf_to_text(rtf, encoding="cp1252", errors="replace"))
    except (LookupError, OverflowError, TypeError, UnicodeError) as exc:
        raise ValueError("the RTF document is damaged") from exc
    return _CELL_END.sub(" | ", text)  # table rows read as those of other formats
