"""Records as padded batches of tensors.

Axes: B records, V variables, S sentences, K patches, N = V + S + K tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from model.tokens import TokenArrays


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """Records padded to the same number of sentences and patches, at least one of each."""

    structured_stats: Tensor  # (B, V, 9), NaN where not defined
    structured_measured: Tensor  # (B, V) bool
    sentence_embeddings: Tensor  # (B, S, E): embedding width
    sentence_features: Tensor  # (B, S, 6)
    sentence_note_type: Tensor  # (B, S)
    sentence_present: Tensor  # (B, S) bool, false for padding
    patch_stats: Tensor  # (B, K, 6)
    patch_channel: Tensor  # (B, K)
    patch_index: Tensor  # (B, K)
    patch_present: Tensor  # (B, K) bool, false for padding

    def __len__(self) -> int:
        return len(self.structured_stats)

    def to(self, device: torch.device | str) -> TokenBatch:
        """Move every tensor."""
        return TokenBatch(*(getattr(self, f.name).to(device) for f in fields(self)))

    def select(self, rows: Tensor) -> TokenBatch:
        """Return some of the records; padding stays."""
        return TokenBatch(*(getattr(self, f.name)[rows] for f in fields(self)))

    @property
    def modality(self) -> Tensor:
        """Modality id of each token: (N,)."""
        counts = (self.structured_stats, self.sentence_features, self.patch_stats)
        return torch.cat(
            [torch.full((x.shape[1],), i, device=x.device) for i, x in enumerate(counts)]
        )


def collate(records: Sequence[TokenArrays], padded_like: Sequence[TokenArrays] = ()) -> TokenBatch:
    """Pad records into one batch; ``padded_like``: a larger batch of which they are a part."""
    all_records = padded_like or records
    sentences = max(1, *(len(r.sentence_features) for r in all_records))
    patches = max(1, *(len(r.patch_stats) for r in all_records))

    def padded(name: str, length: int) -> Tensor:
        arrays = [getattr(r, name) for r in records]
        out = np.zeros((len(arrays), length, *arrays[0].shape[1:]), arrays[0].dtype)
        for row, array in zip(out, arrays, strict=True):
            row[: len(array)] = array
        return torch.from_numpy(out)

    def present(name: str, length: int) -> Tensor:
        counts = torch.tensor([len(getattr(r, name)) for r in records])
        return torch.arange(length) < counts[:, None]

    return TokenBatch(
        structured_stats=torch.from_numpy(np.stack([r.structured_stats for r in records])),
        structured_measured=torch.from_numpy(np.stack([r.structured_measured for r in records])),
        sentence_embeddings=padded("sentence_embeddings", sentences),
        sentence_features=padded("sentence_features", sentences),
        sentence_note_type=padded("sentence_note_type", sentences),
        sentence_present=present("sentence_features", sentences),
        patch_stats=padded("patch_stats", patches),
        patch_channel=padded("patch_channel", patches),
        patch_index=padded("patch_index", patches),
        patch_present=present("patch_stats", patches),
    )
