"""Sentences of note texts that were split lately: a chart's notes come again with every hook.

Splitting is a function of the text alone, so that a text seen before gives the same sentences.
What is kept is bounded, and stays in this process's memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from fhir_adapters.sentences import split_sentences
from model.record import Sentence

MOST_CHARACTERS: Final = 2_000_000  # about 20,000 sentences and 10 MB, as the encoder remembers
_LEAST_WEIGHT: Final = 500  # of an empty text: the entry itself takes memory
_Key = tuple[str, str, bool, int]


class RecentSentences:
    """Splits texts, and remembers the latest ones. Safe to share between threads."""

    def __init__(self, most_characters: int = MOST_CHARACTERS) -> None:
        self._most = most_characters
        self._held = 0
        self._known: OrderedDict[_Key, tuple[Sentence, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def split(self, text: str, section: str, *, wrapped: bool, year: int) -> tuple[Sentence, ...]:
        """Return what split_sentences returns."""
        key = (text, section, wrapped, year)
        with self._lock:
            found = self._known.get(key)
            if found is not None:
                self._known.move_to_end(key)
                return found
        found = split_sentences(text, section, wrapped=wrapped, year=year)
        with self._lock:
            if key not in self._known:
                self._known[key] = found
                self._held += _weight(key)
            while self._held > self._most:
                oldest, _ = self._known.popitem(last=False)
                self._held -= _weight(oldest)
        return found


def _weight(key: _Key) -> int:
    return _LEAST_WEIGHT + len(key[0]) + len(key[1])
