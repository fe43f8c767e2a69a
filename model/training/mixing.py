"""Fusion without a bottleneck, for comparison: tokens attend to each other, then are pooled.

Axes: B patients, C coalitions of one patient, N tokens, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.training.attention import CrossAttention
from model.training.network_config import NetworkConfig


class TokenMixer(nn.Module):
    """Self-attention over the visible tokens and a sink, then attention pooling of what they are.

    The weight of a token in the pooling is about a mixture of tokens here: that is the point of
    the comparison. Each coalition costs all layers over all tokens.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        d = config.width
        self.sink = nn.Parameter(torch.randn(d) * 0.1)
        self.query = nn.Parameter(torch.randn(d) * 0.2)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                d,
                config.heads,
                config.feed_forward,
                config.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(d)
        self.to_pool = nn.Linear(d, 2 * d, bias=False)
        self.pool = CrossAttention(config)

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, D), (B, C, N) -> pooled (B, C, D), weights (B, C, N)."""
        b, c, n = mask.shape
        d = tokens.shape[-1]
        sink = self.sink.expand(b, 1, d)
        x = torch.cat([sink, tokens], dim=1)[:, None].expand(b, c, n + 1, d)
        x = x.reshape(b * c, n + 1, d)
        seen = torch.cat([torch.ones_like(mask[..., :1]), mask], dim=2).reshape(b * c, n + 1)
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=~seen)
        keys, values = self.to_pool(self.norm(x)).split(d, dim=-1)
        query = self.query.expand(b * c, 1, 1, d)
        read, weights = self.pool(query, keys, values, seen[:, None])
        pooled = weights.mean(dim=1)[:, 0, 0, 1:]
        return read[:, 0, 0].reshape(b, c, d), pooled.reshape(b, c, n)
