"""Clinical text to sentences with their section and what they assert.

Lines are put in order first (note_lines): wrapped lines are joined, list items, headings and
``key: value`` lines stand alone. Then prose is cut at sentence ends (sentence_ends), and a sentence
whose assertion changes midway is cut there (assertions).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import MAXYEAR

from fhir_adapters.assertions import assert_row, assert_sentence, not_asserted
from fhir_adapters.note_headings import inline_heading
from fhir_adapters.note_lines import Paragraph, joined_titles, paragraphs
from fhir_adapters.sentence_ends import sentences_of
from model.record import Sentence


def split_sentences(
    text: str, section: str = "", *, wrapped: bool = True, year: int = MAXYEAR
) -> tuple[Sentence, ...]:
    """Return the sentences of a note, or of the part of it under the heading ``section``.

    ``wrapped=False``: every line end of the text is meant, none is that of a narrow page.
    ``year``: in which the note was written; "CABG in 2009" is past, "seen in 2026" may not be.
    """
    return tuple(
        sentence
        for plain in plain_sentences(text, section, wrapped=wrapped)
        for sentence in _asserted(plain, year)
    )


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
            if sentence:
                yield Paragraph(sentence, heading, paragraph.is_row, paragraph.is_unchecked)


def _asserted(plain: Paragraph, year: int) -> tuple[Sentence, ...]:
    if plain.is_row:
        return (assert_row(plain.text, plain.section),)
    sentences = assert_sentence(plain.text, plain.section, year=year)
    return tuple(map(not_asserted, sentences)) if plain.is_unchecked else sentences
