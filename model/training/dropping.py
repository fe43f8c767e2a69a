"""Token dropout: what makes hiding tokens, and missing modalities, in-distribution."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Dropped(NamedTuple):
    """Which tokens of a batch are seen, and which rows are whole."""

    keep: Tensor  # (B, N) bool
    whole: Tensor  # (B,) bool


def drop_tokens(
    modality: Tensor,
    rows: int,
    *,
    whole_share: float,
    modality_rate: float,
    generator: torch.Generator,
) -> Dropped:
    """Leave some rows whole; in the others keep tokens at a rate of their own in (0, 1).

    In these, each modality is further dropped as a block with probability ``modality_rate``.
    ``modality`` (N,) numbers the modality of each token.
    """
    whole = torch.rand(rows, generator=generator) < whole_share  # (B,)
    rate = torch.rand(rows, 1, generator=generator)
    keep = torch.rand(rows, len(modality), generator=generator) < rate  # (B, N)
    stays = torch.rand(rows, 3, generator=generator) >= modality_rate  # (B, 3)
    keep &= stays[:, modality]
    return Dropped(keep | whole[:, None], whole)
