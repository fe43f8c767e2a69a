"""A patient record as tokens: the players of the model and of its explanation.

One token for each structured variable of the vocabulary, for each note sentence, and for each
device channel and patch of time, always in this order. A variable that was never measured keeps
its token, marked so; a modality that is absent has no tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from model.device_tokens import device_tokens
from model.note_tokens import note_tokens
from model.prediction import Modality
from model.record import PatientRecord
from model.structured_tokens import structured_tokens
from model.vocabulary import (
    EMBEDDING_WIDTH,
    PATCH_STATS,
    SENTENCE_FEATURES,
    SEX_CODES,
    STATICS,
    STRUCTURED_STATS,
    Booleans,
    Floats,
    Integers,
    TokenConfig,
    TokenLabel,
    VariableSpec,
)

__all__ = [
    "EMBEDDING_WIDTH",
    "PATCH_STATS",
    "SENTENCE_FEATURES",
    "SEX_CODES",
    "STATICS",
    "STRUCTURED_STATS",
    "Booleans",
    "Embed",
    "Floats",
    "Integers",
    "TokenArrays",
    "TokenConfig",
    "TokenLabel",
    "VariableSpec",
    "tokenize",
]

Embed = Callable[[Sequence[str]], Floats]  # n sentences -> (n, embedding_width)


@dataclass(frozen=True, slots=True, eq=False)
class TokenArrays:
    """The tokens of one record. V variables, S sentences, K patches; N = V + S + K tokens."""

    structured_stats: Floats  # (V, 9) in STRUCTURED_STATS order, NaN where not defined
    structured_measured: Booleans  # (V,)
    sentence_embeddings: Floats  # (S, embedding_width)
    sentence_features: Floats  # (S, 6) in SENTENCE_FEATURES order
    sentence_note_type: Integers  # (S,)
    patch_stats: Floats  # (K, 6) in PATCH_STATS order
    patch_channel: Integers  # (K,)
    patch_index: Integers  # (K,) the patch of patch_count - 1 ends at prediction_time
    labels: tuple[TokenLabel, ...] = ()  # (N,) in token order; () where tokenised without

    @property
    def token_count(self) -> int:
        """N."""
        return len(self.structured_stats) + len(self.sentence_features) + len(self.patch_stats)

    @property
    def available(self) -> tuple[Modality, ...]:
        """Modalities that hold anything measured; statics alone do not count as structured."""
        found: list[Modality] = []
        if np.isfinite(self.structured_stats[:, STRUCTURED_STATS.index("count")]).any():
            found.append("structured")
        if len(self.sentence_features):
            found.append("note")
        if len(self.patch_stats):
            found.append("device")
        return tuple(found)


def tokenize(
    record: PatientRecord, config: TokenConfig, embed: Embed, *, with_labels: bool = True
) -> TokenArrays:
    """Turn a record into tokens. Training may leave out the labels to save memory.

    A sentence that ``embed`` answers with NaN (it ran out of time) has no token.
    """
    stats, labels_structured = structured_tokens(record, config, with_labels)
    (texts, features, note_types), labels_notes = note_tokens(record, config, with_labels)
    patches, labels_device = device_tokens(record, config, with_labels)
    embeddings = embed(texts) if texts else np.zeros((0, config.embedding_width), np.float32)
    if embeddings.shape[1] != config.embedding_width:
        raise ValueError(
            f"the sentence encoder gave vectors of width {embeddings.shape[1]}, the vocabulary "
            f"expects {config.embedding_width}"
        )
    read = np.isfinite(embeddings[:, 0])
    labels_read = [label for label, kept in zip(labels_notes, read, strict=with_labels) if kept]
    patch_stats, patch_channel, patch_index = patches
    return TokenArrays(
        structured_stats=stats,
        structured_measured=np.isfinite(stats[:, 0]),
        sentence_embeddings=embeddings[read],
        sentence_features=features[read],
        sentence_note_type=note_types[read],
        patch_stats=patch_stats,
        patch_channel=patch_channel,
        patch_index=patch_index,
        labels=(*labels_structured, *labels_read, *labels_device),
    )
