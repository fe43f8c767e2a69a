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
from model.training.attention import CrossAttention, LatentBlock, Reading
from model.training.batch import TokenBatch, collate
from model.training.encoders import (
    DeviceEncoder,
    NoteEncoder,
    Scales,
    StructuredEncoder,
    fit_scales,
)
from model.training.mixing import TokenMixer
from model.training.network_config import NetworkConfig

__all__ = [
    "DEVICE",
    "NOTE",
    "STRUCTURED",
    "FusionNetwork",
    "FusionOutput",
    "Memory",
    "NetworkConfig",
    "Scales",
    "TokenBatch",
    "collate",
    "count_parameters",
    "fit_scales",
]

STRUCTURED, NOTE, DEVICE = 0, 1, 2  # modality ids
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
        self.mixer = TokenMixer(config) if config.fusion == "self_attention" else None
        if self.mixer is None:
            self.to_memory = nn.Linear(d, config.memory_width, bias=False)
            self.latents = nn.Parameter(torch.randn(config.latents, d) * 0.2)
            self.blocks = nn.ModuleList(LatentBlock(config) for _ in range(config.block_count))
            self.pool_norm = nn.LayerNorm(d)
            self.pool = CrossAttention(config)
            self.sink_score = nn.Parameter(torch.full((config.heads,), SINK_SCORE))
            self.gain = nn.Parameter(torch.tensor(GAIN))
        self.head = nn.Sequential(
            nn.Linear(d, d), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(d, len(config.tasks))
        )

    def set_scales(self, scales: Scales) -> None:
        """Take what training records are measured by; before training, once."""
        self.structured.encoding.set_edges(scales.structured)
        self.note.set_scale(scales.note_mean, scales.note_deviation)
        if len(scales.device):
            self.device.encoding.set_edges(scales.device)

    def block(self, step: int) -> LatentBlock:
        """Return the weights of one step; shared steps use the same."""
        return cast(LatentBlock, self.blocks[step % len(self.blocks)])

    def encode(self, batch: TokenBatch) -> Memory:
        """Turn records into the keys and values that every coalition shares."""
        encoded = (
            self.structured(batch.structured_stats, batch.structured_measured),
            self.note(batch.sentence_embeddings, batch.sentence_features, batch.sentence_note_type),
            self.device(batch.patch_stats, batch.patch_channel, batch.patch_index),
        )
        tokens = self.placed([one.tokens for one in encoded])  # (B, N, D)
        usual = self.placed([one.usual for one in encoded])
        measured = torch.ones_like(batch.structured_measured)  # not measured is a token as well
        counts = [one.tokens.shape[1] for one in encoded]
        return Memory(
            tokens=self.remembered(tokens, usual),
            modality=batch.modality,
            present=torch.cat([measured, batch.sentence_present, batch.patch_present], dim=1),
            sizes=(counts[0], counts[1], counts[2]),
        )

    def placed(self, tokens: Sequence[Tensor]) -> Tensor:
        """Say of each token which modality it is of: 3 x (B, n, D) -> (B, N, D)."""
        parts = [token + self.modality[index] for index, token in enumerate(tokens)]
        return cast(Tensor, self.token_norm(torch.cat(parts, dim=1)))

    def remembered(self, tokens: Tensor, usual: Tensor) -> Tensor:
        """(B, N, D) x 2 -> (B, N, M). The last D columns, what is pooled, hold the difference."""
        if self.mixer is not None:
            return cast(Tensor, self.token_dropout(tokens))
        difference = self.token_dropout(tokens - usual)
        tokens = self.token_dropout(tokens)
        d, weight = self.config.width, self.to_memory.weight  # (M, D)
        read = functional.linear(tokens, weight[:-d])
        return torch.cat([read, functional.linear(difference, weight[-d:])], dim=2)

    def fuse(self, memory: Memory, mask: Tensor) -> FusionOutput:
        """Predict from the tokens that mask (B, N) or (B, C, N) leaves visible (true = visible).

        The mask must not show padding: pass ``memory.present & keep``.
        """
        if mask.dim() == 2:
            logits, attention = self.fuse(memory, mask[:, None])
            return FusionOutput(logits[:, 0], attention[:, 0])
        if self.mixer is not None:
            read, attention = self.mixer(memory.tokens, mask)
            return FusionOutput(self.head(read), attention)
        b, c, _ = mask.shape
        d, config = self.config.width, self.config
        *layers, pooled = self.with_sink(memory.tokens).split(2 * d, dim=-1)
        seen = torch.cat([torch.ones_like(mask[..., :1]), mask], dim=-1)  # (B, C, 1 + N)
        x = self.latents.expand(b, c, -1, -1)  # (B, C, L, D)
        readings = [self.readings(layer, seen, memory.sizes) for layer in layers]
        for step in range(config.blocks):
            x = self.block(step)(x, readings[step % len(readings)])
        shared = x[:, :, -config.shared_latents :]  # those that have read everything
        query = self.pool_norm(shared.mean(dim=2, keepdim=True))  # (B, C, 1, D)
        read, weights = self.pooled(query, pooled[..., :d], pooled[..., d:], seen)
        logits = self.head(self.gain * read[:, :, 0])  # (B, C, T)
        return FusionOutput(logits, weights[:, :, :, 0, 1:].mean(dim=1))

    def pooled(
        self, query: Tensor, keys: Tensor, values: Tensor, seen: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Pool the tokens beside a heavy sink without value: nearly a sum, not an average.

        In an average every token that joins dilutes all others; beside the sink each adds its
        own share. So the weight of a token is about what that token contributes. What is pooled
        of a token is its difference to the usual one: with whole tokens, what all patients have
        in common drowned their differences, and nothing was learnt for three epochs.
        """
        weightless = torch.cat([torch.zeros_like(values[:, :1]), values[:, 1:]], dim=1)
        read, weights = self.pool(query, keys, weightless, seen, self.sink_score)
        return cast(Tensor, read), cast(Tensor, weights)

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
