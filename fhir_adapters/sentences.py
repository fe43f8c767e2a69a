"""Clinical text to sentences."""

from __future__ import annotations

import re

from model.record import Sentence


def split_sentences(text: str, section: str = "", *, wrapped: bool = True) -> tuple[Sentence, ...]:
    """Return the sentences of a note."""
    parts = re.split(r"(?<=[.!?])\s+(?=[A-Z])|\n+", text)
    return tuple(Sentence(" ".join(part.split()), section) for part in parts if part.strip())
