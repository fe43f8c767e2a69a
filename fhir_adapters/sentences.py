"""Clinical text to sentences with their section and what they assert.

Lines are put in order first (note_lines): wrapped lines are joined, list items, headings and
``key: value`` lines stand alone. Then prose is cut at sentence ends (sentence_ends), and a sentence
whose assertion changes midway is cut there (assertions).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import MAXYEAR
from functools import lru_cache

from fhir_adapters.assertions import assert_row, assert_sentence, not_asserted
from fhir_adapters.note_headings import has_assertion, inline_heading, is_label
from fhir_adapters.note_lines import Paragraph, paragraphs
from fhir_adapters.note_sections import joined_titles, label_of, present_title
from fhir_adapters.sentence_ends import sentences_of
from model.record import Sentence

_HEADINGS_OF_ABSENCE = frozenset({"pertinent negatives", "negatives", "absent"})
# A denial that still wants its object: "Denies:", not "No acute events overnight:".
_AWAITS_OBJECT = re.compile(
    r"\b(?:of|for|any|without|den(?:y|ies|ied|ying)|following|below)$", re.IGNORECASE
)
_AFFIRMS = re.compile(
    r"\b(?:reports?|admits?|endorses?|complains?|positive|ha[sd]|is|was)\b", re.IGNORECASE
)


def split_sentences(
    text: str, section: str = "", *, wrapped: bool = True, year: int = MAXYEAR
) -> tuple[Sentence, ...]:
    """Return the sentences of a note, or of the part of it under the heading ``section``.

    ``wrapped=False``: every line end of the text is meant, none is that of a narrow page.
    ``year``: in which the note was written; "CABG in 2009" is past, "seen in 2026" may not be.
    """
    found: list[Sentence] = []
    place, denied = None, False  # whether a list that stands here is of what is absent
    for plain in plain_sentences(text, section, wrapped=wrapped):
        sentences = _asserted(plain, year)
        if plain.section != place:
            place, denied = plain.section, _denies_a_list(plain.section)
        if not plain.is_item:
            denied = plain.text.endswith(":") and _denies_a_list(plain.text)
        elif denied and not _AFFIRMS.search(plain.text):
            sentences = tuple(replace(sentence, negated=True) for sentence in sentences)
        found += sentences
    return tuple(found)


@lru_cache(maxsize=1024)
def _denies_a_list(words: str) -> bool:
    """Say whether a heading, or the line before a list, denies its items: "No history of:"."""
    words = words.rpartition("–")[2].rstrip(":").strip()
    if words.casefold() in _HEADINGS_OF_ABSENCE:
        return True
    awaits = _AWAITS_OBJECT.search(words) is not None
    return awaits and assert_sentence(f"{words} fever")[-1].negated


def plain_sentences(text: str, section: str = "", *, wrapped: bool = True) -> Iterator[Paragraph]:
    """Yield each sentence as a paragraph of its own, before assertions are looked at."""
    for paragraph in paragraphs(text, section, wrapped=wrapped):
        heading = paragraph.section
        for sentence in sentences_of(paragraph.text, is_row=paragraph.is_row):
            # Notes on one line: "... since Sunday. PMH: gout. Meds: allopurinol."
            inside = None if paragraph.is_row else inline_heading(sentence)
            if inside is not None:
                heading = joined_titles(section, inside.title)
                sentence = inside.rest
            elif sentence != paragraph.text and _is_present(sentence, heading):
                heading = present_title(section)
            if sentence:
                yield replace(paragraph, text=sentence, section=heading)


def _is_present(sentence: str, heading: str) -> bool:
    """Whether a section of the past has ended on its line: "PMH: gout. Neuro: sedated."."""
    return has_assertion(heading) and is_label(label_of(sentence))


def _asserted(plain: Paragraph, year: int) -> tuple[Sentence, ...]:
    if plain.is_row:
        return (assert_row(plain.text, plain.section),)
    sentences = assert_sentence(plain.text, plain.section, year=year)
    return tuple(map(not_asserted, sentences)) if plain.is_unchecked else sentences
