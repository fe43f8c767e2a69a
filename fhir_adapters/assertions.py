"""What a sentence asserts of the patient: present, denied, past, somebody else's, or supposed.

The flags of ``Sentence`` mean:

* negated: said to be absent, or not done;
* historical: of a time before this illness (past history, "s/p", months or years ago, resolved);
* family: about somebody else than the patient. Who only reports something about the patient
  ("wife states he fell") does not count;
* hypothetical: not asserted: a condition, an instruction, a risk, or something to be ruled out.
  "Possible" and "likely" are not hypothetical: they speak of the patient's present state.

A sentence that asserts different things of different parts is split where the assertion changes:
"Denies nausea but reports diarrhoea" becomes two, each with its own flags. Words without a finding
of their own ("Patient has", "CT head") stay with their neighbour.

The method is that of NegEx and ConText (cue words with a scope, scopes ended by other words) with
cues (assertion_cues.py) and scope rules (assertion_scopes.py) of our own.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import MAXYEAR
from functools import lru_cache

from fhir_adapters.assertion_cues import CARRIERS, TOKEN, has_trigger
from fhir_adapters.assertion_reach import DASH
from fhir_adapters.assertion_scopes import FAMILY, HISTORICAL, HYPOTHETICAL, NEGATED, Scopes
from fhir_adapters.note_headings import assertion_of_heading
from model.record import Sentence

# Status words of problem lists, immunizations and procedures in C-CDA tables.
_STATUS_CELL = re.compile(r"\bstatus(?: / notes)?: ([\w -]+?)\s*(?:\||$)", re.IGNORECASE)
_FLAG_OF_STATUS = {
    "resolved": HISTORICAL,
    "inactive": HISTORICAL,
    "no longer active": HISTORICAL,
    "in remission": HISTORICAL,
    "refused": NEGATED,
    "not administered": NEGATED,
    "not done": NEGATED,
    "not taken": NEGATED,
    "cancelled": NEGATED,
    "ruled out": NEGATED,
    "planned": HYPOTHETICAL,
}
# A concern is completed when it is over; a procedure or immunization, when it was done.
_CONCERN_COMPLETED = re.compile(
    r"(?:concern|problem|condition)s?: .*\bstatus: completed\b", re.IGNORECASE
)
_RESOLVED_ON = re.compile(r"\bonset [^();]*; ?resolution \w", re.IGNORECASE)  # in C-CDA lists
_FLAG_OF_HEADING = {
    "": 0,
    "historical": HISTORICAL,
    "family": FAMILY,
    "hypothetical": HYPOTHETICAL,
}
_CALL_IF = re.compile(
    r"\b(?:call|return|seek|contact)\b.*\b(?:if|for|when|notice)\b", re.IGNORECASE
)
_DASHES = frozenset("-–—")
_SIGNED_WORD = re.compile(r"(?:(?<=[\s,/(])|^)[-+](?=[^\W\d_])")
# They belong to the piece that follows them: "alert and | in no distress".
_CONNECTORS = frozenset(
    {
        *("and", "or", "with", "in", "is", "are", "was", "were", "has", "have", "had", "also"),
        *("then", "who", "on", "of", "to", "as", "the", "a", "an", "&", "does", "do", "did"),
        *("but", "however", "although", "though", "except", "due", "–", "("),
    }
)


def assert_sentence(text: str, section: str = "", *, year: int = MAXYEAR) -> tuple[Sentence, ...]:
    """Return the sentence with its flags, split where the assertion changes.

    Bare years before ``year``, that of the note, date an event to the past.
    """
    base = _section_flags(section) | (HISTORICAL if _RESOLVED_ON.search(text) else 0)
    words = [word.lower() for word in TOKEN.findall(text.replace("’", "'"))]
    minus_signs: frozenset[int] = frozenset()
    if not _DASHES.isdisjoint(words):
        spans = _spans(text)
        minus_signs = _minus_signs(text, spans)
        words = _with_dashes(words, text, spans)
    if not minus_signs and not has_trigger(words):
        return (_sentence(text, section, base),)
    pieces = _pieces(Scopes(words, minus_signs, year))
    if len(pieces) == 1:
        return (_sentence(text, section, base | pieces[0].flags),)
    spans = _spans(text)
    return tuple(
        _sentence(_cut(text, spans, piece), section, base | piece.flags) for piece in pieces
    )


def _spans(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in TOKEN.finditer(text)]


def _with_dashes(words: list[str], text: str, spans: list[tuple[int, int]]) -> list[str]:
    """Return the words with DASH for each dash that does not join two words."""
    return [
        (DASH if text[end : end + 1] == " " else "-") if word in _DASHES else word
        for word, (_, end) in zip(words, spans, strict=True)
    ]


def assert_row(text: str, section: str = "") -> Sentence:
    """Return a table row with the flags that its section and its status cell give it.

    Cue words in cells are no prose: "Directions: 1 tablet as needed | Status: Active".
    """
    status = _STATUS_CELL.search(text)
    word = status.group(1).lower() if status else ""
    flags = HISTORICAL if _CONCERN_COMPLETED.match(text) else _FLAG_OF_STATUS.get(word, 0)
    return _sentence(text, section, _section_flags(section) | flags)


def not_asserted(sentence: Sentence) -> Sentence:
    """Return a sentence behind an empty check box: offered, not said."""
    return replace(sentence, hypothetical=True)


class _Piece:
    """Words [start, end) with the same flags; ``bare``: no finding among them."""

    __slots__ = ("bare", "end", "flags", "start")

    def __init__(self, start: int, end: int, flags: int, *, bare: bool) -> None:
        self.start, self.end, self.flags, self.bare = start, end, flags, bare


def _pieces(scopes: Scopes) -> list[_Piece]:
    pieces: list[_Piece] = []
    for start, end in _runs(scopes):
        bare = not any(
            scopes.words[at][0].isalpha()
            and scopes.words[at] not in CARRIERS
            and at not in scopes.cue_words
            for at in range(start, end)
        )
        piece = _Piece(start, end, scopes.flags[end - 1], bare=bare)
        _join(pieces, piece)
    if len(pieces) > 1 and pieces[-1].bare:
        pieces[-2].end = pieces[-1].end
        pieces.pop()
    return pieces


def _join(pieces: list[_Piece], piece: _Piece) -> None:
    """Append, or merge with the piece before where that one is bare or asserts the same."""
    if not pieces:
        pieces.append(piece)
        return
    last = pieces[-1]
    if last.bare:
        piece.start = last.start
        if piece.bare:
            piece.flags |= last.flags
        pieces[-1] = piece
        if len(pieces) > 1 and pieces[-2].flags == piece.flags:
            pieces[-2].end = piece.end
            pieces.pop()
    elif last.flags == piece.flags:
        last.end = piece.end
    else:
        pieces.append(piece)


def _runs(scopes: Scopes) -> list[tuple[int, int]]:
    """Return the stretches of equal flags; connectors go to the stretch that follows."""
    flags, words = scopes.flags, scopes.words
    runs = []
    start = 0
    for position in range(1, len(words) + 1):
        if position < len(words) and flags[position] == flags[start]:
            continue
        end = position
        if position < len(words):
            while end - 1 > start and words[end - 1] in _CONNECTORS:
                end -= 1
                flags[end] = flags[position]
        runs.append((start, end))
        start = end
        if position == len(words):
            break
    return runs


def _cut(text: str, spans: list[tuple[int, int]], piece: _Piece) -> str:
    end = len(text) if piece.end == len(spans) else spans[piece.end - 1][1]
    cut = text[spans[piece.start][0] : end].strip(" ,;–—-(")
    # A cut inside parentheses leaves half of a pair.
    lone = (
        ")" if cut.count(")") > cut.count("(") else "(" if cut.count("(") > cut.count(")") else ""
    )
    if lone:
        before, _, after = cut.rpartition(lone)
        cut = before + after
    return cut.strip()


def _minus_signs(text: str, spans: list[tuple[int, int]]) -> frozenset[int]:
    """Return the places of "-" in "+cough, -fever"; a lone one is rather a bullet or a dash."""
    signs = [found.start() for found in _SIGNED_WORD.finditer(text)]
    if len(signs) < 2:
        return frozenset()
    starts = {start: position for position, (start, _) in enumerate(spans)}
    return frozenset(starts[at] for at in signs if text[at] == "-")


@lru_cache(maxsize=1024)
def _section_flags(section: str) -> int:
    """Return the flags of "Hospital course – Family history": those of all its titles."""
    flags = HYPOTHETICAL if _CALL_IF.search(section) else 0
    for title in section.split("–"):
        flags |= _FLAG_OF_HEADING[assertion_of_heading(title)]
    return flags


def _sentence(text: str, section: str, flags: int) -> Sentence:
    return Sentence(
        text,
        section,
        negated=bool(flags & NEGATED),
        historical=bool(flags & HISTORICAL),
        family=bool(flags & FAMILY),
        hypothetical=bool(flags & HYPOTHETICAL),
    )
