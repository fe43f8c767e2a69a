"""fuse.onnx: the memory of one patient and C coalitions -> logits, and attention of the first.

The same function as ``FusionNetwork.fuse`` for one patient, arranged for many coalitions: before
the first block the latents are constants, so their scores are computed once a patient and a
coalition only selects among them. Neighbours in a walk differ in one token, and samples of LIME in
sentences only: what the latents of a modality read is computed once for each run of coalitions
that show the same of it.

Axes: C coalitions, U runs of them, N tokens, n tokens of one modality, L latents, l latents of one
group, H heads, D width, T tasks, R rows: latents one below the other, C * L where none is shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import nn

from model.training.attention import CrossAttention, LatentBlock
from model.training.encode_graph import array, layer_norm, linear
from model.training.graph import GraphWriter
from model.training.network import FusionNetwork

MEMORY = "memory_structured", "memory_note", "memory_device"
AWAY = 1e9  # taken from the score of a hidden token; exp() of the rest is exactly zero
INT64 = TensorProto.INT64
STEEPEST = 60.0  # a score this far above the sink's; keeps exp() finite in float32


class Group(NamedTuple):
    """Latents that read the same tokens."""

    latents: slice
    memory: str  # (n, M)
    seen: str  # (C, n) float32, 1 = visible
    runs: str  # (U, n) float32: what neighbouring coalitions show alike, once
    run: str  # (C,) int64: to which run each coalition belongs

    @property
    def length(self) -> int:
        """l."""
        return self.latents.stop - self.latents.start


class Sink(NamedTuple):
    """Key and value of the sink for one reading."""

    key: np.ndarray  # (D,)
    value: np.ndarray  # (D,)


class FuseGraph(GraphWriter):
    """The graph under construction."""

    def __init__(self, network: FusionNetwork) -> None:
        super().__init__()
        self.network = network
        config = network.config
        self.width, self.heads, self.count = config.width, config.heads, config.latents
        self.head_width = config.width // config.heads
        self.tasks = len(config.tasks)
        with torch.no_grad():
            sink = array(network.to_memory(network.token_norm(network.sink)))
        self.sinks = [Sink(*pair) for pair in sink.reshape(-1, 2, config.width)]

    def per_head(self, x: str, *order: int) -> str:
        """(n, D) -> (n, H, D/H) -> permuted."""
        split = self.reshape(x, -1, self.heads, self.head_width)
        return self.op("Transpose", split, perm=list(order))

    def key_value(self, memory: str, layer: int) -> tuple[str, str]:
        """(n, M) -> keys and values of one layer, (n, D) each."""
        start, d = 2 * layer * self.width, self.width
        return self.columns(memory, start, start + d), self.columns(
            memory, start + d, start + 2 * d
        )

    def with_sink(self, sink: np.ndarray, x: str) -> str:
        """(n, D) -> (1 + n, D)."""
        return self.op("Concat", self.constant(sink[None]), x, axis=0)

    def groups(self) -> list[Group]:
        """Return who reads what: a group for each modality and the shared latents."""
        config = self.network.config
        seen = self.op("Cast", "mask", to=TensorProto.FLOAT)  # (C, N)
        sizes = [self.op("Shape", memory, start=0, end=1) for memory in MEMORY]
        parts = self.ops("Split", 3, seen, self.op("Concat", *sizes, axis=0), axis=1)
        each, groups = config.latents_per_modality, []
        for index, (memory, part) in enumerate(zip(MEMORY, parts, strict=True)):
            latents = slice(index * each, (index + 1) * each)
            groups.append(Group(latents, memory, part, *self.runs(part)))
        shared = slice(3 * each, config.latents)
        everything = self.op("Concat", *MEMORY, axis=0)
        return [*groups, Group(shared, everything, seen, seen, self.numbered(seen))]

    def runs(self, seen: str) -> tuple[str, str]:
        """(C, n) -> each run of equal neighbours once (U, n), the run of each coalition (C,)."""
        before = self.op("Pad", seen, self.constant([1, 0, -1, 0]), self.constant(-1.0))
        changes = self.op("ReduceL1", self.op("Sub", seen, before), self.constant([1]), keepdims=0)
        starts = self.op("Cast", self.op("Greater", changes, self.constant(0.0)), to=INT64)
        run = self.op("Sub", self.op("CumSum", starts, self.constant(0)), self.constant(1))
        return self.op("Gather", seen, self.reshape(self.op("NonZero", starts), -1)), run

    def numbered(self, x: str) -> str:
        """0, 1, ... for the rows of x."""
        rows = self.op("Squeeze", self.op("Shape", x, start=0, end=1))
        return self.op("Range", self.constant(0), rows, self.constant(1))

    def away(self, seen: str) -> str:
        """(C, n) -> (C, 1 + n): what is added to scores; nothing for the sink."""
        score = self.op("Mul", self.op("Sub", seen, self.constant(1.0)), self.constant(AWAY))
        return self.op("Pad", score, self.constant([0, 1, 0, 0]))

    def first_read(self, block: LatentBlock, group: Group) -> str:
        """Read with constant queries: (U * l, D), before the output projection.

        A softmax over the visible tokens is a sum over them of exp(score) * value, over the same
        sum of exp(score); both sums are one matrix product with the mask.
        """
        with torch.no_grad():
            latents = self.network.latents[group.latents]
            query = array(block.read.to_query(block.read_norm(latents)))  # (l, D)
        length = len(query)
        query = query.reshape(length, self.heads, -1).transpose(1, 0, 2) * self.head_width**-0.5
        sink = self.sinks[0]
        sink_score = query @ sink.key.reshape(self.heads, -1, 1)  # (H, l, 1)
        keys, values = self.key_value(group.memory, 0)
        score = self.op("MatMul", self.constant(query), self.per_head(keys, 1, 2, 0))  # (H, l, n)
        score = self.op("Sub", score, self.constant(sink_score))
        mass = self.op("Exp", self.op("Min", score, self.constant(STEEPEST)))
        mass = self.op("Transpose", mass, perm=[2, 1, 0])  # (n, l, H)
        value = self.reshape(values, -1, 1, self.heads, self.head_width)
        weighted = self.op("Mul", self.op("Unsqueeze", mass, self.constant([3])), value)
        total = self.op("MatMul", group.runs, self.reshape(weighted, -1, length * self.width))
        total = self.op("Add", total, self.constant(np.tile(sink.value, length)))  # (U, l * D)
        norm = self.op("MatMul", group.runs, self.reshape(mass, -1, length * self.heads))
        norm = self.op("Add", norm, self.constant(1.0))  # (U, l * H)
        spread = np.repeat(np.eye(length * self.heads), self.head_width, axis=1)
        share = self.op("MatMul", self.op("Reciprocal", norm), self.constant(spread))
        return self.reshape(self.op("Mul", total, share), -1, self.width)

    def attend(
        self, query: str, length: int, memory: str, seen: str, layer: int
    ) -> tuple[str, str]:
        """(C * l, D) -> read (C, l, D) before the output projection, weights (H, C, l, 1 + n)."""
        sink = self.sinks[layer]
        keys, values = self.key_value(memory, layer)
        q = self.per_head(query, 1, 0, 2)  # (H, C * l, D/H)
        k = self.per_head(self.with_sink(sink.key, keys), 1, 2, 0)  # (H, D/H, 1 + n)
        v = self.per_head(self.with_sink(sink.value, values), 1, 0, 2)  # (H, 1 + n, D/H)
        return self.weighted(self.op("MatMul", q, k), v, length, seen)

    def weighted(self, score: str, values: str, length: int, seen: str) -> tuple[str, str]:
        """(H, C * l, 1 + n), (H, 1 + n, D/H) -> read (C, l, D), weights (H, C, l, 1 + n)."""
        rows = self.op("Shape", score)
        shape = self.op("Concat", self.constant([self.heads, -1, length]), self.last(rows), axis=0)
        away = self.op("Unsqueeze", self.away(seen), self.constant([1]))
        score = self.op("Add", self.op("Reshape", score, shape), away)
        weights = self.op("Softmax", score, axis=-1)
        read = self.op("MatMul", self.op("Reshape", weights, rows), values)  # (H, C * l, D/H)
        read = self.op("Transpose", read, perm=[1, 0, 2])
        return self.reshape(read, -1, length, self.width), weights

    def pooled(self, x: str, everything: Group) -> tuple[str, str]:
        """Ask each coalition's tokens once: (C, D) -> read (C, 1, D), weights (H, C, 1, 1 + N).

        The sink has a score of its own and no value. Its score is the product of a further
        column, 1 in every query, with a further row of the keys, which is 0 but for the sink.
        """
        attention, sink = self.network.pool, self.sinks[-1]
        keys, values = self.key_value(everything.memory, len(self.sinks) - 1)
        k = self.per_head(self.with_sink(sink.key, keys), 1, 2, 0)  # (H, D/H, 1 + N)
        own = self.constant(array(self.network.sink_score)[:, None, None])  # (H, 1, 1)
        tokens = self.op("Shape", keys, start=0, end=1)
        pads = self.op("Concat", self.constant([0] * 5), tokens, axis=0)
        k = self.op("Concat", k, self.op("Pad", own, pads), axis=1)  # (H, D/H + 1, 1 + N)
        v = self.per_head(self.with_sink(np.zeros_like(sink.value), values), 1, 0, 2)
        weight, bias = array(attention.to_query.weight).T, array(attention.to_query.bias)
        scaled = np.vstack([weight, bias]) * self.head_width**-0.5  # (D + 1, D)
        split = scaled.reshape(self.width + 1, self.heads, self.head_width)
        wider = np.pad(split, ((0, 0), (0, 0), (0, 1)))
        wider[-1, :, -1] = 1.0
        wider = wider.reshape(self.width + 1, -1)
        q = self.reshape(self.affine(x, wider[:-1], wider[-1]), -1, self.heads, self.head_width + 1)
        score = self.op("MatMul", self.op("Transpose", q, perm=[1, 0, 2]), k)  # (H, C, 1 + N)
        return self.weighted(score, v, 1, everything.seen)

    def query(self, x: str, attention: CrossAttention) -> str:
        """(rows, D) -> queries already scaled for the scores (rows, D)."""
        layer, scale = attention.to_query, self.head_width**-0.5
        return self.affine(x, array(layer.weight).T * scale, array(layer.bias) * scale)

    def last(self, shape: str) -> str:
        """Return the last entry of a shape."""
        return self.columns(shape, -1, 2**31, axis=0)

    def first_latents(self, block: LatentBlock, groups: Sequence[Group]) -> tuple[str, str]:
        """Return rows (R, D) after the first reading, and where each coalition's are (C, L)."""
        rows, places, start = [], [], self.constant(0)
        for group in groups:
            read = linear(self, self.first_read(block, group), block.read.to_out)
            latents = self.constant(array(self.network.latents)[group.latents])  # (l, D)
            row = self.op("Add", self.reshape(read, -1, group.length, self.width), latents)
            row = self.reshape(row, -1, self.width)
            first = self.op("Mul", group.run, self.constant(group.length))
            first = self.op("Unsqueeze", self.op("Add", first, start), self.constant([1]))
            places.append(self.op("Add", first, self.constant(np.arange(group.length))))
            rows.append(row)
            count = self.op("Squeeze", self.op("Shape", row, start=0, end=1))
            start = self.op("Add", start, count)
        return self.op("Concat", *rows, axis=0), self.op("Concat", *places, axis=1)

    def later_read(self, x: str, block: LatentBlock, groups: Sequence[Group], layer: int) -> str:
        """(C * L, D) -> (C, L, D), before the output projection."""
        normed = self.reshape(layer_norm(self, x, block.read_norm), -1, self.count, self.width)
        parts = []
        for group in groups:
            part = self.columns(normed, group.latents.start, group.latents.stop)
            query = self.query(self.reshape(part, -1, self.width), block.read)
            parts.append(self.attend(query, group.length, group.memory, group.seen, layer)[0])
        return self.op("Concat", *parts, axis=1)

    def mix(self, x: str, places: str, block: LatentBlock, wanted: int) -> str:
        """Self-attention of the last ``wanted`` latents over all: (R, D) -> (C * wanted, D)."""
        d = self.width
        weight, bias = array(block.to_mix.weight).T, array(block.to_mix.bias)
        asked = self.latest(x, places, wanted)
        scale = self.head_width**-0.5
        query = self.affine(asked, weight[:, :d] * scale, bias[:d] * scale)
        key = self.affine(x, weight[:, d : 2 * d], bias[d : 2 * d])
        value = self.affine(x, weight[:, 2 * d :], bias[2 * d :])
        q = self.reshape(query, -1, wanted, 1, d)
        k, v = (
            self.reshape(self.latest(one, places, self.count), -1, 1, self.count, d)
            for one in (key, value)
        )
        by_head = np.repeat(np.eye(self.heads), self.head_width, axis=0)  # (D, H)
        score = self.op("MatMul", self.op("Mul", q, k), self.constant(by_head))
        weights = self.op("Softmax", score, axis=2)  # (C, wanted, L, H)
        shares = self.op("Mul", self.op("MatMul", weights, self.constant(by_head.T)), v)
        mixed = self.op("ReduceSum", shares, self.constant([2]), keepdims=0)  # (C, wanted, D)
        rows = self.reshape(mixed, -1, d)
        return linear(self, rows, block.from_mix)

    def affine(self, x: str, weight: np.ndarray, bias: np.ndarray) -> str:
        """(rows, in) -> (rows, out)."""
        return self.op("Gemm", x, self.constant(weight), self.constant(bias))

    def latest(self, x: str, places: str, wanted: int) -> str:
        """Rows of the last latents of each coalition: (R, D) -> (C * wanted, D).

        ``places`` (C, L) says where they are; "" where they stand one after the other.
        """
        if places:
            some = self.columns(places, self.count - wanted, self.count)
            return self.op("Gather", x, self.reshape(some, -1))
        if wanted == self.count:
            return x
        latents = self.reshape(x, -1, self.count, self.width)
        return self.reshape(self.columns(latents, self.count - wanted, self.count), -1, self.width)

    def digest(self, x: str, block: LatentBlock) -> str:
        """(R, D) -> (R, D)."""
        return linear(self, self.op("Gelu", linear(self, x, block.widen)), block.narrow)

    def block(self, x: str | None, step: int, groups: Sequence[Group]) -> str:
        """Latents (C * L, D), or None before the first block -> the same.

        After the last block only the shared latents are asked for the query of the pooling, so
        that the others end where the shared ones have read them.
        """
        block, places = self.network.block(step), ""
        if x is None:
            x, places = self.first_latents(block, groups)
        else:
            read = self.later_read(x, block, groups, step % len(self.network.blocks))
            out = linear(self, self.reshape(read, -1, self.width), block.read.to_out)
            x = self.op("Add", x, out)
        config = self.network.config
        wanted = config.shared_latents if step == config.blocks - 1 else config.latents
        mixed = self.mix(layer_norm(self, x, block.mix_norm), places, block, wanted)
        x = self.op("Add", self.latest(x, places, wanted), mixed)
        return self.op("Add", x, self.digest(layer_norm(self, x, block.digest_norm), block))

    def pool(self, x: str, everything: Group) -> tuple[str, str]:
        """Shared latents (C * shared, D) -> logits (C, T), attention of the first coalition (N,).

        Averaging the heads of every coalition would cost a twelfth of the graph, for nobody.
        """
        network = self.network
        latents = self.reshape(x, -1, network.config.shared_latents, self.width)
        mean = self.op("ReduceMean", latents, self.constant([1]), keepdims=0)  # (C, D)
        read, weights = self.pooled(layer_norm(self, mean, network.pool_norm), everything)
        pooled = linear(self, self.reshape(read, -1, self.width), network.pool.to_out)
        pooled = self.op("Mul", pooled, self.constant(array(network.gain)))
        first, last_layer = (cast(nn.Linear, network.head[index]) for index in (0, 3))
        logits = linear(self, self.op("Gelu", linear(self, pooled, first)), last_layer)
        of_first = self.columns(weights, 0, 1)  # (H, 1, 1, 1 + N)
        mean_weights = self.op("ReduceMean", of_first, self.constant([0, 1, 2]), keepdims=0)
        return logits, self.columns(mean_weights, 1, 2**31, axis=0)


def fuse_graph(network: FusionNetwork) -> onnx.ModelProto:
    """Return the graph of ``FusionNetwork.fuse`` for one patient and C coalitions."""
    g = FuseGraph(network)
    groups = g.groups()
    x: str | None = None
    for step in range(network.config.blocks):
        x = g.block(x, step, groups)
    if x is None:
        raise ValueError("a network needs at least one block")
    logits, attention = g.pool(x, groups[-1])
    g.name(logits, "logits")
    g.name(attention, "attention")
    variables, width = len(network.structured.variable), network.config.memory_width
    sizes: tuple[int | str, ...] = (variables, "S", "K")
    return g.finish(
        "fuse",
        {
            **{n: (TensorProto.FLOAT, (s, width)) for n, s in zip(MEMORY, sizes, strict=True)},
            "mask": (TensorProto.BOOL, ("C", "N")),
        },
        {"logits": ("C", g.tasks), "attention": ("N",)},
    )
