"""Numbers as people type them: "<0.01", "98.6 F", "7,4", "10-12", "5 ft 10 in", "15/15".

What may mean two numbers ("1,234") is none.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST_TEXT = 128  # characters; nothing longer is a number
_INCHES_A_FOOT, _OUNCES_A_POUND = 12, 16


class TextNumber(NamedTuple):
    """A number in a text, with what follows it as its unit; ``remark`` says how it is meant."""

    number: float
    unit: str = ""
    remark: str = ""  # follows a variable's name


# "1,234.5", "1.234,5" and "1,234,567" can only be one number.
_GROUPED = r"\d{1,3}(?:,\d{3})+\.\d+|\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:,\d{3}){2,}"
_PLAIN = r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)"
_NUMBER = re.compile(
    rf"(?P<bound>[<>]=?|=[<>]|≤|≥|=)?\s*(?P<number>{_GROUPED}|{_PLAIN})\s*(?P<unit>[^\d.,].{{0,63}})?",
    re.ASCII,
)
_AMBIGUOUS = re.compile(r"[-+]?\d{1,3},\d{3}")  # 1234 or 1.234
_UNAMBIGUOUS = re.compile(_GROUPED, re.ASCII)
# A laboratory's flag after its number. A bare L stays, which may be litres.
_FLAG = re.compile(r"(?:\s*\((?:HH?|LL?|AA?|N)\)|(?<=[\d\s])(?:HH?|LL)|\s*\*{1,2})$")
_RANGE = re.compile(
    r"(?P<low>\d+(?:\.\d+)?)\s*(?:-|–|—|to)\s*(?P<high>\d+(?:\.\d+)?)\s*(?P<unit>[^\d\s-].{0,63})?",
    re.ASCII,
)
_SMALL = r"(?P<minor>\d{1,2}(?:\.\d+)?)"
_FEET_AND_INCHES = re.compile(
    rf"(?P<major>\d+)\s*(?:ft\.?|feet|foot|'|′|’)\s*{_SMALL}\s*(?:in\.?|inch(?:es)?|\"|″|”|'')?",
    re.IGNORECASE | re.ASCII,
)
_POUNDS_AND_OUNCES = re.compile(
    rf"(?P<major>\d+)\s*(?:lbs?\.?|pounds?)\s*{_SMALL}\s*(?:oz\.?|ounces?)",
    re.IGNORECASE | re.ASCII,
)
# "4 - spontaneous", "4=Spontaneous": points before their meaning
_POINTS = re.compile(r"(?P<points>\d{1,3})\s*(?:->|=>|[-=:>)–])\s*[^\W\d].*", re.ASCII)
_OUT_OF = re.compile(r"(?P<points>\d{1,3})\s*/\s*(?P<best>\d{1,3})", re.ASCII)
_COMA = re.compile(r"E\s*(\d)[\s,/+]*V\s*(\d)[\s,/+]*M\s*(\d)(?:\s*=\s*\d{1,2})?", re.I | re.ASCII)


def number_in_text(text: str) -> TextNumber | None:
    """Return the number that a text holds, with its unit; ``None`` if it is no number."""
    if len(text) > LONGEST_TEXT:
        return None
    text = _FLAG.sub("", text.strip()).strip()
    composed = _composed(text)
    if composed is not None:
        return composed
    matched = _NUMBER.fullmatch(text)
    if matched is None or _AMBIGUOUS.fullmatch(matched["number"]):
        return None
    remark = ""
    if matched["bound"] and matched["bound"] != "=":
        remark = f"is known as a bound ({matched['bound']}), the bound counts"
    return TextNumber(_as_float(matched["number"]), (matched["unit"] or "").strip(), remark)


def points_in_text(text: str, best: float) -> float | None:
    """Return the points of a score of at most ``best``: "4 - spontaneous", "15/15", "E4V5M6"."""
    if len(text) > LONGEST_TEXT:
        return None
    text = text.strip()
    out_of = _OUT_OF.fullmatch(text)
    if out_of is not None:
        return float(out_of["points"]) if float(out_of["best"]) == best else None
    coma = _COMA.fullmatch(text)
    if coma is not None:
        return float(sum(int(part) for part in coma.groups()))
    matched = _POINTS.fullmatch(text)
    return None if matched is None else float(matched["points"])


def _as_float(text: str) -> float:
    if _UNAMBIGUOUS.fullmatch(text):
        decimal = "," if "." in text and text.rfind(",") > text.rfind(".") else "."
        text = text.replace("." if decimal == "," else ",", "")
    return float(text.replace(",", "."))


def _composed(text: str) -> TextNumber | None:
    """Read what two numbers say together."""
    for pattern, parts, unit in (
        (_FEET_AND_INCHES, _INCHES_A_FOOT, "[in_i]"),
        (_POUNDS_AND_OUNCES, _OUNCES_A_POUND, "[oz_av]"),
    ):
        matched = pattern.fullmatch(text)
        if matched and float(matched["minor"]) < parts:
            return TextNumber(int(matched["major"]) * parts + float(matched["minor"]), unit)
    matched = _RANGE.fullmatch(text)
    if matched and float(matched["low"]) < float(matched["high"]):
        middle = float(matched["low"]) / 2 + float(matched["high"]) / 2
        unit = (matched["unit"] or "").strip()
        return TextNumber(middle, unit, "is a range, its middle counts")
    return None
