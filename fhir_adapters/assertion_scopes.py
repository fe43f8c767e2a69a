"""Cue words of a sentence to flags of its words."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_adapters.assertion_cues import (
    BETWEEN,
    DETERMINERS,
    DONE,
    ENDS,
    HAS_DISEASE,
    OF_PROCEDURE,
    RELATIVES,
    REPORTING,
    SUBJECTS,
    Effect,
    FoundCue,
    find_cues,
    years,
)
from fhir_adapters.assertion_reach import DASH, SOFT, Reach

NEGATED, HISTORICAL, FAMILY, HYPOTHETICAL = 1, 2, 4, 8

_NO = frozenset({Effect.ENDS_ALL, Effect.ENDS_NEGATION, Effect.ENDS_NOUN})
_NOT = frozenset({Effect.ENDS_ALL, Effect.ENDS_NEGATION})
_PAST = frozenset({Effect.ENDS_ALL, Effect.ENDS_HISTORY, Effect.NEGATES_BESIDE})
_REST = frozenset({Effect.ENDS_ALL})

_MONTHS = frozenset(
    {
        *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
        *("october", "november", "december", "jan", "feb", "mar", "apr", "jun", "jul", "aug"),
        *("sep", "sept", "oct", "nov", "dec"),
    }
)
_BEFORE_YEAR = frozenset({"in", "(", "during", "early", "late", "circa"}) | _MONTHS
_AUXILIARIES = frozenset(
    {
        *("am", "is", "are", "was", "were", "be", "been", "being", "has", "have", "had"),
        *("do", "does", "did", "can", "could", "will", "would", "should", "may", "might"),
        "must",
    }
)
_ADVERBS = frozenset({"still", "currently", "also", "clearly", "presently", "definitely"})
# An adjective after one of these speaks of what follows it: "sepsis with absent bowel sounds".
_BEFORE_ADJECTIVE = frozenset(
    {
        *("with", "and", "&", ":", "a", "an", "the", "of", "despite"),
        *("has", "have", "had", "having", "show", "shows", "showed", "showing", "revealed"),
    }
)
_CONSEQUENCES = frozenset({"with", "complicated", "requiring"})
_FOR_WITHIN = 8  # words between "call" and its "for"
_INTRODUCES_CONDITION = frozenset({"for", "with", "if", "when", "under", "below"})
_LIMITS = frozenset({"if", "when", "under", "below", "above", "over", "less", "greater", "<", ">"})


class Scopes(Reach):
    """Flags of the words of one sentence."""

    def __init__(self, words: Sequence[str], minus_signs: frozenset[int], year: int) -> None:
        cues = [cue for cue in find_cues(words) if Effect.NOTHING not in cue.effects]
        super().__init__(words, cues)
        self.flags = [0] * len(words)
        self._year = year
        for cue in cues:
            for effect in cue.effects - ENDS:
                self._apply(cue, effect)
        for position in minus_signs:
            self._mark(NEGATED, position, self._comma_after(position))
        self._mark_years()
        self._mark_relatives()

    def _apply(self, cue: FoundCue, effect: Effect) -> None:
        if effect is Effect.NEGATES_AFTER:
            self._mark(NEGATED, cue.start, self.end(cue.end, _NO))
        elif effect is Effect.NEGATES_CLAUSE:
            self._mark(NEGATED, self._subject_start(cue.start), self.end(cue.end, _NOT))
        elif effect is Effect.NEGATES_PREDICATE:
            start = self._subject_start if self._denies_subject(cue) else self._predicate_start
            self._mark(NEGATED, start(cue.start), self.end(cue.end, _NOT))
        elif effect is Effect.NEGATES_REST:
            self._mark(NEGATED, self._predicate_start(cue.start), self.end(cue.end, _NOT))
        elif effect is Effect.NEGATES_BEFORE:
            self._mark_before(NEGATED, cue, _NO)
        elif effect is Effect.NEGATES_BESIDE:
            self._mark_beside(NEGATED, cue, _NOT)
        elif effect is Effect.HISTORICAL_AFTER:
            self._mark(HISTORICAL, cue.start, self.end(cue.end, _PAST))
        elif effect is Effect.HISTORICAL_EVENT:
            self._mark(HISTORICAL, cue.start, self._event_end(cue.end))
        elif effect is Effect.HISTORICAL_BEFORE:
            self._mark_before(HISTORICAL, cue, _PAST)
        elif effect is Effect.HISTORICAL_CLAUSE:
            self._mark(HISTORICAL, self.clause_start(cue.start), self.clause_end(cue.end, _PAST))
        elif effect is Effect.FAMILY_AFTER:
            self._mark(FAMILY, cue.start, self.end(cue.end, _REST))
        else:
            self._apply_hypothetical(cue, effect)

    def _apply_hypothetical(self, cue: FoundCue, effect: Effect) -> None:
        if effect is Effect.HYPOTHETICAL_AFTER:
            if self.has_finding(cue.end, self.clause_end(cue.end, _REST)):
                self._mark(HYPOTHETICAL, cue.start, self.end(cue.end, _REST))
            else:
                self._mark(HYPOTHETICAL, self.phrase_start(cue.start), cue.end)
        elif effect is Effect.HYPOTHETICAL_BEFORE:
            self._mark(HYPOTHETICAL, self.phrase_start(cue.start), cue.end)
        elif effect is Effect.HYPOTHETICAL_REST:
            self._mark(HYPOTHETICAL, self.clause_start(cue.start), self.hard_end(cue.end))
        else:
            limit = effect is Effect.HYPOTHETICAL_IF_LIMIT
            self._mark_condition(cue, _LIMITS if limit else _INTRODUCES_CONDITION)

    def _mark_condition(self, cue: FoundCue, words: frozenset[str]) -> None:
        soon = self.words[cue.end : min(cue.end + _FOR_WITHIN, self.hard_end(cue.end))]
        if not words.isdisjoint(soon):
            self._mark(HYPOTHETICAL, self.clause_start(cue.start), self.hard_end(cue.end))

    def _mark(self, flag: int, start: int, end: int) -> None:
        for position in range(start, end):
            self.flags[position] |= flag

    def _event_end(self, start: int) -> int:
        """Return the end of "CABG" in "s/p CABG with hypotension", of what is there now."""
        end = self.end(start, _PAST)
        for position in range(start + 1, self.clause_end(start, _PAST)):
            if self.words[position] in _CONSEQUENCES:
                return end if OF_PROCEDURE.intersection(self.words[position:end]) else position
        return end

    def _denies_subject(self, cue: FoundCue) -> bool:
        """Whether "not" speaks of the subject too: "lactate is not high"; not "COPD not on oxygen".

        A patient's disease is no subject that could be absent: "CKD not on dialysis" has CKD.
        """
        at = cue.start - 1
        while at >= 0 and self.words[at] in _ADVERBS:
            at -= 1
        if at < 0 or self.words[at] in _AUXILIARIES or self.words[at] in SUBJECTS:
            return True
        after = cue.end
        while after < len(self.words) and self.words[after] in _AUXILIARIES:
            after += 1
        return after < len(self.words) and self.words[after] in DONE

    def _subject_start(self, position: int) -> int:
        """Return the clause's start, or the predicate's: "patient with ARDS did not wake up"."""
        start = self.clause_start(position)
        return self._predicate_start(position) if "with" in self.words[start:position] else start

    def _predicate_start(self, position: int) -> int:
        """Go back over the "is still" of "is still not", and the "CTA" of "CTA negative for"."""
        start = position
        while start > 0 and self.words[start - 1] in _AUXILIARIES | _ADVERBS:
            start -= 1
        while start > 0 and self.words[start - 1] in SUBJECTS:
            start -= 1
        return start

    def _mark_before(self, flag: int, cue: FoundCue, enders: frozenset[Effect]) -> None:
        """Mark "cultures negative", else "negative culture", else what ", resolved" follows."""
        start = self.clause_start(cue.start)
        end = self.clause_end(cue.end, enders)
        has_more = self.has_finding(cue.end, end)
        if self.has_finding(start, cue.start) and not (has_more and self._is_adjective(cue, end)):
            self._mark(flag, self.list_start(start, cue.start), cue.end)
        elif has_more:
            self._mark(flag, cue.start, self.end(cue.end, enders))
        else:
            self._mark_alone(flag, start, cue.end)

    def _is_adjective(self, cue: FoundCue, end: int) -> bool:
        """Recognise "with absent bowel sounds"; not "edema: none pulses: palpable"."""
        before = self.words[cue.start - 1]
        return before in _BEFORE_ADJECTIVE and ":" not in self.words[cue.end : end]

    def _mark_beside(self, flag: int, cue: FoundCue, enders: frozenset[Effect]) -> None:
        """Mark "denies pain", else "pain: denies"."""
        if self.has_finding(cue.end, self.clause_end(cue.end, enders)):
            self._mark(flag, cue.start, self.end(cue.end, enders, may_follow_or=True))
        else:
            self._mark_alone(flag, self.clause_start(cue.start), cue.end)

    def _mark_alone(self, flag: int, start: int, end: int) -> None:
        """Mark a clause that is the cue; "pain – denies" and "URI, resolved" mean what precedes."""
        soft = SOFT if flag == HISTORICAL else {DASH}
        if start > 1 and self.words[start - 1] in soft and not self.has_finding(start, end):
            start = self.clause_start(start - 1)
        self._mark(flag, start, end)

    def _comma_after(self, position: int) -> int:
        while position < len(self.words) and self.words[position] != ",":
            position += 1
        return position

    def _mark_years(self) -> None:
        for position in years(self.words):
            if self._is_past_year(position):
                start = self.clause_start(position)
                self._mark(HISTORICAL, start, self.clause_end(position + 1, _PAST))

    def _is_past_year(self, position: int) -> bool:
        """Recognise 2009 in "in 2009" and at the end of "CABG 2009"; not in "at 2000" or "2000 ml".

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
                    self._mark(FAMILY, self.clause_start(position), position + 1)
                elif self._has_disease(position):
                    self._mark(FAMILY, position, self.end(position + 1, _REST))

    def _belongs_to(self, position: int) -> bool:
        """Recognise "breast cancer in maternal aunt"."""
        at = position - 1
        while at >= 0 and (self.words[at] in DETERMINERS or self.words[at] in RELATIVES):
            at -= 1
        return at > 0 and self.words[at] in ("in", "of") and self.has_finding(0, at)

    def _has_disease(self, position: int) -> bool:
        """Recognise "mother had", "wife, who recently has", "sisters with"; not "wife states"."""
        at = position + 1
        while at < len(self.words) and (self.words[at] in BETWEEN or self.words[at] in RELATIVES):
            if self.words[at] == "," and self.words[at + 1 : at + 2] not in (["who"], ["both"]):
                return False
            at += 1
        if at >= len(self.words) or self.words[at] not in HAS_DISEASE:
            return False
        return self.words[at] not in ("has", "have", "had") or not self._reports(at + 1)

    def _reports(self, at: int) -> bool:
        """Recognise "just noticed" in "son has just noticed confusion": the patient's, not his."""
        while at < len(self.words) and self.words[at] in BETWEEN:
            at += 1
        return at < len(self.words) and self.words[at] in REPORTING
