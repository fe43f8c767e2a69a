"""Where a sentence of clinical prose ends.

A full stop ends a sentence unless it belongs to an abbreviation ("Dr.", "b.i.d.", "approx."), an
initial or a list number. Notes often begin sentences in lower case ("pt stable. no c/o pain."), so
a lower-case word may follow, but then the word before must be one that is not cut short.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

MAX_SENTENCE_CHARS = 500  # longer ones are cut at a semicolon, comma or space

_STOP = re.compile(r"[.!?]+[\"')\]”’]*(?:\s+|(?<=[a-z]{3}\.)(?=[A-Z][a-z]))|[。！？]+")
_FULL_STOP_ONLY = re.compile(r"^\.[^!?]*$")
_LAST_WORD = re.compile(r"[^\s(\[\"“]*$")
_LIST_NUMBER = re.compile(r"(?:(?<=\s)|^)\(?(\d{1,2})[.)]\s+(?=[^\W\d_])")
_LEADING_NUMBER = re.compile(r"\(?\d{1,2}[.)]")
_VOWEL = re.compile(r"[aeiouy]")
_LOOK_BACK_CHARS = 40  # longest word that is looked at before a stop

# Never end a sentence, whatever follows.
_NEVER = frozenset(
    {
        *("dr", "drs", "mr", "mrs", "ms", "prof", "st", "vs", "v.s", "approx", "e.g", "i.e"),
        *("eg", "ie", "cf", "fig", "figs", "viz", "q", "s.p", "w.o", "ave", "gen"),
    }
)
# End a sentence only before a capital.
_BEFORE_CAPITAL = frozenset(
    {
        *("p.o", "po", "b.i.d", "bid", "t.i.d", "tid", "q.i.d", "qid", "q.d", "qd", "q.h.s", "qhs"),
        *("h.s", "p.r.n", "prn", "a.c", "p.c", "a.m", "p.m", "am", "pm", "i.v", "iv", "i.m", "im"),
        *("s.c", "s.q", "sq", "subq", "subcut", "s.l", "p.r", "o.d", "o.s", "o.u", "etc", "hr"),
        *("hrs", "min", "mins", "sec", "secs", "mg", "mcg", "ml", "cc", "kg", "gm", "gms", "cm"),
        *("mm", "lb", "lbs", "oz", "yr", "yrs", "y.o", "wk", "wks", "mo", "mos", "pt", "pts"),
        *("hx", "dx", "rx", "tx", "sx", "fx", "bx", "abd", "ext", "resp", "neuro", "temp", "inc"),
        *("jr", "sr", "dept", "ref", "neg", "pos", "bilat", "tab", "tabs", "cap", "caps", "inj"),
        *("max", "avg", "cont", "wt", "ht", "m.d", "r.n", "u.s", "d.o", "ph.d", "vol", "hosp"),
        *("jan", "feb", "mar", "apr", "jun", "jul", "aug", "sept", "sep", "oct", "nov", "dec"),
        *("mon", "tue", "tues", "wed", "thu", "thur", "thurs", "fri", "sat", "sun", "prob", "poss"),
        *("elev", "incr", "decr", "adm", "admit", "disch", "eval", "exam", "freq", "immed"),
        *("info", "lat", "med", "meds", "mod", "norm", "occ", "occas", "post", "prev", "pulm"),
        *("card", "resid", "sev", "sl", "susp", "vag", "vent", "assoc", "amt", "appt", "ant"),
    }
)


def sentences_of(paragraph: str, *, is_row: bool = False) -> Iterator[str]:
    """Yield the sentences of one paragraph without list numbers; white space is collapsed.

    A table row is one sentence, whatever its cells hold.
    """
    if is_row:
        yield from _cut_long(paragraph)
        return
    for part in _listed_parts(paragraph):
        start = 0
        for end in _ends(part):
            yield from _cut_long(part[start:end])
            start = end
        yield from _cut_long(part[start:])


def _listed_parts(paragraph: str) -> list[str]:
    """Split "1. Sepsis 2. AKI" before its numbers, if they count up from 1."""
    if "1" not in paragraph:
        return [paragraph]
    cuts = []
    expected = 1
    for found in _LIST_NUMBER.finditer(paragraph):
        if int(found.group(1)) == expected:
            cuts.append(found.start())
            expected += 1
    if len(cuts) < 2:
        return [paragraph]
    edges = [0, *cuts, len(paragraph)]
    return [paragraph[a:b] for a, b in pairwise(edges) if paragraph[a:b].strip()]


def _ends(text: str) -> Iterator[int]:
    start = 0
    for stop in _STOP.finditer(text):
        if stop.end() < len(text) and _is_end(text, start, stop):
            yield stop.end()
            start = stop.end()


def _is_end(text: str, start: int, stop: re.Match[str]) -> bool:
    following = text[stop.end()]
    before = text[max(start, stop.start() - _LOOK_BACK_CHARS) : stop.start()]
    found = _LAST_WORD.search(before)
    word = found.group().lower() if found else ""
    marks = stop.group().rstrip()
    if not _FULL_STOP_ONLY.search(marks):
        return True
    if marks.startswith(".."):
        return following.isupper()
    if word in _NEVER or (word == "no" and following.isdigit()):
        return False
    if word.isdigit() and len(word) <= 2 and not text[start : stop.start() - len(word)].strip(" ("):
        return False  # a list number
    if following.islower():
        return _is_whole_word(word)
    if word in _BEFORE_CAPITAL:
        return not following.isdigit()
    return not (len(word) == 1 and word.isalpha() and _is_initial(before))


def _is_whole_word(word: str) -> bool:
    """Whether a word before ". lower case" is written out, so that the stop ends a sentence."""
    if word in _BEFORE_CAPITAL or "." in word:
        return False
    return (len(word) >= 4 and bool(_VOWEL.search(word))) or (
        word[-1:].isdigit() or word[-1:] in "%)"
    )


def _is_initial(before: str) -> bool:
    """J. in "Dr. J. Smith" or "John J. Smith"; not C. in "hepatitis C."."""
    words = before.split()
    return len(words) < 2 or words[-2].rstrip(".").lower() in _NEVER or words[-2].istitle()


def _cut_long(sentence: str) -> Iterator[str]:
    sentence = " ".join(sentence.split())
    leading = _LEADING_NUMBER.match(sentence)
    if leading and sentence[leading.end() : leading.end() + 1] == " ":
        sentence = sentence[leading.end() + 1 :]
    while len(sentence) > MAX_SENTENCE_CHARS:
        half = MAX_SENTENCE_CHARS // 2
        cuts = (sentence.rfind(mark, half, MAX_SENTENCE_CHARS) for mark in ("; ", ", ", " "))
        cut = next((at + 1 for at in cuts if at > 0), MAX_SENTENCE_CHARS)
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if any(letter.isalnum() for letter in sentence):
        yield sentence
