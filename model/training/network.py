"""The network: three encoders, a latent bottleneck, and attention pooling over unmixed tokens.

Axes: B patients, C coalitions of one patient, N tokens, L latents, H heads, D width, T tasks.
Tokens stand in the order structured (V), sentences (S), patches (K). ``encode`` runs once a
patient and leaves keys and values in a Memory; ``fuse`` costs only the latents, so that hundreds
of coalitions of a patient are one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from model.tokens import (
    EMBEDDING_WIDTH,
    PATCH_STATS,
    SENTENCE_FEATURES,
    STRUCTURED_STATS,
    TokenArrays,
    TokenConfig,
)

STRUCTURED, NOTE, DEVICE = 0, 1, 2  # modality ids
HIDDEN = -1e9  # added to a score; exp() of it is exactly zero in float32
NARROWEST_BIN = 1e-6  # bins of repeated quantiles become steps


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes and switches. Small on purpose: with some thousand stays, larger overfits at once."""

    tasks: tuple[str, ...] = ("in_hospital_death",)
    width: int = 64  # D; 32 lost the note projection, 128 overfitted
    heads: int = 4
    bins: int = 8  # octiles: medians and tails of each statistic without memorising
    rank: int = 8  # of each variable's projection; 50 full matrices would be most of the weights
    latents_per_modality: int = 3  # with 3 shared ones 12 latents, the fewest that did not lose
    shared_latents: int = 3
    blocks: int = 2
    shared_blocks: bool = True  # one set of weights read twice, as in the Perceiver: 41,000 fewer
    feed_forward: int = 64  # hidden units; the usual 4 x D overfits
    dropout: float = 0.4  # 0.4 to 0.5 were best on 4,000 stays
    additive_path: bool = True  # a wide additive model beside the network: strong main effects

    @property
    def latents(self) -> int:
        """L."""
        return 3 * self.latents_per_modality + self.shared_latents

    @property
    def block_count(self) -> int:
        """Number of blocks with weights of their own."""
        return 1 if self.shared_blocks else self.blocks

    @property
    def memory_width(self) -> int:
        """M: keys and values of each block and of the pooling, and the additive path."""
        return 2 * self.width * (self.block_count + 1) + len(self.tasks)

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> NetworkConfig:
        """Inverse of to_json."""
        return cls(**{**data, "tasks": tuple(data["tasks"])})


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """Records padded to the same number of sentences and patches, at least one of each."""

    structured_stats: Tensor  # (B, V, 9), NaN where not defined
    structured_measured: Tensor  # (B, V) bool
    sentence_embeddings: Tensor  # (B, S, 384)
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


def collate(records: Sequence[TokenArrays]) -> TokenBatch:
    """Pad records into one batch."""
    sentences = max(1, *(len(r.sentence_features) for r in records))
    patches = max(1, *(len(r.patch_stats) for r in records))

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


class BinEdges(NamedTuple):
    """Training quantiles of every statistic."""

    structured: np.ndarray  # (V, 9, bins + 1)
    device: np.ndarray  # (channels, 6, bins + 1)


def fit_bin_edges(records: Sequence[TokenArrays], config: TokenConfig, bins: int) -> BinEdges:
    """Take quantiles over training records; the outermost 0.5 % saturate, artefacts among them."""
    levels = np.linspace(0.005, 0.995, bins + 1)
    structured = np.stack([r.structured_stats for r in records])  # (R, V, 9)
    patches = np.concatenate([r.patch_stats for r in records])  # (P, 6)
    channel = np.concatenate([r.patch_channel for r in records])
    by_channel = [patches[channel == index] for index in range(len(config.channels))]
    device = [
        [_edges(rows[:, stat], levels) for stat in range(len(PATCH_STATS))] for rows in by_channel
    ]
    return BinEdges(
        np.array(
            [
                [_edges(structured[:, v, s], levels) for s in range(len(STRUCTURED_STATS))]
                for v in range(structured.shape[1])
            ],
            np.float32,
        ),
        np.array(device, np.float32).reshape(len(config.channels), len(PATCH_STATS), bins + 1),
    )


