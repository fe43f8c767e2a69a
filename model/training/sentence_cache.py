"""Sentence embeddings kept on disk, so that each distinct sentence is encoded once, ever."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.sentence_encoder import SentenceEncoder

Embeddings = npt.NDArray[np.float32]


class CachedEncoder:
    """An encoder in front of a file of sentences. Call ``save`` after new sentences."""

    def __init__(self, encoder: SentenceEncoder, path: Path) -> None:
        self.encoder = encoder
        self.path = path
        self._rows: dict[str, Embeddings] = {}
        if path.is_file():
            self._load()

    def __call__(self, sentences: Sequence[str]) -> Embeddings:
        """Return embeddings (n, width)."""
        new = [text for text in dict.fromkeys(sentences) if text not in self._rows]
        if new:
            self._rows.update(zip(new, self.encoder.encode(new), strict=True))
        rows = [self._rows[text] for text in sentences]
        return np.stack(rows) if rows else np.zeros((0, self.encoder.width), np.float32)

    def save(self) -> None:
        """Write all sentences seen so far."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".part.npz")
        np.savez(
            unfinished,
            encoder=np.array(self.encoder.identity),
            sentences=np.array(list(self._rows)),
            embeddings=np.stack(list(self._rows.values())),
        )
        unfinished.rename(self.path)

    def _load(self) -> None:
        with np.load(self.path, allow_pickle=False) as archive:
            if str(archive["encoder"]) != self.encoder.identity:
                return  # of another encoder: start anew
            sentences, embeddings = archive["sentences"].tolist(), archive["embeddings"]
        self._rows = dict(zip(sentences, embeddings, strict=True))
