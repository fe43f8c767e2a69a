"""How far a cue may reach: clauses and lists of findings in the words of one sentence.

A scope ends at words that begin a new statement ("but", ";", "presents with") and, at a comma,
unless what follows reads like the next item of a list: "No fever, chills, or cough, lungs clear"
denies three things.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_adapters.assertion_cues import (
    CARRIERS,
    RELATIVES,
    STATES,
    STATES_AFTER,
    SUBJECTS,
    SYMPTOMS_IN_ING,
    Effect,
    FoundCue,
)

_COORDINATORS = frozenset({"or", "nor", "and", "&"})
_AUXILIARIES = frozenset(
    {
        *("is", "are", "was", "were", "be", "been", "has", "have", "had", "does", "did", "do"),
        *("will", "in", "with", "currently", "still", "at"),
    }
)
_SUBORDINATES = frozenset(
    {"who", "which", "because", "since", "until", "after", "before", "when", "where", "than"}
)
# Right after them even a word that ends a denial is denied: "not due to", "never presented".
_NEGATORS = frozenset({"not", "no", "longer", "never", "yet", "cannot"})
_BETWEEN_NOT_AND_VERB = frozenset({"be", "been", "being", "yet"})
_REASONS = frozenset({"because", "due", "secondary", "despite", "in"})  # "Extubated: no due to"
DASH = "–"
SOFT = frozenset({",", DASH})
_PLACES = frozenset({"at", "in"})  # before a place: "no masses, melena in bed"
_LONGEST_ITEM = 7  # words of one item in a list of findings


def _depths(words: Sequence[str]) -> list[int]:
    """Return how many parentheses each word stands in; the marks themselves stand outside."""
    if "(" not in words:
        return [0] * len(words)
    depths = []
    depth = 0
    for word in words:
        depth = max(0, depth - 1) if word == ")" else depth
        depths.append(depth)
        depth += word == "("
    return depths


class Reach:
    """The words of a sentence, and where clauses and lists of them begin and end."""

    def __init__(self, words: Sequence[str], cues: Sequence[FoundCue]) -> None:
        self.words = words
        self.cue_words = frozenset(at for cue in cues for at in range(cue.start, cue.end))
        self._starts = {cue.start: cue.effects for cue in cues}
        self._depths = _depths(words)

    def has_finding(self, start: int, end: int) -> bool:
        """Whether a word is among them that may be a finding, not only grammar and cues."""
        return any(
            word[0].isalpha() and word not in CARRIERS and start + offset not in self.cue_words
            for offset, word in enumerate(self.words[start:end])
        )

    def _is_hard(self, position: int) -> bool:
        return Effect.ENDS_ALL in self._starts.get(position, ())

    def clause_start(self, position: int) -> int:
        """Return where the clause begins that the word is in."""
        start = position
        while start > 0:
            word = self.words[start - 1]
            if word in SOFT or word in _SUBORDINATES or self._is_hard(start - 1):
                return start
            if self._depths[start - 1] < self._depths[position]:
                return start
            between = self.words[start:position]
            if word == "and" and len(between) <= 2 and _AUXILIARIES.issuperset(between):
                return start
            start -= 1
        return 0

    def list_start(self, start: int, end: int) -> int:
        """Go back over "Rales, rhonchi" in "Rales, rhonchi and wheezes absent"."""
        if _COORDINATORS.isdisjoint(self.words[start:end]):
            return start
        while start > 1 and self.words[start - 1] == ",":
            before = self.clause_start(start - 1)
            if start - 1 - before > 3 or any(at in self._starts for at in range(before, start)):
                break
            start = before
        return start

    def phrase_start(self, position: int) -> int:
        """Go back to the "for" of "for DVT prophylaxis", else to the clause's start."""
        start = self.clause_start(position)
        for at in range(position - 1, max(start, position - 5) - 1, -1):
            if self.words[at] == "for":
                return at
        return start

    def hard_end(self, position: int) -> int:
        """Return where the next new statement begins; commas do not count."""
        while position < len(self.words) and not self._is_hard(position):
            position += 1
        return position

    def clause_end(self, position: int, enders: frozenset[Effect]) -> int:
        """Return the next comma, closing parenthesis or cue with one of the effects."""
        depth = self._depths[position - 1]
        position = self._after_denied_verb(position)
        while position < len(self.words):
            if self.words[position] in SOFT or self._depths[position] < depth:
                break
            if not enders.isdisjoint(self._starts.get(position, ())):
                break
            position += 1
        return position

    def _after_denied_verb(self, position: int) -> int:
        """Go over the "given" of "not given" and the "due to" of "not due to"."""
        negator = self.words[position - 1] if position else ""
        if negator not in _NEGATORS and not negator.endswith("n't"):
            return position
        verb = position
        while verb < len(self.words) and self.words[verb] in _BETWEEN_NOT_AND_VERB:
            verb += 1
        effects = self._starts.get(verb, frozenset())
        if Effect.ENDS_NEGATION not in effects or Effect.ENDS_ALL in effects:
            return position
        word = self.words[verb]
        if word in _COORDINATORS or not word.isalpha() or (negator == "no" and word in _REASONS):
            return position
        return verb + 1

    def end(self, start: int, enders: frozenset[Effect], *, may_follow_or: bool = False) -> int:
        """Return the end of a scope that goes on over the items of a list.

        After "A or B" the list is complete, unless ``may_follow_or``: "denies A or B, C, D".
        """
        position = start
        while True:
            end = self.clause_end(position, enders)
            if end >= len(self.words) or self.words[end] != ",":
                return end
            seen_or = not may_follow_or and not _COORDINATORS.isdisjoint(self.words[start:end])
            if not self._is_list_item(end + 1, seen_or=seen_or):
                return end
            if not may_follow_or and self._is_found_somewhere(end + 1):
                return end
            position = end + 1

    def _is_list_item(self, start: int, *, seen_or: bool) -> bool:
        """Whether the clause after a comma is one more item of the list before it."""
        end = self._item_end(start)
        if end is None:
            return False
        if self.words[start] in _COORDINATORS:
            return not seen_or
        if self._leads_to_coordinator(start):
            return True
        return not seen_or and self._reads_like_finding(start, end)

    def _is_found_somewhere(self, start: int) -> bool:
        """Whether the last clause tells a place, as what is found does: ", crackles at both bases".

        Who denies may name places ("denies fever, pain in legs"), so this is not for "denies".
        """
        end = self._item_end(start)
        if end is None or self.words[end : end + 1] == [","]:
            return False
        item = self.words[start : end - (self.words[end - 1] == ".")]
        if not _COORDINATORS.isdisjoint(item):
            return False
        return item[-1:] == ["bilaterally"] or not _PLACES.isdisjoint(item[1:-1])

    def _item_end(self, start: int) -> int | None:
        """Return the end of a clause that is short and holds no cue, else ``None``."""
        end = start
        while end < len(self.words) and self.words[end] not in SOFT:
            if end in self._starts or self.words[end] in RELATIVES:
                return None
            end += 1
        return end if 0 < end - start <= _LONGEST_ITEM else None

    def _leads_to_coordinator(self, start: int) -> bool:
        """Whether an "or" or "and" closes the list that this item is in: ", chills, or sweats".

        What comes before an "and" must look like findings: "no edema, lungs clear and resonant".
        """
        findings_only = True
        while True:
            end = self._item_end(start)
            if end is None:
                return False
            item = self.words[start:end]
            if "or" in item or "nor" in item:
                return True
            findings_only = findings_only and self._reads_like_finding(start, end)
            if "and" in item or "&" in item:
                return findings_only
            if end >= len(self.words):
                return False
            start = end + 1

    def _reads_like_finding(self, start: int, end: int) -> bool:
        item = self.words[start:end]
        if item[0] in SUBJECTS or not STATES_AFTER.isdisjoint(item[1:]):
            return False
        if any(word in STATES or word[0].isdigit() for word in item):
            return False
        return item[0] in SYMPTOMS_IN_ING or not item[0].endswith(("ing", "ed"))
