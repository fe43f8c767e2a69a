"""Graphs of sentence encoders without their weights: BERT, RoBERTa, DistilBERT, MPNet.

    python -m model.training.sentence_graph model/sentence_encoder.onnx

writes that of all-MiniLM-L6-v2. A graph names its weights as the published safetensors file does;
the runtime hands them over when it loads. So the repository holds some kilobytes, and no weight
is stored twice.

Axes: B sentences, T word pieces, R = B * T rows, H heads, D width.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto

from model.training.graph import GraphWriter

PARTS: Final = "weight", "bias"
FARTHEST: Final = 128  # of MPNet's relative positions; farther pieces share a bucket


@dataclass(frozen=True, slots=True)
class LayerNames:
    """Where the weights of one layer stand, each behind ``layer``.<number>."""

    layer: str = "encoder.layer"
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    read: str = "attention.output.dense"
    read_norm: str = "attention.output.LayerNorm"
    wide: str = "intermediate.dense"
    narrow: str = "output.dense"
    norm: str = "output.LayerNorm"


BERT_NAMES: Final = LayerNames()
MPNET_NAMES: Final = LayerNames(
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    read="attention.attn.o",
    read_norm="attention.LayerNorm",
)
DISTILBERT_NAMES: Final = LayerNames(
    layer="transformer.layer",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    read="attention.out_lin",
    read_norm="sa_layer_norm",
    wide="ffn.lin1",
    narrow="ffn.lin2",
    norm="output_layer_norm",
)


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """Sizes and kind of one encoder."""

    name: str
    layers: int
    width: int
    heads: int
    hidden: int
    vocabulary: int
    positions: int  # rows of the table of positions
    epsilon: float
    types: int = 2  # rows of the table of token types; 0: none
    first_position: int = 0  # RoBERTa and MPNet count from behind the padding's
    buckets: int = 0  # of MPNet's relative positions; 0: none
    most_pieces: int = 512
    activation: str = "Gelu"
    activation_attributes: Mapping[str, Any] = field(default_factory=dict)
    names: LayerNames = BERT_NAMES


MINILM: Final = EncoderShape(
    name="all-MiniLM-L6-v2",
    layers=6,
    width=384,
    heads=12,
    hidden=1536,
    vocabulary=30_522,
    positions=512,
    epsilon=1e-12,
)


class SentenceGraph(GraphWriter):
    """A graph whose weights keep the names of the published file."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.named: list[str] = []  # weights, in the order of use

    def weight(self, name: str, *shape: int) -> str:
        """Declare a weight that the runtime provides."""
        self.named.append(name)
        return self.external(name, shape, "model.safetensors")

    def linear(self, x: str, name: str, inputs: int, outputs: int) -> str:
        """(R, inputs) -> (R, outputs) with weights stored as (outputs, inputs)."""
        weight = self.weight(f"{name}.weight", outputs, inputs)
        return self.op("Gemm", x, weight, self.weight(f"{name}.bias", outputs), transB=1)

    def layer_norm(self, x: str, name: str) -> str:
        """Normalise the last axis."""
        scale, bias = (self.weight(f"{name}.{part}", self.shape.width) for part in PARTS)
        return self.op("LayerNormalization", x, scale, bias, epsilon=self.shape.epsilon)


def embeddings(g: SentenceGraph) -> str:
    """input_ids (B, T) -> (R, D)."""
    name, shape = "embeddings", g.shape
    words = g.weight(f"{name}.word_embeddings.weight", shape.vocabulary, shape.width)
    places = g.weight(f"{name}.position_embeddings.weight", shape.positions, shape.width)
    kinds = (
        g.weight(f"{name}.token_type_embeddings.weight", shape.types, shape.width)
        if shape.types
        else ""
    )
    length = g.op("Shape", "input_ids", start=1, end=2)
    zero = first = g.constant([0])
    if shape.first_position:
        first = g.constant([shape.first_position])
        length = g.op("Add", length, first)
    place = g.op("Slice", places, first, length, zero)  # (T, D)
    kind = g.op("Gather", kinds, zero) if shape.types else ""  # (1, D): one sentence, no pair
    word = g.op("Gather", words, "input_ids")  # (B, T, D)
    x = g.op("Add", word, g.op("Add", place, kind) if shape.types else place)
    return g.layer_norm(g.reshape(x, -1, shape.width), f"{name}.LayerNorm")


def heads(g: SentenceGraph, x: str, shape: str, order: list[int]) -> str:
    """(R, D) -> (B, T, H, D/H) -> permuted."""
    return g.op("Transpose", g.op("Reshape", x, shape), perm=order)


