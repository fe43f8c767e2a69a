"""Three encoders with one signature: arrays of a modality -> tokens, and what each is usually.

Axes: B records, V variables, S sentences, K patches, D width, E embedding width, F features.

The usual token of a variable, a kind of note or a channel is what it is when its content says
nothing: the middle of the training values, the mean sentence. What is pooled is the difference to
it, so that the findings that are as usual add nothing, whether they are shown or hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from model.tokens import (
    PATCH_STATS,
    SENTENCE_FEATURES,
    STRUCTURED_STATS,
    TokenArrays,
    TokenConfig,
)
from model.training.network_config import NetworkConfig

NARROWEST_BIN = 1e-6  # bins of repeated quantiles become steps
MOST_SCALED = 100_000  # records whose statistics set the scales
FLATTEST_DIMENSION = 1e-3  # standard deviation of an embedding's dimension that says nothing


class Scales(NamedTuple):
    """What the encoders measure by: taken from training records, once."""

    structured: np.ndarray  # (V, 9, bins + 1) quantiles
    device: np.ndarray  # (channels, 6, bins + 1) quantiles
    note_mean: np.ndarray  # (E,) of sentence embeddings
    note_deviation: np.ndarray  # (E,)


def fit_scales(records: Sequence[TokenArrays], config: TokenConfig, bins: int) -> Scales:
    """Take quantiles over training records; the outermost 0.5 % saturate, artefacts among them.

    Of very many records some are taken, evenly spaced: more would not move a quantile.
    """
    records = records[:: -(-len(records) // MOST_SCALED)]
    levels = np.linspace(0.005, 0.995, bins + 1)
    structured = np.stack([r.structured_stats for r in records])  # (R, V, 9)
    patches = np.concatenate([r.patch_stats for r in records])  # (P, 6)
    channel = np.concatenate([r.patch_channel for r in records])
    by_channel = [patches[channel == index] for index in range(len(config.channels))]
    device = [
        [_edges(rows[:, stat], levels) for stat in range(len(PATCH_STATS))] for rows in by_channel
    ]
    mean, deviation = _spread([r.sentence_embeddings for r in records], config.embedding_width)
    return Scales(
        np.array(
            [
                [_edges(structured[:, v, s], levels) for s in range(len(STRUCTURED_STATS))]
                for v in range(structured.shape[1])
            ],
            np.float32,
        ),
        np.array(device, np.float32).reshape(len(config.channels), len(PATCH_STATS), bins + 1),
        mean,
        deviation,
    )


def _spread(parts: Sequence[np.ndarray], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of rows (n, E) in many parts, one in memory at a time."""
    count = max(1, sum(len(part) for part in parts))
    mean = _sum_of_rows(parts, width) / np.float32(count)
    squares = (np.square(part - mean) for part in parts)
    return mean, np.sqrt(_sum_of_rows(squares, width) / np.float32(count))


