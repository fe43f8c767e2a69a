"""Clinical text to sentences with their section and what they assert.

Lines are put in order first (note_lines): wrapped lines are joined, list items, headings and
``key: value`` lines stand alone. Then prose is cut at sentence ends (sentence_ends), and a sentence
whose assertion changes midway is cut there (assertions).
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_adapters.assertions import assert_sentence
from fhir_adapters.note_headings import inline_heading
from fhir_adapters.note_lines import paragraphs
from fhir_adapters.sentence_ends import sentences_of
from model.record import Sentence


def split_sentences(text: str, section: str = "", *, wrapped: bool = True) -> tuple[Sentence, ...]:
    """Return the sentences of a note, or of the part of it under the heading ``section``.

    ``wrapped=False``: every line end of the text is meant, none is that of a narrow page.
    """
    return tuple(
        piece
        for sentence, heading in plain_sentences(text, section, wrapped=wrapped)
        for piece in assert_sentence(sentence, heading)
    )


def plain_sentences(
    text: str, section: str = "", *, wrapped: bool = True
) -> Iterator[tuple[str, str]]:
    """Yield each sentence with the heading that it stands under."""
    for paragraph in paragraphs(text, section, wrapped=wrapped):
        heading = paragraph.section
        for sentence in sentences_of(paragraph.text):
            # Notes on one line: "... since Sunday. PMH: gout. Meds: allopurinol."
            inside = inline_heading(sentence)
            if inside is None:
                yield sentence, heading
                continue
            heading = inside.title
            if inside.rest:
                yield inside.rest, heading
