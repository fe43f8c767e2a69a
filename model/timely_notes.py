"""Reading note sentences within a deadline: the newest first, and what was left is counted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from model.sentence_encoder import SentenceEncoder
from model.vocabulary import EMBEDDING_WIDTH, Floats

AT_A_TIME: Final = 8  # sentences between two looks at the clock, about 50 ms
EXPLANATION_S: Final = 0.1  # kept for what comes after the notes


class TimelyEmbedding:
    """An encoder with a deadline, for one record. Rows of sentences not read are NaN."""

    def __init__(
        self, encoder: SentenceEncoder, deadline_s: float | None, width: int = EMBEDDING_WIDTH
    ) -> None:
        self._encoder = encoder
        self._width = width
        self._deadline_s = deadline_s
        self.asked = 0
        self.unread = 0

    def __call__(self, sentences: Sequence[str]) -> Floats:
        """Return (n, width). Sentences are given in the order of time."""
        if self._deadline_s is None:
            return self._encoder.encode(sentences)
        rows = np.full((len(sentences), self._width), np.nan, np.float32)
        end = len(sentences)
        while end and time.monotonic() < self._deadline_s - EXPLANATION_S:
            start = max(0, end - AT_A_TIME)
            rows[start:end] = self._encoder.encode(sentences[start:end])
            end = start
        self.asked, self.unread = len(sentences), end
        return rows

    def warnings(self) -> list[str]:
        """Return a sentence for the card where something was not read."""
        if not self.unread:
            return []
        return [
            f"{self.unread} of {self.asked} note sentences were not read in time; "
            "the newest were read first."
        ]