def _sum_of_rows(parts: Iterable[np.ndarray], width: int) -> np.ndarray:
    total = np.zeros(width, np.float32)
    for part in parts:
        total = np.add.reduce(np.concatenate([total[None], part]), axis=0)
    return total


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

    Each statistic becomes ``bins`` numbers that fill up from left to right, and one that is 1
    where the statistic is not defined. They are centred on their mean over training, so that a
    statistic that is not defined counts as a usual one.
    """

    low: Tensor
    width: Tensor
    usual: Tensor

    def __init__(self, kinds: int, stats: int, bins: int) -> None:
        super().__init__()
        self.features = stats * (bins + 1)
        self.register_buffer("low", torch.zeros(kinds, stats, bins))
        self.register_buffer("width", torch.ones(kinds, stats, bins))
        # The part of training values above the middle of each bin of a quantile encoding.
        self.register_buffer("usual", 1 - (torch.arange(bins) + 0.5) / bins)

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
        filled = torch.where(undefined[..., None], torch.zeros_like(filled), filled - self.usual)
        both = torch.cat([filled, undefined[..., None].to(filled.dtype)], dim=-1)
        return both.flatten(2)


class Encoded(NamedTuple):
    """The tokens of one modality."""

    tokens: Tensor  # (B, n, D)
    usual: Tensor  # (B, n, D): the same tokens without their content


class StructuredEncoder(nn.Module):
    """One token a variable: quantile encoding -> low rank, a matrix each -> D, shared."""

    def __init__(self, tokens: TokenConfig, config: NetworkConfig) -> None:
        super().__init__()
        count = len(tokens.variables)
        self.encoding = QuantileEncoding(count, len(STRUCTURED_STATS), config.bins)
        features = self.encoding.features
        self.project = nn.Parameter(torch.randn(count, features, config.rank) / features**0.5)
        self.bias = nn.Parameter(torch.zeros(count, config.rank))
        self.not_measured = nn.Parameter(torch.zeros(count, config.rank))
        self.expand = nn.Linear(config.rank, config.width)
        self.variable = nn.Parameter(torch.randn(count, config.width) * 0.1)

    def forward(self, stats: Tensor, measured: Tensor) -> Encoded:
        """(B, V, 9), (B, V) -> (B, V, D)."""
        x = self.encoding(stats).transpose(0, 1)  # (V, B, F)
        code = (x @ self.project).transpose(0, 1) + self.bias  # (B, V, rank)
        code = torch.where(measured[..., None], code, self.not_measured.expand_as(code))
        usual = self.variable + self.expand.bias  # (V, D)
        tokens = self.expand(functional.gelu(code)) + self.variable  # (B, V, D)
        return Encoded(tokens, usual.expand_as(tokens))


class NoteEncoder(nn.Module):
    """One token a sentence: frozen embedding -> D, assertion flags, age, position, note type.

    Embeddings have a norm of 1 over hundreds of dimensions and a large mean in common: unless they
    are brought to the scale of the other terms, what a sentence says drowns in what kind it is of.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, tokens: TokenConfig, config: NetworkConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(tokens.embedding_width))
        self.register_buffer("scale", torch.ones(tokens.embedding_width))
        self.project = nn.Linear(tokens.embedding_width, config.width)
        self.features = nn.Linear(len(SENTENCE_FEATURES), config.width)
        # A flag must be able to turn a finding round, which a sum of the two cannot.
        self.gate = nn.Linear(len(SENTENCE_FEATURES), config.width)
        self.note_type = nn.Embedding(len(tokens.note_types) + 1, config.width)
        nn.init.normal_(self.note_type.weight, std=0.1)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def set_scale(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Take the mean and the standard deviation of training embeddings, (E,) each."""
        varies = deviation > FLATTEST_DIMENSION
        scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(scale))

    def forward(self, embeddings: Tensor, features: Tensor, note_type: Tensor) -> Encoded:
        """(B, S, E), (B, S, 6), (B, S) -> (B, S, D)."""
        content = (embeddings - self.mean) * self.scale
        meaning = self.project(content) * (1.0 + self.gate(features))  # (B, S, D)
        kind = self.note_type(note_type)  # (B, S, D)
        usual = kind + self.project.bias + self.features.bias
        return Encoded(meaning + self.features(features) + kind, usual)


class DeviceEncoder(nn.Module):
    """One token a channel and patch: quantile encoding -> low rank -> D, and the patch's time."""

    def __init__(self, tokens: TokenConfig, config: NetworkConfig) -> None:
        super().__init__()
        count = max(1, len(tokens.channels))
        self.encoding = QuantileEncoding(count, len(PATCH_STATS), config.bins)
        features = self.encoding.features
        self.project = nn.Parameter(torch.randn(count, features, config.rank) / features**0.5)
        self.expand = nn.Linear(config.rank, config.width)
        self.channel = nn.Parameter(torch.randn(count, config.width) * 0.1)
        self.patch = nn.Parameter(torch.randn(tokens.patch_count, config.width) * 0.1)

    def forward(self, stats: Tensor, channel: Tensor, patch: Tensor) -> Encoded:
        """(B, K, 6), (B, K), (B, K) -> (B, K, D)."""
        x = self.encoding(stats, channel)[..., None, :]  # (B, K, 1, F)
        code = (x @ self.project[channel]).squeeze(2)  # (B, K, rank)
        where = self.channel[channel] + self.patch[patch]  # (B, K, D)
        return Encoded(self.expand(functional.gelu(code)) + where, where + self.expand.bias)
