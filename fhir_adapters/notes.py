"""Clinical documents to notes: the one way in training and serving.

Nothing whose text was not yet known at ``prediction_time`` is read (documents.py says when a text
was known), and a replaced document gives way to its successor (succession.py).

A sentence that stands in several notes is kept once, in the **latest** of them. There the
clinician finds it in a note that somebody has signed recently, and a fact that is restated every
day does not fall out of a look-back window because it was first written before. The price: the
record does not say since when a sentence has been copied. Two sentences are the same if they
differ only in white space, case and punctuation and assert the same: "denies chest pain" never
hides "chest pain".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from fhir_adapters.attachments import (
    MARKUP,
    UnreadableText,
    attachment_urls,
    by_preference,
    payload,
    preference,
)
from fhir_adapters.chart import Resource
from fhir_adapters.documents import Document, read_document
from fhir_adapters.note_text import NoteText, TextBlock, bounded, read_text, read_xhtml
from fhir_adapters.recent_sentences import RecentSentences
from fhir_adapters.succession import succession
from model.record import Note, ReportLine, Sentence

__all__ = ["NotesReading", "attachment_urls", "read_notes"]

_RECENT = RecentSentences()  # one for the process: what it holds follows from the texts alone


@dataclass(frozen=True, slots=True)
class NotesReading:
    """The notes, sorted by time, and what was left out or may be incomplete."""

    notes: tuple[Note, ...]
    left_out: tuple[ReportLine, ...] = ()
    incomplete: tuple[ReportLine, ...] = ()


@dataclass(slots=True)
class _Known:
    """Documents that may be read, and those that came after prediction time."""

    documents: list[Document] = field(default_factory=list)
    later: list[Document] = field(default_factory=list)
    left_out: list[ReportLine] = field(default_factory=list)


@dataclass(slots=True)
class _Text:
    """Text of one document; ``failures`` are formats of it that could not be read."""

    blocks: list[TextBlock] = field(default_factory=list)
    doubts: list[ReportLine] = field(default_factory=list)
    failures: list[ReportLine] = field(default_factory=list)


def read_notes(
    documents: Sequence[Resource],
    binaries: Mapping[str, Resource],
    prediction_time: datetime,
    *,
    allow_pdf: bool = True,
    aliases: Mapping[str, str] | None = None,
) -> NotesReading:
    """Read DocumentReference, DiagnosticReport and Composition resources into notes.

    ``binaries`` holds Binary resources by reference or url, as attachments write it or as
    ``Binary/id``; ``aliases`` says which reference a ``urn:uuid`` stood for. With
    ``allow_pdf=False`` PDFs are left out and reported: reading one may take seconds. One bad
    document never fails the others: it becomes a report line. Whether the documents belong to the
    patient is the caller's to check.
    """
    if prediction_time.tzinfo is None:
        raise ValueError("prediction_time must state its time zone")
    aliases = aliases or {}
    known = _known_documents(documents, prediction_time)
    named = {name: binaries[key] for name, key in aliases.items() if key in binaries}
    binaries = {**binaries, **named}
    texts = [_text(document, binaries, allow_pdf=allow_pdf) for document in known.documents]
    readable = frozenset(position for position, text in enumerate(texts) if text.blocks)
    verdict = succession(known.documents, readable, known.later, aliases)

    left_out, incomplete, notes = known.left_out, [], []
    for position, (document, text) in enumerate(zip(known.documents, texts, strict=True)):
        if position in verdict.replaced:
            left_out.append(verdict.replaced[position])
        elif not text.blocks:
            left_out.extend(text.failures)
        else:
            if position in verdict.outdated:
                incomplete.append(verdict.outdated[position])
            incomplete += [*text.failures, *text.doubts]
            note = _note(document, text.blocks)
            if note.sentences:
                notes.append(note)
            else:
                left_out.append(_line(document, "empty", "the text holds no words"))
    kept, copies = _without_copies(notes)
    return NotesReading(tuple(kept), (*left_out, *copies), tuple(incomplete))


def _known_documents(resources: Sequence[Resource], prediction_time: datetime) -> _Known:
    known = _Known()
    for position, resource in enumerate(resources):
        document = read_document(resource, position)
        if isinstance(document, ReportLine):
            known.left_out.append(document)
            continue
        source = document.source
        if document.known_since is None:
            sentence = f"{source}: no time says when its text was written"
            known.left_out.append(ReportLine(source, "time", sentence))
        elif document.known_since.latest > prediction_time:
            sentence = f"{source}: may have been written after the prediction time"
            known.left_out.append(ReportLine(source, "future", sentence))
            known.later.append(document)
        else:
            known.documents.append(document)
    return known


def _text(document: Document, binaries: Mapping[str, Resource], *, allow_pdf: bool) -> _Text:
    text = _Text()
    for attachment in by_preference(document.attachments):
        try:
            content = payload(attachment, document.contained, binaries)
            found = read_text(content.data, content.content_type, allow_pdf=allow_pdf)
        except UnreadableText as exc:
            text.failures.append(_line(document, exc.reason, str(exc)))
            continue
        text.failures.clear()  # another format of the same text could be read
        if content.doubts:
            found = replace(found, doubts=(*content.doubts, *found.doubts))
        _add(text, document, found)
        _add_further_parts(text, document, attachment, binaries)
        break
    else:
        _add_narratives(text, document)
    if document.conclusion:
        _add(text, document, bounded(document.conclusion, "Conclusion"))
    reports_results_only = document.source.startswith("DiagnosticReport")
    if not text.blocks and not text.failures and not reports_results_only:
        text.failures.append(_line(document, "empty", "the document holds no text"))
    return text


def _add_further_parts(
    text: _Text,
    document: Document,
    read: Mapping[str, Any],
    binaries: Mapping[str, Resource],
) -> None:
    """Add texts of the same type beside one that was read: the pages of one document.

    FHIR means the attachments as formats of one text; some systems send its pages so.
    """
    kind = (read.get("contentType"), read.get("language"))
    for other in document.attachments:
        same = (other.get("contentType"), other.get("language")) == kind
        if other is read or not same or preference(str(kind[0])) > MARKUP:
            continue
        try:
            content = payload(other, document.contained, binaries)
            found = read_text(content.data, content.content_type, allow_pdf=False)
        except UnreadableText as exc:
            text.doubts.append(_line(document, exc.reason, f"another text of it: {exc}"))
            continue
        if not {block.text for block in found.blocks} <= {block.text for block in text.blocks}:
            _add(text, document, found)


def _add_narratives(text: _Text, document: Document) -> None:
    for narrative in document.narratives:
        try:
            _add(text, document, read_xhtml(narrative.div, narrative.section))
        except UnreadableText as exc:
            text.failures.append(_line(document, exc.reason, str(exc)))


def _add(text: _Text, document: Document, found: NoteText) -> None:
    text.blocks += [block for block in found.blocks if block.text.strip()]
    text.doubts += [_line(document, reason, doubt) for reason, doubt in found.doubts]


def _line(document: Document, reason: str, half_sentence: str) -> ReportLine:
    return ReportLine(document.source, reason, f"{document.source}: {half_sentence}")


def _note(document: Document, blocks: Sequence[TextBlock]) -> Note:
    if document.known_since is None:
        raise ValueError(f"{document.source}: a document without time cannot become a note")
    time = document.known_since.time
    sentences: list[Sentence] = []
    for block in blocks:
        sentences += _RECENT.split(block.text, block.section, wrapped=block.wrapped, year=time.year)
    return Note(document.note_type, time, tuple(sentences), document.source)


def _without_copies(notes: Sequence[Note]) -> tuple[list[Note], list[ReportLine]]:
    seen: set[tuple[object, ...]] = set()
    kept = []
    copies = []
    for note in sorted(notes, key=lambda note: (note.time, note.source), reverse=True):
        fresh = []
        for sentence in note.sentences:
            key = _assertion_key(sentence)
            if key not in seen:
                seen.add(key)
                fresh.append(sentence)
        if len(fresh) == len(note.sentences):
            kept.append(note)
        elif fresh:
            kept.append(replace(note, sentences=tuple(fresh)))
        else:
            words = f"{note.source}: all of its sentences stand in later notes"
            copies.append(ReportLine(note.source, "duplicate", words))
    return kept[::-1], copies[::-1]


# Marks that carry no meaning of their own. Kept: 3.5, <38, >38, 1+, -2, 120/80, 40 %.
_PUNCTUATION = re.compile(r"(?<!\d)\.|\.(?!\d)|[^\w\s.+\-<>=%/]")
_FEW_WORDS = 3


@lru_cache(maxsize=8192)  # sentences of notes seen before are the same objects, see _RECENT
def _assertion_key(sentence: Sentence) -> tuple[object, ...]:
    words = _PUNCTUATION.sub(" ", sentence.text.lower()).split()
    # "None." under Allergies is not "None." under Medications.
    section = sentence.section.lower() if len(words) < _FEW_WORDS else ""
    flags = (sentence.negated, sentence.historical, sentence.family, sentence.hypothetical)
    return (" ".join(words), section, *flags)
