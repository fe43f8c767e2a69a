"""Attention of the bottleneck: latents read tokens and exchange among themselves.

Axes: B patients, C coalitions of one patient, n tokens, l latents, L latents in all, H heads,
D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.training.network_config import NetworkConfig

HIDDEN = -1e9  # added to a score; exp() of it is exactly zero in float32


class Reading(NamedTuple):
    """What one group of latents may read: the sink first, then its tokens."""

    latents: int
    keys: Tensor  # (B, 1 + n, D)
    values: Tensor  # (B, 1 + n, D)
    mask: Tensor  # (B, C, 1 + n)


class CrossAttention(nn.Module):
    """Queries of C coalitions of a patient against that patient's keys, and the sink."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.to_query = nn.Linear(config.width, config.width)
        self.to_out = nn.Linear(config.width, config.width)

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor,
        sink_score: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(B, C, l, D), (B, n, D) x 2, (B, C, n) -> read (B, C, l, D), weights (B, H, C, l, n).

        Key 0 is the sink's, which no mask hides, so that no softmax is ever empty. ``sink_score``
        (H,) is added to its score.
        """
        b, c, length, d = query.shape
        n, h = keys.shape[1], self.heads
        q = self.to_query(query).reshape(b, c * length, h, d // h).transpose(1, 2)
        k = keys.reshape(b, n, h, d // h).permute(0, 2, 3, 1)  # (B, H, D/H, n)
        v = values.reshape(b, n, h, d // h).transpose(1, 2)  # (B, H, n, D/H)
        scores = (q * (d // h) ** -0.5) @ k  # (B, H, C * l, n)
        hidden = (1.0 - mask.to(scores.dtype)) * HIDDEN  # (B, C, n)
        scores = scores.reshape(b, h, c, length, n) + hidden[:, None, :, None]
        if sink_score is not None:
            heavier = scores[..., :1] + sink_score[:, None, None, None]
            scores = torch.cat([heavier, scores[..., 1:]], dim=-1)
        weights = scores.softmax(dim=-1)
        read = weights.reshape(b, h, c * length, n) @ v  # (B, H, C * l, D/H)
        read = read.transpose(1, 2).reshape(b, c, length, d)
        return self.to_out(read), weights


class LatentBlock(nn.Module):
    """Latents read the tokens, exchange among themselves, and digest."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        d = config.width
        self.heads = config.heads
        self.read_norm, self.mix_norm, self.digest_norm = (nn.LayerNorm(d) for _ in range(3))
        self.read = CrossAttention(config)
        self.to_mix = nn.Linear(d, 3 * d)
        self.from_mix = nn.Linear(d, d)
        self.widen = nn.Linear(d, config.feed_forward)
        self.narrow = nn.Linear(config.feed_forward, d)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, readings: Sequence[Reading]) -> Tensor:
        """(B, C, L, D) -> the same. Each group of latents reads its own part of the tokens."""
        groups = self.read_norm(x).split([r.latents for r in readings], dim=2)
        read = [
            self.read(group, r.keys, r.values, r.mask)[0]
            for group, r in zip(groups, readings, strict=True)
        ]
        x = x + self.dropout(torch.cat(read, dim=2))
        x = x + self.dropout(self.mix(self.mix_norm(x)))
        return x + self.dropout(self.digest(self.digest_norm(x)))

    def digest(self, x: Tensor) -> Tensor:
        """Feed forward: (B, C, L, D) -> the same."""
        return self.narrow(self.dropout(functional.gelu(self.widen(x))))

    def mix(self, x: Tensor) -> Tensor:
        """Self-attention among the latents of a coalition: (B, C, L, D) -> the same."""
        b, c, length, d = x.shape
        qkv = self.to_mix(x).reshape(b, c, length, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5)  # each (B, C, H, L, D/H)
        weights = ((q * (d // self.heads) ** -0.5) @ k.transpose(-1, -2)).softmax(dim=-1)
        mixed = (weights @ v).transpose(2, 3).reshape(b, c, length, d)
        return self.from_mix(mixed)
