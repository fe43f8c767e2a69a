"""The words by which clinical text denies, dates, ascribes and supposes.

They are data: ``assertion_cues.csv`` (cues and what they do), ``assertion_words.csv`` (classes of
words that decide how far a cue reaches). A cue is matched by whole words, the longest first; that
is how "no increase", which does nothing, keeps "no" from being read. "#" stands for a number.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files


class Effect(Enum):
    """What a cue does to the words around it; the names are those of assertion_cues.csv."""

    NEGATES_AFTER = "what follows is absent: no, without"
    NEGATES_CLAUSE = "the whole clause is absent: didn't, cannot"
    NEGATES_PREDICATE = "as a whole clause after is, was, did; else only what follows: not, never"
    NEGATES_REST = "what follows is absent, also behind a verb: unable to, negative for"
    NEGATES_BEFORE = "what precedes is absent, or what follows if nothing precedes: negative"
    NEGATES_BESIDE = "what follows is absent, or what precedes if nothing follows: denies"
    HISTORICAL_AFTER = "what follows is past: history of"
    HISTORICAL_EVENT = "what follows, but not what came of it, is past: s/p"
    HISTORICAL_BEFORE = "what precedes is past, or what follows if nothing precedes: resolved"
    HISTORICAL_CLAUSE = "the whole clause is past: years ago"
    FAMILY_AFTER = "what follows is about relatives: family history of"
    HYPOTHETICAL_AFTER = "what follows is not asserted: monitor for"
    HYPOTHETICAL_BEFORE = "what precedes is not asserted: prophylaxis"
    HYPOTHETICAL_REST = "the clause, and what follows it, is conditional: if"
    HYPOTHETICAL_IF_FOR = "conditional if a 'for' or 'with' follows soon: call ... for"
    HYPOTHETICAL_IF_LIMIT = "conditional if a limit or 'if' follows soon: hold ... for SBP < 90"
    ENDS_ALL = "a new statement begins: but"
    ENDS_NEGATION = "what follows is asserted: due to, reports"
    ENDS_NOUN = "a verb ends what 'no' denies: is, had"
    ENDS_HISTORY = "what follows is present: now"
    NOTHING = "looks like a cue and is none: no increase"


TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:[.,:]\d+)*|[^\w\s]|\w")
_YEAR = re.compile(r"(?:19[3-9]|20[0-4])\d")


@dataclass(frozen=True, slots=True)
class FoundCue:
    """A cue at words[start:end]. It may end one kind of scope and begin another."""

    effects: frozenset[Effect]
    start: int
    end: int


def _rows(name: str) -> list[dict[str, str]]:
    text = files("fhir_adapters").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _effects_by_cue() -> dict[tuple[str, ...], frozenset[Effect]]:
    effects: dict[tuple[str, ...], set[Effect]] = {}
    for row in _rows("assertion_cues.csv"):
        cue = tuple(TOKEN.findall(row["cue"]))
        effects.setdefault(cue, set()).add(Effect[row["effect"].upper()])
    return {cue: frozenset(found) for cue, found in effects.items()}


def _lengths_by_first_word() -> dict[str, tuple[int, ...]]:
    lengths: dict[str, set[int]] = {}
    for cue in _EFFECTS:
        lengths.setdefault(cue[0], set()).add(len(cue))
    return {word: tuple(sorted(found, reverse=True)) for word, found in lengths.items()}


def _words_of(kind: str) -> frozenset[str]:
    return frozenset(row["word"] for row in _rows("assertion_words.csv") if row["kind"] == kind)


_EFFECTS = _effects_by_cue()
_LENGTHS = _lengths_by_first_word()

RELATIVES = _words_of("relative")
HAS_DISEASE = _words_of("has_disease")  # after a relative: the disease is his or hers
REPORTING = _words_of("reporting")  # after "son has": he speaks of the patient
BETWEEN = _words_of("between_relative_and_disease")
DETERMINERS = _words_of("determiner")  # between "in" or "of" and a relative
STATES = _words_of("state")  # no item of a list of denied findings holds one of these
STATES_AFTER = _words_of("state_after")  # nor one of these but as its first word: "cold sweats"
SUBJECTS = _words_of("subject")  # begin a new statement after a comma: "no cough, pupils fixed"
DONE = _words_of("done")  # after "not" they deny what precedes: "heparin not given"
OF_PROCEDURE = _words_of("of_procedure")  # "s/p PCI with stent": the stent is part of it
SYMPTOMS_IN_ING = _words_of("symptom_in_ing")  # "no vomiting, wheezing"; but "no pain, walking"
CARRIERS = _words_of("carrier")  # carry no finding; a piece of only these joins its neighbour

ENDS = frozenset(effect for effect in Effect if effect.name.startswith("ENDS"))
# Words without which no flag can change.
_TRIGGERS = RELATIVES.union(
    cue[0] for cue, effects in _EFFECTS.items() if not effects <= ENDS | {Effect.NOTHING}
)


def has_trigger(words: Sequence[str]) -> bool:
    """Whether any word may set a flag."""
    return not _TRIGGERS.isdisjoint(words) or bool(years(words))


def years(words: Sequence[str]) -> list[int]:
    """Return the places of words that may be a year of somebody's life."""
    return [at for at, word in enumerate(words) if len(word) == 4 and _YEAR.fullmatch(word)]


def find_cues(words: Sequence[str]) -> list[FoundCue]:
    """Return the cues from left to right, the longest at each place; they do not overlap."""
    found = []
    next_free = 0
    for position, word in enumerate(words):
        if position < next_free or word not in _LENGTHS:
            continue
        for length in _LENGTHS[word]:
            following = words[position : position + length]
            cue = tuple(["#" if word[0].isdigit() else word for word in following])
            effects = _EFFECTS.get(cue)
            if effects is not None:
                next_free = position + len(cue)
                found.append(FoundCue(effects, position, next_free))
                break
    return found