def attention(g: SentenceGraph, x: str, name: str, shape: str, hidden: str) -> str:
    """Self-attention of one layer: (R, D) -> (R, D). ``hidden`` is added to the scores."""
    names, width = g.shape.names, g.shape.width
    query, key, value = (
        g.linear(x, f"{name}.{part}", width, width)
        for part in (names.query, names.key, names.value)
    )
    scores = g.op(
        "MatMul", heads(g, query, shape, [0, 2, 1, 3]), heads(g, key, shape, [0, 2, 3, 1])
    )  # (B, H, T, T)
    scaled = g.op("Mul", scores, g.constant((width // g.shape.heads) ** -0.5))
    weights = g.op("Softmax", g.op("Add", scaled, hidden), axis=-1)
    read = g.op("MatMul", weights, heads(g, value, shape, [0, 2, 1, 3]))  # (B, H, T, D/H)
    rows = g.reshape(g.op("Transpose", read, perm=[0, 2, 1, 3]), -1, width)
    out = g.linear(rows, f"{name}.{names.read}", width, width)
    return g.layer_norm(g.op("Add", out, x), f"{name}.{names.read_norm}")


def layer(g: SentenceGraph, x: str, index: int, shape: str, hidden: str) -> str:
    """One transformer layer: (R, D) -> (R, D)."""
    names, sizes = g.shape.names, g.shape
    name = f"{names.layer}.{index}"
    x = attention(g, x, name, shape, hidden)
    wide = g.linear(x, f"{name}.{names.wide}", sizes.width, sizes.hidden)
    wide = g.op(sizes.activation, wide, **sizes.activation_attributes)
    out = g.linear(wide, f"{name}.{names.narrow}", sizes.hidden, sizes.width)
    return g.layer_norm(g.op("Add", out, x), f"{name}.{names.norm}")


def distances(g: SentenceGraph) -> str:
    """Return MPNet's bias of each pair of positions, (1, H, T, T)."""
    table = g.weight("encoder.relative_attention_bias.weight", g.shape.buckets, g.shape.heads)
    length = g.op("Squeeze", g.op("Shape", "input_ids", start=1, end=2), g.constant([0]))
    places = g.op("Range", g.constant(0), length, g.constant(1))  # (T,)
    rows, columns = (g.op("Unsqueeze", places, g.constant([axis])) for axis in (1, 0))
    apart = g.op("Add", g.op("Sub", columns, rows), g.constant(g.shape.most_pieces - 1))
    numbers = g.op("Gather", g.constant(distance_buckets(g.shape)), apart)  # (T, T)
    bias = g.op("Transpose", g.op("Gather", table, numbers), perm=[2, 0, 1])  # (H, T, T)
    return g.op("Unsqueeze", bias, g.constant([0]))


def distance_buckets(shape: EncoderShape) -> np.ndarray:
    """Return the bucket of each distance from -(most_pieces - 1) to most_pieces - 1.

    Half of the buckets are for pieces behind; of each half, the first half is for single
    distances and the second for ranges that widen up to FARTHEST.
    """
    half = shape.buckets // 2
    exact = half // 2
    apart = np.arange(1 - shape.most_pieces, shape.most_pieces)
    far = np.maximum(np.abs(apart), 1).astype(np.float32)
    steps = np.log(far / exact) / math.log(FARTHEST / exact) * (half - exact)
    ranged = np.minimum(exact + steps.astype(np.int64), half - 1)
    return np.where(apart > 0, half, 0) + np.where(np.abs(apart) < exact, np.abs(apart), ranged)


def pooled(g: SentenceGraph, x: str, size: str, mask: str) -> None:
    """Mean over word pieces that are not padding, to unit length: (R, D) -> (B, D)."""
    whole = g.op("Concat", size, g.constant([g.shape.width]), axis=0)
    tokens = g.op("Reshape", x, whole)  # (B, T, D)
    row = g.op("Unsqueeze", mask, g.constant([1]))  # (B, 1, T)
    total = g.op("Squeeze", g.op("MatMul", row, tokens), g.constant([1]))  # (B, D)
    mean = g.op("Div", total, g.op("ReduceSum", mask, g.constant([1]), keepdims=1))
    g.name(g.op("LpNormalization", mean, axis=1, p=2), "embedding")


def write_graph(shape: EncoderShape) -> tuple[onnx.ModelProto, list[str]]:
    """Return the graph, input_ids and attention_mask (B, T) -> embedding (B, D), and its weights.

    The weights are named in the order of their use.
    """
    g = SentenceGraph(shape)
    mask = g.op("Cast", "attention_mask", to=TensorProto.FLOAT)  # (B, T)
    away = g.op("Mul", g.op("Sub", mask, g.constant(1.0)), g.constant(1e9))
    hidden = g.op("Unsqueeze", away, g.constant([1, 2]))  # (B, 1, 1, T)
    if shape.buckets:
        hidden = g.op("Add", hidden, distances(g))  # (B, H, T, T)
    size = g.op("Shape", "input_ids")
    parts = g.op("Concat", size, g.constant([shape.heads, shape.width // shape.heads]), axis=0)
    x = embeddings(g)
    for index in range(shape.layers):
        x = layer(g, x, index, parts, hidden)
    pooled(g, x, size, mask)
    pieces = (TensorProto.INT64, ("B", "T"))
    inputs = {"input_ids": pieces, "attention_mask": pieces}
    return g.finish(shape.name, inputs, {"embedding": ("B", shape.width)}), g.named


def sentence_graph() -> onnx.ModelProto:
    """Return the graph of all-MiniLM-L6-v2."""
    return write_graph(MINILM)[0]


def main() -> None:
    """Write the graph to the path given."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m model.training.sentence_graph PATH")
    Path(sys.argv[1]).write_bytes(sentence_graph().SerializeToString())


if __name__ == "__main__":
    main()
