"""All documents of the FHIR corpus and a part of the fuzzing: nothing crashes, text is found."""

from __future__ import annotations

import pytest

from fhir_adapters.notes import read_notes
from tests.fhir_adapters.corpus import CORPUS
from tests.fhir_adapters.fuzz_notes import (
    PREDICTION_TIME,
    ccda_samples,
    corpus_documents,
    fuzz,
)
from tests.fhir_adapters.note_world import attachment, document

needs_corpus = pytest.mark.skipif(
    not CORPUS.exists(), reason="the FHIR corpus is not beside the repository"
)
KNOWN_REASONS = {"duplicate", "missing", "time", "status", "empty"}


def test_mutated_documents_never_crash_the_reader() -> None:
    outcomes = fuzz(1_000, seed=20260302, with_corpus=False)
    assert outcomes["read"] > 250
    assert outcomes["status"] > 0


@needs_corpus
def test_all_documents_of_the_corpus_are_read_or_reported() -> None:
    documents = corpus_documents()
    reading = read_notes(documents, {}, PREDICTION_TIME)
    assert len(reading.notes) > 200
    assert {line.reason for line in reading.left_out} <= KNOWN_REASONS


@needs_corpus
def test_ccda_samples_keep_their_sections() -> None:
    samples = [document(name, attachment(data)) for name, data in ccda_samples().items()]
    reading = read_notes(samples, {}, PREDICTION_TIME)
    assert (len(reading.notes), reading.left_out, reading.incomplete) == (12, (), ())
    sentences = [sentence for note in reading.notes for sentence in note.sentences]
    assert len(sentences) > 300
    assert all(sentence.section for sentence in sentences)
    family = [sentence.text for sentence in sentences if sentence.family]
    assert "Diagnosis: Myocardial Infarction (cause of death) | Age At Onset: 57" in family
    refused = [s for s in sentences if "Tetanus" in s.text and "Status: Refused" in s.text]
    assert refused
    assert all(sentence.negated for sentence in refused)
