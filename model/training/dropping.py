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
    part_share: float,
    modality_rate: float,
    token_dropout: bool,
    generator: torch.Generator,
) -> Dropped:
    """Leave some rows whole; of the others show some modalities in full, or tokens at random.

    ``part_share`` of the rows that are not whole show a random subset of the modalities, never
    none: single modalities are what a site may have, and are hardly met otherwise. In the rest a
    token is kept at a rate of the row's own in (0, 1), and each modality is further dropped as a
    block with probability ``modality_rate``. ``modality`` (N,) numbers the modality of each token.
    """
    whole = torch.rand(rows, generator=generator) < whole_share  # (B,)
    rate = torch.rand(rows, 1, generator=generator)
    scattered = torch.rand(rows, len(modality), generator=generator) < rate  # (B, N)
    stays = torch.rand(rows, 3, generator=generator) >= modality_rate  # (B, 3)
    if not token_dropout:
        scattered = torch.ones_like(scattered)
    draw = torch.rand(rows, 3, generator=generator)
    shown = (draw < 0.5).scatter(1, draw.argmin(dim=1, keepdim=True), True)  # (B, 3)
    in_part = torch.rand(rows, 1, generator=generator) < part_share
    keep = torch.where(in_part, shown[:, modality], scattered & stays[:, modality])
    return Dropped(keep | whole[:, None], whole)
