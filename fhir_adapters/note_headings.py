"""Section headings of clinical notes: "HPI:", "ASSESSMENT AND PLAN", "Allergies: penicillin".

A heading gives its sentences their context and is itself no sentence. So a line counts as one only
where that is safe: it is on the list (note_headings.csv), it stands alone before a colon, or it
begins a block in capitals in a note that is otherwise not in capitals. "Lungs: clear" and
"BP: 120/80" are findings with their names, and stay whole.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from importlib.resources import files

_MAX_HEADING_CHARS = 60
_MAX_HEADING_WORDS = 7

_BEFORE_DASH = re.compile(r"([A-Z][A-Z&/ ]{1,30}) ?[-–—] (\S.*)", re.DOTALL)
_PULSE = re.compile(r"[a-zA-Z]:\s*\d")  # "P: 88" is no plan
_DECORATION = frozenset("#*_= ")
_DIGIT = re.compile(r"\d")
_SENTENCE_INSIDE = re.compile(r"[.!?;,]\s|[.!?;,]$")
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|will|denies|reports|states|given|the following"
    r"|as follows|include|includes|including|shows?|showed)\b",
    re.IGNORECASE,
)


_HOURS = re.compile(r"\d{1,2}[ -]?(?:h|hrs?|hours?|days?)\b", re.IGNORECASE)  # "24 hour events:"


def _read_headings() -> dict[str, str]:
    text = files("fhir_adapters").joinpath("note_headings.csv").read_text(encoding="utf-8")
    return {row["heading"]: row["assertion"] for row in csv.DictReader(text.splitlines())}


_ROWS = _read_headings()
_LABELS = frozenset(heading for heading, assertion in _ROWS.items() if assertion == "label")
_KNOWN = {heading: assertion for heading, assertion in _ROWS.items() if assertion != "label"}


@dataclass(frozen=True, slots=True)
class Heading:
    """A section's title and what stands on its line after it."""

    title: str
    rest: str
    known: bool  # on the list; an unknown one under which nothing stands is kept as a sentence


def inline_heading(line: str) -> Heading | None:
    """Return the known heading that the line or sentence begins with: "HPI: 65 yo man ..."."""
    colon = line.find(":", 1, _MAX_HEADING_CHARS + 1)
    if colon > 0 and line[colon + 1 : colon + 2].strip() == "":
        title = line[:colon]
        if _is_known(title) and not _PULSE.match(line):
            return Heading(_title(title), line[colon + 1 :].strip(), known=True)
    dashed = _BEFORE_DASH.match(line) if line[:3].isupper() else None
    if dashed and len(dashed.group(1)) > 2 and _is_known(dashed.group(1)):
        return Heading(_title(dashed.group(1)), dashed.group(2).strip(), known=True)
    return None


def heading_line(line: str, *, capitals_count: bool) -> Heading | None:
    """Return the heading that the whole line is.

    ``capitals_count``: a line in capitals is a heading even where it is not on the list.
    """
    if len(line) > _MAX_HEADING_CHARS:
        return None
    bare = line.strip("#*_= ") if line[:1] in _DECORATION or line[-1:] in _DECORATION else line
    if bare.endswith(":"):
        return (
            Heading(_title(bare), "", known=_is_known(bare)) if _stands_alone(bare[:-1]) else None
        )
    in_capitals = bare.isupper()
    if (len(bare) > 3 or in_capitals) and len(bare) > 1 and _is_known(bare):
        return Heading(_title(bare), "", known=True)
    if in_capitals and capitals_count and _stands_alone(bare) and not _DIGIT.search(bare):
        letters = sum(letter.isalpha() for letter in bare)
        return Heading(_title(bare), "", known=False) if letters > 3 else None
    return None


def is_shouting(text: str) -> bool:
    """Whether most letters of a text are capitals."""
    sample = text[:2_000]
    capitals = sum(map(str.isupper, sample))
    return capitals > 2 * sum(map(str.islower, sample))


def _stands_alone(words: str) -> bool:
    return (
        bool(words.strip())
        and len(words.split()) <= _MAX_HEADING_WORDS
        and (words.lstrip()[0].isupper() or _HOURS.match(words.lstrip()) or _is_known(words))
        and not _SENTENCE_INSIDE.search(words.replace(",", "") if words.isupper() else words)
        and ": " not in words
        and not _VERB.search(words)
    )


def assertion_of_heading(title: str) -> str:
    """Return what a heading says of all that stands under it: "historical", ..., or ""."""
    return _KNOWN.get(_normal(title), "")


def has_assertion(section: str) -> bool:
    """Whether a title of "Hospital course – Family history" flags what stands under it."""
    return any(assertion_of_heading(title) for title in section.split("–"))


def is_label(words: str) -> bool:
    """Whether words before a colon name a system or test: no heading, but no history either."""
    return _normal(words) in _LABELS


def _is_known(words: str) -> bool:
    return _normal(words) in _KNOWN


def _normal(title: str) -> str:
    return " ".join(title.lower().strip(" :*#_").split())


def _title(words: str) -> str:
    return " ".join(words.strip(" :*#_=").split())
