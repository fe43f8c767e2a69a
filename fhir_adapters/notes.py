"""Clinical documents to notes.

``read_notes`` is the one way from FHIR documents to ``Note`` objects, in training and serving.

Decisions:

* **Time.** Nothing whose text was not yet known at ``prediction_time`` is read (see documents.py).
* **Replaced documents.** A document gives way to a document that replaces it, and to that one's
  replacement, if the successor was known at ``prediction_time`` and its text could be read. Where
  the successor is missing, withdrawn or unreadable, the older text is the best that the chart
  offers: it is used, and reported as incomplete. Where the successor came later than
  ``prediction_time``, the older text was the valid one and nothing needs to be reported.
  Documents that replace each other in a circle are all kept and reported.
* **Copied sentences.** A sentence that stands in several notes is kept once, in the latest of
  them. There the clinician finds it in a note that somebody signed today, and a fact that is
  restated every day does not fall out of a look-back window because it was first written before.
  Two sentences are the same if they differ only in white space, case and punctuation, and what
  they assert is the same: "denies chest pain" does not hide "chest pain".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from fhir_adapters.attachments import (
    UnreadableText,
    attachment_urls,
    by_preference,
    payload,
)
from fhir_adapters.chart import Resource
from fhir_adapters.documents import Document, read_document
from fhir_adapters.note_text import TextBlock, read_text, read_xhtml
from fhir_adapters.sentences import split_sentences
from model.record import Note, ReportLine, Sentence

__all__ = ["NotesReading", "attachment_urls", "read_notes"]


@dataclass(frozen=True, slots=True)
class NotesReading:
    """The notes, sorted by time, and what was left out or may be incomplete."""

    notes: tuple[Note, ...]
    left_out: tuple[ReportLine, ...] = ()
    incomplete: tuple[ReportLine, ...] = ()


@dataclass(slots=True)
class _Report:
    left_out: list[ReportLine] = field(default_factory=list)
    incomplete: list[ReportLine] = field(default_factory=list)


def read_notes(
    documents: Sequence[Resource],
    binaries: Mapping[str, Resource],
    prediction_time: datetime,
    *,
    allow_pdf: bool = True,
) -> NotesReading:
    """Read DocumentReference, DiagnosticReport and Composition resources into notes.

    ``binaries`` holds Binary resources by reference or url, as attachments write it or as
    ``Binary/id``. One bad document never fails the others: it becomes a report line. Whether the
    documents belong to the patient is the caller's to check.
    """
    report = _Report()
    known = _known_documents(documents, prediction_time, report)
    texts: dict[str, tuple[TextBlock, ...]] = {}
    for document in known:
        blocks = _blocks(document, binaries, report, allow_pdf=allow_pdf)
        if blocks:
            texts[document.source] = blocks
    current = _without_replaced(known, frozenset(texts), report)
    notes = [_note(document, texts[document.source]) for document in current]
    kept = _without_copies(notes, report)
    return NotesReading(tuple(kept), tuple(report.left_out), tuple(report.incomplete))


def _known_documents(
    resources: Sequence[Resource], prediction_time: datetime, report: _Report
) -> list[Document]:
    known: dict[str, Document] = {}
    for resource in resources:
        document = read_document(resource)
        if isinstance(document, ReportLine):
            report.left_out.append(document)
        elif document.known_since is None:
            sentence = f"{document.source}: no time says when its text was written"
            report.left_out.append(ReportLine(document.source, "time", sentence))
        elif document.known_since > prediction_time:
            sentence = f"{document.source}: it was written after the prediction time"
            report.left_out.append(ReportLine(document.source, "future", sentence))
        else:
            known[document.source] = document
    return list(known.values())


def _blocks(
    document: Document, binaries: Mapping[str, Resource], report: _Report, *, allow_pdf: bool
) -> tuple[TextBlock, ...]:
    blocks = _attachment_blocks(document, binaries, report, allow_pdf=allow_pdf)
    if not blocks:
        for narrative in document.narratives:
            blocks += read_xhtml(narrative.div, narrative.section).blocks
    if document.conclusion:
        blocks += (TextBlock(document.conclusion, "Conclusion", wrapped=True),)
    return blocks


def _attachment_blocks(
    document: Document, binaries: Mapping[str, Resource], report: _Report, *, allow_pdf: bool
) -> tuple[TextBlock, ...]:
    failures = []
    for attachment in by_preference(document.attachments):
        try:
            content = payload(attachment, document.contained or {}, binaries)
            text = read_text(content.data, content.content_type, allow_pdf=allow_pdf)
        except UnreadableText as exc:
            sentence = f"{document.source}: {exc}"
            failures.append(ReportLine(document.source, exc.reason, sentence))
            continue
        for reason, doubt in (*content.doubts, *text.doubts):
            sentence = f"{document.source}: {doubt}"
            report.incomplete.append(ReportLine(document.source, reason, sentence))
        return text.blocks
    report.left_out.extend(failures)
    return ()


def _without_replaced(
    known: Sequence[Document], readable: frozenset[str], report: _Report
) -> list[Document]:
    return [document for document in known if document.source in readable]


def _note(document: Document, blocks: Sequence[TextBlock]) -> Note:
    sentences: tuple[Sentence, ...] = ()
    for block in blocks:
        sentences += split_sentences(block.text, block.section, wrapped=block.wrapped)
    if document.known_since is None:
        raise AssertionError("documents without a time are left out before")
    return Note(document.note_type, document.known_since, sentences, document.source)


def _without_copies(notes: Sequence[Note], report: _Report) -> list[Note]:
    seen: set[tuple[object, ...]] = set()
    kept = []
    for note in sorted(notes, key=lambda note: (note.time, note.source), reverse=True):
        fresh = []
        for sentence in note.sentences:
            key = _sentence_key(sentence)
            if key not in seen:
                seen.add(key)
                fresh.append(sentence)
        if fresh:
            kept.append(replace(note, sentences=tuple(fresh)))
        elif note.sentences:
            sentence_text = f"{note.source}: every sentence of it stands in a later note"
            report.left_out.append(ReportLine(note.source, "duplicate", sentence_text))
    return kept[::-1]


_NOT_MEANING = re.compile(r"(?<!\d)\.|\.(?!\d)|[^\w\s.+\-<>=%/]")


def _sentence_key(sentence: Sentence) -> tuple[object, ...]:
    words = " ".join(_NOT_MEANING.sub(" ", sentence.text.lower()).split())
    # "None." under Allergies is not "None." under Medications.
    section = sentence.section.lower() if words.count(" ") < 2 else ""
    flags = (sentence.negated, sentence.historical, sentence.family, sentence.hypothetical)
    return (words, section, *flags)
