"""The network: three encoders, a latent bottleneck, and attention pooling over unmixed tokens.

Axes: B patients, C coalitions of one patient, N tokens, L latents, H heads, D width, T tasks.
Tokens stand in the order structured (V), sentences (S), patches (K). ``encode`` runs once a
patient and leaves keys and values in a Memory; ``fuse`` costs only the latents, so that hundreds
of coalitions of a patient are one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.tokens import TokenConfig
from model.training.batch import TokenBatch, collate
from model.training.encoders import (
    BinEdges,
    DeviceEncoder,
    NoteEncoder,
    StructuredEncoder,
    fit_bin_edges,
)
from model.training.network_config import NetworkConfig

__all__ = [
    "DEVICE",
    "NOTE",
    "STRUCTURED",
    "BinEdges",
    "FusionNetwork",
    "FusionOutput",
    "Memory",
    "NetworkConfig",
    "TokenBatch",
    "collate",
    "count_parameters",
    "fit_bin_edges",
]

STRUCTURED, NOTE, DEVICE = 0, 1, 2  # modality ids
HIDDEN = -1e9  # added to a score; exp() of it is exactly zero in float32
SINK_SCORE = 4.2  # at the start: exp(4.2) = 67, about as much as all tokens of a chart together
GAIN = 16.0  # at the start: what the sink takes away, given back to the sum


class Memory(NamedTuple):
    """All that the fusion needs of a batch of patients."""

    tokens: Tensor  # (B, N, M)
    modality: Tensor  # (N,)
    present: Tensor  # (B, N) bool: true where there is a token, false for padding
    sizes: tuple[int, int, int]  # V, S, K


class FusionOutput(NamedTuple):
    """What the fusion says of each coalition."""

    logits: Tensor  # (B, T) or (B, C, T)
    attention: Tensor  # (B, N) or (B, C, N): pooled, mean over heads; the rest to 1 is the sink's


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


class Reading(NamedTuple):
    """What one group of latents may read: the sink first, then its tokens."""

    latents: int
    keys: Tensor  # (B, 1 + n, D)
    values: Tensor  # (B, 1 + n, D)
    mask: Tensor  # (B, C, 1 + n)


class FusionNetwork(nn.Module):
    """Tokens of three modalities -> logits and pooled attention."""

    def __init__(self, tokens: TokenConfig, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        d = config.width
        self.structured = StructuredEncoder(tokens, config)
        self.note = NoteEncoder(tokens, config)
        self.device = DeviceEncoder(tokens, config)
        self.modality = nn.Parameter(torch.randn(3, d) * 0.1)
        self.sink = nn.Parameter(torch.randn(d) * 0.1)
        self.token_norm = nn.LayerNorm(d)
        self.token_dropout = nn.Dropout(config.dropout)
        self.to_memory = nn.Linear(d, 2 * d * (config.block_count + 1), bias=False)
        self.latents = nn.Parameter(torch.randn(config.latents, d) * 0.2)
        self.blocks = nn.ModuleList(LatentBlock(config) for _ in range(config.block_count))
        self.pool_norm = nn.LayerNorm(d)
        self.pool = CrossAttention(config)
        self.sink_score = nn.Parameter(torch.full((config.heads,), SINK_SCORE))
        self.gain = nn.Parameter(torch.tensor(GAIN))
        self.head = nn.Sequential(
            nn.Linear(d, d), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(d, len(config.tasks))
        )
        if config.sum_units:
            self.to_sum = nn.Linear(d, config.sum_units, bias=False)
            self.sum_bias = nn.Parameter(torch.zeros(config.sum_units))
            self.from_sum = nn.Linear(config.sum_units, len(config.tasks))
            self.sum_dropout = nn.Dropout(config.dropout)
            nn.init.normal_(self.to_sum.weight, std=0.02)  # some hundred tokens add up

    def set_bin_edges(self, edges: BinEdges) -> None:
        """Take the training quantiles; before training, once."""
        self.structured.encoding.set_edges(edges.structured)
        if len(edges.device):
            self.device.encoding.set_edges(edges.device)

    def block(self, step: int) -> LatentBlock:
        """Return the weights of one step; shared steps use the same."""
        return cast(LatentBlock, self.blocks[step % len(self.blocks)])

    def encode(self, batch: TokenBatch) -> Memory:
        """Turn records into the keys, values and additive terms that every coalition shares."""
        pairs = (
            self.structured(batch.structured_stats, batch.structured_measured),
            self.note(batch.sentence_embeddings, batch.sentence_features, batch.sentence_note_type),
            self.device(batch.patch_stats, batch.patch_channel, batch.patch_index),
        )
        placed = [token + self.modality[i] for i, (token, _) in enumerate(pairs)]
        tokens = self.token_dropout(self.token_norm(torch.cat(placed, dim=1)))  # (B, N, D)
        measured = torch.ones_like(batch.structured_measured)  # not measured is a token as well
        columns = [self.to_memory(tokens)]
        if self.config.sum_units:
            columns.append(self.to_sum(tokens))
        if self.config.additive_path:
            columns.append(torch.cat([term for _, term in pairs if term is not None], dim=1))
        return Memory(
            tokens=torch.cat(columns, dim=2),  # (B, N, M)
            modality=batch.modality,
            present=torch.cat([measured, batch.sentence_present, batch.patch_present], dim=1),
            sizes=(placed[0].shape[1], placed[1].shape[1], placed[2].shape[1]),
        )

    def fuse(self, memory: Memory, mask: Tensor) -> FusionOutput:
        """Predict from the tokens that mask (B, N) or (B, C, N) leaves visible (true = visible).

        The mask must not show padding: pass ``memory.present & keep``.
        """
        if mask.dim() == 2:
            logits, attention = self.fuse(memory, mask[:, None])
            return FusionOutput(logits[:, 0], attention[:, 0])
        b, c, _ = mask.shape
        d, config = self.config.width, self.config
        kv, sums = memory.tokens.split([config.attention_width, config.sum_width], dim=-1)
        *layers, pooled = self.with_sink(kv).split(2 * d, dim=-1)
        seen = torch.cat([torch.ones_like(mask[..., :1]), mask], dim=-1)  # (B, C, 1 + N)
        x = self.latents.expand(b, c, -1, -1)  # (B, C, L, D)
        readings = [self.readings(layer, seen, memory.sizes) for layer in layers]
        for step in range(config.blocks):
            x = self.block(step)(x, readings[step % len(readings)])
        shared = x[:, :, -config.shared_latents :]  # those that have read everything
        query = self.pool_norm(shared.mean(dim=2, keepdim=True))  # (B, C, 1, D)
        read, weights = self.pooled(query, pooled[..., :d], pooled[..., d:], seen)
        logits = self.head(self.gain * read[:, :, 0])  # (B, C, T)
        logits = self.summed(logits, mask.to(logits.dtype) @ sums)
        return FusionOutput(logits, weights[:, :, :, 0, 1:].mean(dim=1))

    def pooled(
        self, query: Tensor, keys: Tensor, values: Tensor, seen: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Pool the tokens beside a heavy sink without value: nearly a sum, not an average.

        In an average every token that joins dilutes all others; beside the sink each adds its
        own share. So the weight of a token is about what that token contributes.
        """
        weightless = torch.cat([torch.zeros_like(values[:, :1]), values[:, 1:]], dim=1)
        read, weights = self.pool(query, keys, weightless, seen, self.sink_score)
        return cast(Tensor, read), cast(Tensor, weights)

    def summed(self, logits: Tensor, sums: Tensor) -> Tensor:
        """Add what sums over the visible tokens give: (B, C, T), (B, C, U + T) -> (B, C, T)."""
        units = self.config.sum_units
        if units:
            hidden = functional.gelu(sums[..., :units] + self.sum_bias)
            logits = logits + self.from_sum(self.sum_dropout(hidden))
        if self.config.additive_path:
            logits = logits + sums[..., units:]
        return logits

    def with_sink(self, kv: Tensor) -> Tensor:
        """Put the sink's keys and values before those of the tokens: (B, 1 + N, 2 D a layer)."""
        sink = self.to_memory(self.token_norm(self.sink))
        return torch.cat([sink.expand(len(kv), 1, -1), kv], dim=1)

    def readings(self, layer: Tensor, seen: Tensor, sizes: tuple[int, int, int]) -> list[Reading]:
        """Modality latents read the sink and their modality; shared latents read everything."""
        d, (v, s, k) = self.config.width, sizes
        sink_kv, *kv = layer.split([1, v, s, k], dim=1)
        sink_seen, *see = seen.split([1, v, s, k], dim=2)
        readings = []
        for part, visible in zip(kv, see, strict=True):
            both = torch.cat([sink_kv, part], dim=1)
            mask = torch.cat([sink_seen, visible], dim=2)
            readings.append(
                Reading(self.config.latents_per_modality, both[..., :d], both[..., d:], mask)
            )
        shared = Reading(self.config.shared_latents, layer[..., :d], layer[..., d:], seen)
        return [*readings, shared]

    def forward(self, batch: TokenBatch, keep: Tensor | None = None) -> FusionOutput:
        """Encode and fuse; ``keep`` (B, N) hides tokens in training."""
        memory = self.encode(batch)
        mask = memory.present if keep is None else memory.present & keep
        return self.fuse(memory, mask)


def count_parameters(network: nn.Module) -> int:
    """Number of trained weights."""
    return sum(p.numel() for p in network.parameters())
