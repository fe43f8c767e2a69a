"""New sentences are read while there is time, and what was not read is said."""

from __future__ import annotations

import time

import numpy as np

from model.timely_notes import EXPLANATION_S, TimelyEmbedding
from tests.model.worlds import CONFIG, HashEncoder, chart, note

TEXTS = [f"Sentence {i}." for i in range(20)]


class SlowEncoder(HashEncoder):
    """Takes some time for each call."""

    def __init__(self, seconds):
        self.seconds = seconds

    def encode(self, sentences):
        time.sleep(self.seconds)
        return super().encode(sentences)


def test_without_a_deadline_everything_is_read_at_once():
    timely = TimelyEmbedding(HashEncoder(), None)
    np.testing.assert_array_equal(timely(TEXTS), HashEncoder().encode(TEXTS))
    assert timely.warnings() == []


def test_with_time_enough_everything_is_read():
    timely = TimelyEmbedding(HashEncoder(), time.monotonic() + 60)
    np.testing.assert_array_equal(timely(TEXTS), HashEncoder().encode(TEXTS))
    assert timely.warnings() == []


def test_the_newest_are_read_first():
    timely = TimelyEmbedding(SlowEncoder(0.05), time.monotonic() + EXPLANATION_S + 0.07)
    read = np.isfinite(timely(TEXTS)[:, 0])
    assert timely.unread == (~read).sum() > 0
    assert read[-8:].all()
    assert not read[: timely.unread].any()
    assert timely.warnings() == [
        f"{timely.unread} of 20 note sentences were not read in time; the newest were read first."
    ]


def test_nothing_is_read_after_the_deadline():
    timely = TimelyEmbedding(HashEncoder(), time.monotonic() - 1)
    assert np.isnan(timely(TEXTS)).all()
    assert timely.unread == 20


def test_unread_sentences_have_no_tokens_and_are_named(predictor, monkeypatch):
    record = chart(notes=(note(3, *TEXTS),))
    _, complete = predictor(record)
    monkeypatch.setattr(predictor, "encoder", SlowEncoder(0.05))
    prediction, explanation = predictor(record, deadline_s=time.monotonic() + EXPLANATION_S + 0.07)
    assert "note sentences were not read in time" in prediction.applicability.warnings[-1]
    found = [t.token_id for t in explanation.tokens if t.modality == "note"]
    assert found
    assert found == [t.token_id for t in complete.tokens if t.modality == "note"][-len(found) :]
    assert len(explanation.tokens) == len(complete.tokens) - 20 + len(found)
    assert len(CONFIG.variables) < len(explanation.tokens)
