"""How far a cue reaches: cue words of a sentence to flags of its words.

A scope ends at words that begin a new statement ("but", ";", "presents with") and, at a comma,
unless what follows reads like the next item of a list: "No fever, chills, or cough, lungs clear"
denies three things.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fhir_adapters.assertion_cues import (
    BELONGS_TO,
    BETWEEN,
    CARRIERS,
    CUES,
    DETERMINERS,
    HAS_DISEASE,
    RELATIVES,
    STATES,
    SYMPTOMS_IN_ING,
    Cue,
)

NEGATED, HISTORICAL, FAMILY, HYPOTHETICAL = 1, 2, 4, 8

TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:[.,:]\d+)*|[^\w\s]|\w")

_NO = frozenset({Cue.ENDS_ALL, Cue.ENDS_NEGATION, Cue.ENDS_NOUN})
_NOT = frozenset({Cue.ENDS_ALL, Cue.ENDS_NEGATION})
_PAST = frozenset({Cue.ENDS_ALL, Cue.ENDS_HISTORY, Cue.NEGATES_BESIDE})
_REST = frozenset({Cue.ENDS_ALL})
_ENDS = frozenset(kind for kind in Cue if kind.name.startswith("ENDS"))

_COORDINATORS = frozenset({"or", "nor", "and", "&"})
_AUXILIARIES = frozenset(
    {
        *("is", "are", "was", "were", "be", "been", "has", "have", "had", "does", "did", "do"),
        *("will", "in", "with", "currently", "still", "at"),
    }
)
_MONTHS = frozenset(
    {
        *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
        *("october", "november", "december", "jan", "feb", "mar", "apr", "jun", "jul", "aug"),
        *("sep", "sept", "oct", "nov", "dec"),
    }
)
_BEFORE_YEAR = frozenset({"in", "(", "during", "early", "late", "circa"}) | _MONTHS
_YEAR = re.compile(r"(?:19[3-9]|20[0-4])\d")
_LONGEST_ITEM = 5  # words of one item in a list of findings
_FOR_WITHIN = 8  # words between "call" and its "for"
_INTRODUCES_CONDITION = frozenset({"for", "with", "if", "when", "under", "below"})


@dataclass(frozen=True, slots=True)
class FoundCue:
    """A cue at words[start:end]. It may end one kind of scope and begin another."""

    kinds: frozenset[Cue]
    start: int
    end: int


def _kinds_by_phrase() -> dict[tuple[str, ...], frozenset[Cue]]:
    kinds: dict[tuple[str, ...], set[Cue]] = {}
    for kind, phrases in CUES.items():
        for phrase in phrases.split(","):
            kinds.setdefault(tuple(TOKEN.findall(phrase.strip())), set()).add(kind)
    return {phrase: frozenset(found) for phrase, found in kinds.items()}


def _lengths_by_first_word() -> dict[str, tuple[int, ...]]:
    lengths: dict[str, set[int]] = {}
    for phrase in _KINDS:
        lengths.setdefault(phrase[0], set()).add(len(phrase))
    return {word: tuple(sorted(found, reverse=True)) for word, found in lengths.items()}


_KINDS = _kinds_by_phrase()
_LENGTHS = _lengths_by_first_word()
# Words without which no flag can change.
TRIGGERS = RELATIVES.union(
    phrase[0] for phrase, kinds in _KINDS.items() if not kinds <= _ENDS | {Cue.NOTHING}
)


def has_trigger(words: Sequence[str]) -> bool:
    """Whether any word may set a flag."""
    return not TRIGGERS.isdisjoint(words) or any(
        len(word) == 4 and word.isdigit() and _YEAR.fullmatch(word) for word in words
    )


def find_cues(words: Sequence[str]) -> list[FoundCue]:
    """Return the cues from left to right, the longest at each place; they do not overlap."""
    plain = ["#" if word[0].isdigit() else word for word in words]
    found = []
    next_free = 0
    for position, word in enumerate(plain):
        if position < next_free or word not in _LENGTHS:
            continue
        for length in _LENGTHS[word]:
            kinds = _KINDS.get(tuple(plain[position : position + length]))
            if kinds is not None:
                next_free = position + length
                found.append(FoundCue(kinds, position, next_free))
                break
    return found


class Scopes:
    """Flags of the words of one sentence."""

    def __init__(self, words: Sequence[str], minus_signs: frozenset[int], year: int) -> None:
        self.words = words
        self._year = year
        self.flags = [0] * len(words)
        self.cue_words: set[int] = set()
        cues = [cue for cue in find_cues(words) if Cue.NOTHING not in cue.kinds]
        self._starts = {cue.start: cue.kinds for cue in cues}
        for cue in cues:
            self.cue_words.update(range(cue.start, cue.end))
        for cue in cues:
            for kind in cue.kinds - _ENDS:
                self._apply(cue, kind)
        for position in sorted(minus_signs):
            self._mark(NEGATED, position, self._comma_after(position))
        self._mark_years()
        self._mark_relatives()

    def _apply(self, cue: FoundCue, kind: Cue) -> None:
        if kind is Cue.NEGATES_AFTER:
            self._mark(NEGATED, cue.start, self._end(cue.end, _NO))
        elif kind is Cue.NEGATES_CLAUSE:
            self._mark(NEGATED, self._clause_start(cue.start), self._end(cue.end, _NOT))
        elif kind is Cue.NEGATES_BEFORE:
            self._mark_before(NEGATED, cue, _NO)
        elif kind is Cue.NEGATES_BESIDE:
            self._mark_beside(NEGATED, cue, _NOT)
        elif kind is Cue.HISTORICAL_AFTER:
            self._mark(HISTORICAL, cue.start, self._end(cue.end, _PAST))
        elif kind is Cue.HISTORICAL_BEFORE:
            self._mark_before(HISTORICAL, cue, _PAST)
        elif kind is Cue.HISTORICAL_CLAUSE:
            self._mark(HISTORICAL, self._clause_start(cue.start), self._clause_end(cue.end, _PAST))
        elif kind is Cue.FAMILY_AFTER:
            self._mark(FAMILY, cue.start, self._end(cue.end, _REST))
        else:
            self._apply_hypothetical(cue, kind)

    def _apply_hypothetical(self, cue: FoundCue, kind: Cue) -> None:
        if kind is Cue.HYPOTHETICAL_AFTER:
            if self._has_finding(cue.end, self._clause_end(cue.end, _REST)):
                self._mark(HYPOTHETICAL, cue.start, self._end(cue.end, _REST))
            else:
                self._mark(HYPOTHETICAL, self._phrase_start(cue.start), cue.end)
        elif kind is Cue.HYPOTHETICAL_BEFORE:
            self._mark(HYPOTHETICAL, self._phrase_start(cue.start), cue.end)
        elif kind is Cue.HYPOTHETICAL_REST:
            self._mark(HYPOTHETICAL, self._clause_start(cue.start), self._hard_end(cue.end))
        elif kind is Cue.HYPOTHETICAL_IF_FOR:
            soon = self.words[cue.end : min(cue.end + _FOR_WITHIN, self._hard_end(cue.end))]
            if not _INTRODUCES_CONDITION.isdisjoint(soon):
                self._mark(HYPOTHETICAL, self._clause_start(cue.start), self._hard_end(cue.end))

    def _mark(self, flag: int, start: int, end: int) -> None:
        for position in range(start, end):
            self.flags[position] |= flag

    def _mark_before(self, flag: int, cue: FoundCue, enders: frozenset[Cue]) -> None:
        """ "Cultures negative", else "negative culture", else ", resolved" of the clause before."""
        start = self._clause_start(cue.start)
        if self._has_finding(start, cue.start):
            self._mark(flag, self._list_start(start, cue.start), cue.end)
        elif self._has_finding(cue.end, self._clause_end(cue.end, enders)):
            self._mark(flag, cue.start, self._end(cue.end, enders))
        elif flag == HISTORICAL and start > 1 and self.words[start - 1] == ",":
            self._mark(flag, self._clause_start(start - 1), cue.end)
        else:
            self._mark(flag, start, cue.end)

    def _mark_beside(self, flag: int, cue: FoundCue, enders: frozenset[Cue]) -> None:
        """ "Denies pain", else "pain: denies"."""
        if self._has_finding(cue.end, self._clause_end(cue.end, enders)):
            self._mark(flag, cue.start, self._end(cue.end, enders, may_follow_or=True))
        else:
            self._mark(flag, self._clause_start(cue.start), cue.end)

    def _has_finding(self, start: int, end: int) -> bool:
        return any(
            word[0].isalpha() and word not in CARRIERS and start + offset not in self.cue_words
            for offset, word in enumerate(self.words[start:end])
        )

    def _is_hard(self, position: int) -> bool:
        return Cue.ENDS_ALL in self._starts.get(position, ())

    def _clause_start(self, position: int) -> int:
        start = position
        while start > 0:
            word = self.words[start - 1]
            if word == "," or self._is_hard(start - 1):
                return start
            between = self.words[start:position]
            if word == "and" and len(between) <= 2 and _AUXILIARIES.issuperset(between):
                return start
            start -= 1
        return 0

    def _list_start(self, start: int, end: int) -> int:
        """Go back over "Rales, rhonchi" in "Rales, rhonchi and wheezes absent"."""
        if _COORDINATORS.isdisjoint(self.words[start:end]):
            return start
        while start > 1 and self.words[start - 1] == ",":
            before = self._clause_start(start - 1)
            if start - 1 - before > 3 or any(at in self._starts for at in range(before, start)):
                break
            start = before
        return start

    def _phrase_start(self, position: int) -> int:
        """Go back to the "for" of "for DVT prophylaxis", else to the clause's start."""
        start = self._clause_start(position)
        for at in range(position - 1, max(start, position - 5) - 1, -1):
            if self.words[at] == "for":
                return at
        return start

    def _hard_end(self, position: int) -> int:
        while position < len(self.words) and not self._is_hard(position):
            position += 1
        return position

    def _comma_after(self, position: int) -> int:
        while position < len(self.words) and self.words[position] != ",":
            position += 1
        return position

    def _clause_end(self, position: int, enders: frozenset[Cue]) -> int:
        while position < len(self.words):
            if self.words[position] == "," or not enders.isdisjoint(
                self._starts.get(position, ())
            ):
                break
            position += 1
        return position

    def _end(self, start: int, enders: frozenset[Cue], *, may_follow_or: bool = False) -> int:
        position = start
        while True:
            end = self._clause_end(position, enders)
            if end >= len(self.words) or self.words[end] != ",":
                return end
            seen_or = not may_follow_or and not _COORDINATORS.isdisjoint(self.words[start:end])
            if not self._is_list_item(end + 1, seen_or=seen_or):
                return end
            position = end + 1

    def _is_list_item(self, start: int, *, seen_or: bool) -> bool:
        """Whether the clause after a comma is one more item of the list before it."""
        end = self._item_end(start)
        if end is None:
            return False
        if self.words[start] in _COORDINATORS:
            return not seen_or
        if self._leads_to_or(start):
            return True
        return not seen_or and self._reads_like_finding(start, end)

    def _item_end(self, start: int) -> int | None:
        """Return the end of a clause that is short and holds no cue, else ``None``."""
        end = start
        while end < len(self.words) and self.words[end] != ",":
            if end in self._starts or self.words[end] in RELATIVES:
                return None
            end += 1
        return end if 0 < end - start <= _LONGEST_ITEM else None

    def _leads_to_or(self, start: int) -> bool:
        """Whether an "or" closes the list that this item is in: ", chills, or sweats"."""
        while True:
            end = self._item_end(start)
            if end is None:
                return False
            if not {"or", "nor"}.isdisjoint(self.words[start:end]):
                return True
            if end >= len(self.words):
                return False
            start = end + 1

    def _reads_like_finding(self, start: int, end: int) -> bool:
        item = self.words[start:end]
        if any(word in STATES or word[0].isdigit() for word in item):
            return False
        return item[0] in SYMPTOMS_IN_ING or not item[0].endswith(("ing", "ed"))

    def _mark_years(self) -> None:
        for position, word in enumerate(self.words):
            if len(word) == 4 and _YEAR.fullmatch(word) and self._is_past_year(position):
                start = self._clause_start(position)
                self._mark(HISTORICAL, start, self._clause_end(position + 1, _PAST))

    def _is_past_year(self, position: int) -> bool:
        """2009 in "in 2009" and at the end of "CABG 2009"; not in "at 2000" or "2000 ml".

        A year with month and day is rather the date of something recent: "10 Sep 2014".
        """
        if int(self.words[position]) >= self._year:
            return False
        before = self.words[position - 1] if position else ""
        if before in _MONTHS and position > 1 and self.words[position - 2][0].isdigit():
            return False
        after = self.words[position + 1] if position + 1 < len(self.words) else ""
        if before in _BEFORE_YEAR:
            return not after.isalpha() or after not in ("ml", "cc", "mg", "h", "hours", "hrs")
        ends_phrase = after in ("", ",", ".", ";", ")", "and")
        return ends_phrase and len(before) > 3 and before.isalpha() and before != "since"

    def _mark_relatives(self) -> None:
        for position, word in enumerate(self.words):
            if word in RELATIVES and not self.flags[position] & FAMILY:
                if self._belongs_to(position):
                    self._mark(FAMILY, self._clause_start(position), position + 1)
                elif self._has_disease(position):
                    self._mark(FAMILY, position, self._end(position + 1, _REST))

    def _belongs_to(self, position: int) -> bool:
        """ "Breast cancer in maternal aunt"."""
        at = position - 1
        while at >= 0 and (self.words[at] in DETERMINERS or self.words[at] in RELATIVES):
            at -= 1
        return at > 0 and self.words[at] in BELONGS_TO and self._has_finding(0, at)

    def _has_disease(self, position: int) -> bool:
        """ "Mother had", "wife, who recently has", "sisters with"; not "wife states"."""
        at = position + 1
        while at < len(self.words) and (self.words[at] in BETWEEN or self.words[at] in RELATIVES):
            if self.words[at] == "," and self.words[at + 1 : at + 2] not in (["who"], ["both"]):
                return False
            at += 1
        return at < len(self.words) and self.words[at] in HAS_DISEASE
