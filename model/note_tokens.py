"""Note tokens: one for each sentence of the recent notes, as many as fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from model.organ_systems import organ_system
from model.prediction import SentenceEvidence
from model.record import Note, PatientRecord
from model.vocabulary import (
    SECONDS_PER_HOUR,
    SENTENCE_FEATURES,
    UNKNOWN_NOTE_TYPE,
    Floats,
    Integers,
    TokenConfig,
    TokenLabel,
)
from model.windows import window, window_start

# Where a long note must be cut, its conclusions outlive its history and examination.
CONCLUDING_SECTIONS: Final = ("assessment", "impression", "plan", "conclusion", "summary")


def note_tokens(
    record: PatientRecord, config: TokenConfig, with_labels: bool
) -> tuple[tuple[list[str], Floats, Integers], list[TokenLabel]]:
    notes, end = record.notes, record.prediction_time
    start = window_start(notes, end, config.note_lookback_hours)
    recent = range(start, start + len(window(notes, end, config.note_lookback_hours)))
    texts: list[str] = []
    rows: list[tuple[float, ...]] = []
    types: list[int] = []
    labels: list[TokenLabel] = []
    for note_index, kept in kept_sentences(notes, recent, config.max_sentences):
        note = notes[note_index]
        log_age = float(np.log1p((end - note.time).total_seconds() / SECONDS_PER_HOUR))
        note_type = config.note_type_index.get(note.note_type.casefold(), UNKNOWN_NOTE_TYPE)
        for position in kept:
            sentence = note.sentences[position]
            flags = (
                sentence.negated,
                sentence.historical,
                sentence.family,
                sentence.hypothetical,
            )
            texts.append(sentence.text)
            rows.append((*flags, log_age, position / len(note.sentences)))
            types.append(note_type)
            if with_labels:
                labels.append(_sentence_label(note, note_index, position))
    features = np.array(rows, np.float32).reshape(len(rows), len(SENTENCE_FEATURES))
    return (texts, features, np.array(types, np.int64)), labels


def kept_sentences(
    notes: Sequence[Note], recent: Sequence[int], limit: int
) -> list[tuple[int, list[int]]]:
    """Choose at most ``limit`` sentences: (note index, sentence indices in reading order).

    Every recent note gets an even share, and what short notes leave goes to the newest, so that
    one long discharge letter cannot push out a night's nursing notes, nor the reverse. With more
    notes than places, the newest notes keep one sentence each.
    """
    shares = dict.fromkeys(recent, 0)
    left = limit
    hungry = sorted(recent, reverse=True)  # newest first
    while left and hungry:
        even = max(1, left // len(hungry))
        for index in hungry:
            more = min(even, left, len(notes[index].sentences) - shares[index])
            shares[index] += more
            left -= more
        hungry = [index for index in hungry if shares[index] < len(notes[index].sentences)]
    return [(index, _chosen(notes[index], share)) for index, share in shares.items() if share]


def _chosen(note: Note, share: int) -> list[int]:
    positions = range(len(note.sentences))
    if share == len(note.sentences):
        return list(positions)
    by_weight = sorted(positions, key=lambda p: not _concludes(note.sentences[p].section))
    return sorted(by_weight[:share])


def _concludes(section: str) -> bool:
    heading = section.casefold()
    return any(word in heading for word in CONCLUDING_SECTIONS)


def _sentence_label(note: Note, note_index: int, position: int) -> TokenLabel:
    sentence = note.sentences[position]
    evidence = SentenceEvidence(
        text=sentence.text,
        section=sentence.section,
        note_type=note.note_type,
        time=note.time,
        negated=sentence.negated,
        historical=sentence.historical,
        family=sentence.family,
        hypothetical=sentence.hypothetical,
    )
    token_id = f"note/{note_index}/{position}"
    return TokenLabel(token_id, "note", organ_system(sentence.text), evidence, (note.source,))