def _edges(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles of the defined values; of few distinct values, the values themselves."""
    defined = values[np.isfinite(values)].astype(np.float64)
    if not len(defined):
        return np.linspace(0.0, 1.0, len(levels))  # never used: such a statistic is always absent
    distinct = np.unique(defined)
    if len(distinct) <= len(levels):
        return np.concatenate([distinct, np.repeat(distinct[-1], len(levels) - len(distinct))])
    return np.quantile(defined, levels)


class QuantileEncoding(nn.Module):
    """Piecewise-linear encoding of statistics between training quantiles.

    Each statistic becomes ``bins`` numbers in 0..1 that fill up from left to right, and one that
    is 1 where the statistic is not defined.
    """

    low: Tensor
    width: Tensor

    def __init__(self, kinds: int, stats: int, bins: int) -> None:
        super().__init__()
        self.features = stats * (bins + 1)
        self.register_buffer("low", torch.zeros(kinds, stats, bins))
        self.register_buffer("width", torch.ones(kinds, stats, bins))

    def set_edges(self, edges: np.ndarray) -> None:
        """Take edges (kinds, stats, bins + 1)."""
        steps = torch.from_numpy(np.asarray(edges, np.float32))
        self.low.copy_(steps[..., :-1])
        self.width.copy_((steps[..., 1:] - steps[..., :-1]).clamp(min=NARROWEST_BIN))

    def forward(self, stats: Tensor, kind: Tensor | None = None) -> Tensor:
        """(B, n, stats) -> (B, n, stats * (bins + 1)); kind (B, n) is arange(n) by default."""
        low = self.low if kind is None else self.low[kind]  # (n, stats, bins)
        width = self.width if kind is None else self.width[kind]
        undefined = torch.isnan(stats)  # (B, n, stats)
        value = torch.where(undefined, torch.zeros_like(stats), stats)[..., None]
        filled = ((value - low) / width).clamp(0.0, 1.0)  # (B, n, stats, bins)
        filled = torch.where(undefined[..., None], torch.zeros_like(filled), filled)
        both = torch.cat([filled, undefined[..., None].to(filled.dtype)], dim=-1)
        return both.flatten(2)


class StructuredEncoder(nn.Module):
    """One token a variable: quantile encoding -> low rank, a matrix each -> D, shared."""

    def __init__(self, tokens: TokenConfig, config: NetworkConfig) -> None:
        super().__init__()
        count, tasks = len(tokens.variables), len(config.tasks)
        self.encoding = QuantileEncoding(count, len(STRUCTURED_STATS), config.bins)
        features = self.encoding.features
        self.project = nn.Parameter(torch.randn(count, features, config.rank) / features**0.5)
        self.bias = nn.Parameter(torch.zeros(count, config.rank))
        self.not_measured = nn.Parameter(torch.randn(count, config.rank) * 0.1)
        self.expand = nn.Linear(config.rank, config.width)
        self.variable = nn.Parameter(torch.randn(count, config.width) * 0.1)
        self.additive = nn.Parameter(torch.zeros(count, features, tasks))
        self.additive_not_measured = nn.Parameter(torch.zeros(count, tasks))

    def forward(self, stats: Tensor, measured: Tensor) -> tuple[Tensor, Tensor]:
        """(B, V, 9), (B, V) -> tokens (B, V, D), additive (B, V, T)."""
        seen = measured[..., None]  # (B, V, 1)
        x = self.encoding(stats).transpose(0, 1)  # (V, B, F)
        code = (x @ self.project).transpose(0, 1) + self.bias  # (B, V, rank)
        code = torch.where(seen, code, self.not_measured.expand_as(code))
        token = self.expand(functional.gelu(code)) + self.variable  # (B, V, D)
        additive = (x @ self.additive).transpose(0, 1)  # (B, V, T)
        return token, torch.where(seen, additive, self.additive_not_measured.expand_as(additive))


class NoteEncoder(nn.Module):
    """One token a sentence: frozen embedding -> D, assertion flags, age, position, note type."""

    def __init__(self, tokens: TokenConfig, config: NetworkConfig) -> None:
        super().__init__()
        tasks = len(config.tasks)
        self.project = nn.Linear(EMBEDDING_WIDTH, config.width)
        self.features = nn.Linear(len(SENTENCE_FEATURES), config.width)
        # A flag must be able to turn a finding round, which a sum of the two cannot.
        self.gate = nn.Linear(len(SENTENCE_FEATURES), config.width)
        self.note_type = nn.Embedding(len(tokens.note_types) + 1, config.width)
        self.additive = nn.Linear(config.width, tasks)
        nn.init.normal_(self.note_type.weight, std=0.1)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        nn.init.zeros_(self.additive.weight)
        nn.init.zeros_(self.additive.bias)

    def forward(
        self, embeddings: Tensor, features: Tensor, note_type: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(B, S, 384), (B, S, 6), (B, S) -> tokens (B, S, D), additive (B, S, T)."""
        meaning = self.project(embeddings) * (1.0 + self.gate(features))  # (B, S, D)
        token = meaning + self.features(features) + self.note_type(note_type)
        return token, self.additive(token)


class DeviceEncoder(nn.Module):
    """One token a channel and patch: quantile encoding -> low rank -> D, and the patch's time."""

    def __init__(self, tokens: TokenConfig, config: NetworkConfig) -> None:
        super().__init__()
        count, tasks = max(1, len(tokens.channels)), len(config.tasks)
        self.encoding = QuantileEncoding(count, len(PATCH_STATS), config.bins)
        features = self.encoding.features
        self.project = nn.Parameter(torch.randn(count, features, config.rank) / features**0.5)
        self.expand = nn.Linear(config.rank, config.width)
        self.channel = nn.Parameter(torch.randn(count, config.width) * 0.1)
        self.patch = nn.Parameter(torch.randn(tokens.patch_count, config.width) * 0.1)
        self.additive = nn.Parameter(torch.zeros(count, features, tasks))
        self.additive_patch = nn.Parameter(torch.ones(tokens.patch_count, 1))

    def forward(self, stats: Tensor, channel: Tensor, patch: Tensor) -> tuple[Tensor, Tensor]:
        """(B, K, 6), (B, K), (B, K) -> tokens (B, K, D), additive (B, K, T)."""
        x = self.encoding(stats, channel)[..., None, :]  # (B, K, 1, F)
        code = (x @ self.project[channel]).squeeze(2)  # (B, K, rank)
        token = self.expand(functional.gelu(code)) + self.channel[channel] + self.patch[patch]
        additive = (x @ self.additive[channel]).squeeze(2)  # (B, K, T)
        return token, additive * self.additive_patch[patch]


class CrossAttention(nn.Module):
    """Queries of C coalitions of a patient against that patient's keys, and the sink."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.to_query = nn.Linear(config.width, config.width)
        self.to_out = nn.Linear(config.width, config.width)

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(B, C, l, D), (B, n, D) x 2, (B, C, n) -> read (B, C, l, D), weights (B, H, C, l, n).

        Key 0 is the sink's, which no mask hides, so that no softmax is ever empty.
        """
        b, c, length, d = query.shape
        n, h = keys.shape[1], self.heads
        q = self.to_query(query).reshape(b, c * length, h, d // h).transpose(1, 2)
        k = keys.reshape(b, n, h, d // h).permute(0, 2, 3, 1)  # (B, H, D/H, n)
        v = values.reshape(b, n, h, d // h).transpose(1, 2)  # (B, H, n, D/H)
        scores = (q * (d // h) ** -0.5) @ k  # (B, H, C * l, n)
        hidden = (1.0 - mask.to(scores.dtype)) * HIDDEN  # (B, C, n)
        scores = scores.reshape(b, h, c, length, n) + hidden[:, None, :, None]
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
        self.digest = nn.Sequential(
            nn.Linear(d, config.feed_forward),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.feed_forward, d),
        )
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
        self.head = nn.Sequential(
            nn.Linear(d, d), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(d, len(config.tasks))
        )

    def set_bin_edges(self, edges: BinEdges) -> None:
        """Take the training quantiles; before training, once."""
        self.structured.encoding.set_edges(edges.structured)
        if len(edges.device):
            self.device.encoding.set_edges(edges.device)

    def encode(self, batch: TokenBatch) -> Memory:
        """Turn records into the keys, values and additive terms that every coalition shares."""
        pairs = (
            self.structured(batch.structured_stats, batch.structured_measured),
            self.note(batch.sentence_embeddings, batch.sentence_features, batch.sentence_note_type),
            self.device(batch.patch_stats, batch.patch_channel, batch.patch_index),
        )
        parts = [token + self.modality[i] for i, (token, _) in enumerate(pairs)]
        tokens = self.token_dropout(self.token_norm(torch.cat(parts, dim=1)))  # (B, N, D)
        additive = torch.cat([a for _, a in pairs], dim=1)  # (B, N, T)
        measured = torch.ones_like(batch.structured_measured)  # not measured is a token as well
        return Memory(
            tokens=torch.cat([self.to_memory(tokens), additive], dim=2),  # (B, N, M)
            modality=batch.modality,
            present=torch.cat([measured, batch.sentence_present, batch.patch_present], dim=1),
            sizes=(parts[0].shape[1], parts[1].shape[1], parts[2].shape[1]),
        )

    def fuse(self, memory: Memory, mask: Tensor) -> FusionOutput:
        """Predict from the tokens that mask (B, N) or (B, C, N) leaves visible (true = visible).

        The mask must not show padding: pass ``memory.present & keep``.
        """
        if mask.dim() == 2:
            logits, attention = self.fuse(memory, mask[:, None])
            return FusionOutput(logits[:, 0], attention[:, 0])
        b, c, _ = mask.shape
        d, t = self.config.width, len(self.config.tasks)
        *layers, pooled = self.with_sink(memory.tokens[..., :-t]).split(2 * d, dim=-1)
        seen = torch.cat([torch.ones_like(mask[..., :1]), mask], dim=-1)  # (B, C, 1 + N)
        x = self.latents.expand(b, c, -1, -1)  # (B, C, L, D)
        readings = [self.readings(layer, seen, memory.sizes) for layer in layers]
        for step in range(self.config.blocks):
            x = self.blocks[step % len(self.blocks)](x, readings[step % len(readings)])
        shared = x[:, :, -self.config.shared_latents :]  # those that have read everything
        query = self.pool_norm(shared.mean(dim=2, keepdim=True))  # (B, C, 1, D)
        read, weights = self.pool(query, pooled[..., :d], pooled[..., d:], seen)
        logits = self.head(read[:, :, 0])  # (B, C, T)
        if self.config.additive_path:
            logits = logits + mask.to(logits.dtype) @ memory.tokens[..., -t:]
        return FusionOutput(logits, weights[:, :, :, 0, 1:].mean(dim=1))

    def with_sink(self, kv: Tensor) -> Tensor:
        """Put the sink's keys and values before those of the tokens: (B, 1 + N, M - T)."""
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
