"""Write model/sentence_encoder.onnx: the graph of all-MiniLM-L6-v2 without its weights.

    python -m model.training.sentence_graph model/sentence_encoder.onnx

The graph names its weights as the published safetensors file does; the runtime hands them over
when it loads. So the repository holds some kilobytes, and no weight is stored twice.

Axes: B sentences, T word pieces, R = B * T rows, H heads, D width.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import onnx
from onnx import TensorProto

from model.training.graph import GraphWriter

LAYERS: Final = 6
WIDTH: Final = 384
HEADS: Final = 12
HIDDEN: Final = 1536
VOCABULARY: Final = 30_522
POSITIONS: Final = 512
EPSILON: Final = 1e-12


class SentenceGraph(GraphWriter):
    """A graph whose weights keep the names of the published file."""

    def weight(self, name: str, *shape: int) -> str:
        """Declare a weight that the runtime provides."""
        return self.external(name, shape, "model.safetensors")

    def linear(self, x: str, name: str, inputs: int, outputs: int) -> str:
        """(R, inputs) -> (R, outputs) with weights stored as (outputs, inputs)."""
        weight = self.weight(f"{name}.weight", outputs, inputs)
        return self.op("Gemm", x, weight, self.weight(f"{name}.bias", outputs), transB=1)

    def layer_norm(self, x: str, name: str) -> str:
        """Normalise the last axis."""
        scale, bias = (self.weight(f"{name}.{part}", WIDTH) for part in ("weight", "bias"))
        return self.op("LayerNormalization", x, scale, bias, epsilon=EPSILON)


def embeddings(g: SentenceGraph) -> str:
    """input_ids (B, T) -> (R, D)."""
    name = "embeddings"
    words = g.weight(f"{name}.word_embeddings.weight", VOCABULARY, WIDTH)
    places = g.weight(f"{name}.position_embeddings.weight", POSITIONS, WIDTH)
    kinds = g.weight(f"{name}.token_type_embeddings.weight", 2, WIDTH)
    length = g.op("Shape", "input_ids", start=1, end=2)
    zero = g.constant([0])
    place = g.op("Slice", places, zero, length, zero)  # (T, D)
    kind = g.op("Gather", kinds, zero)  # (1, D): one sentence, never a pair
    x = g.op("Add", g.op("Gather", words, "input_ids"), g.op("Add", place, kind))
    return g.layer_norm(g.reshape(x, -1, WIDTH), f"{name}.LayerNorm")


def heads(g: SentenceGraph, x: str, shape: str, order: list[int]) -> str:
    """(R, D) -> (B, T, H, D/H) -> permuted."""
    return g.op("Transpose", g.op("Reshape", x, shape), perm=order)


def attention(g: SentenceGraph, x: str, name: str, shape: str, hidden: str) -> str:
    """Self-attention of one layer: (R, D) -> (R, D)."""
    query, key, value = (
        g.linear(x, f"{name}.self.{part}", WIDTH, WIDTH) for part in ("query", "key", "value")
    )
    scores = g.op(
        "MatMul", heads(g, query, shape, [0, 2, 1, 3]), heads(g, key, shape, [0, 2, 3, 1])
    )  # (B, H, T, T)
    scaled = g.op("Mul", scores, g.constant((WIDTH // HEADS) ** -0.5))
    weights = g.op("Softmax", g.op("Add", scaled, hidden), axis=-1)
    read = g.op("MatMul", weights, heads(g, value, shape, [0, 2, 1, 3]))  # (B, H, T, D/H)
    rows = g.reshape(g.op("Transpose", read, perm=[0, 2, 1, 3]), -1, WIDTH)
    out = g.linear(rows, f"{name}.output.dense", WIDTH, WIDTH)
    return g.layer_norm(g.op("Add", out, x), f"{name}.output.LayerNorm")


def layer(g: SentenceGraph, x: str, index: int, shape: str, hidden: str) -> str:
    """One transformer layer: (R, D) -> (R, D)."""
    name = f"encoder.layer.{index}"
    x = attention(g, x, f"{name}.attention", shape, hidden)
    wide = g.op("Gelu", g.linear(x, f"{name}.intermediate.dense", WIDTH, HIDDEN))
    out = g.linear(wide, f"{name}.output.dense", HIDDEN, WIDTH)
    return g.layer_norm(g.op("Add", out, x), f"{name}.output.LayerNorm")


def pooled(g: SentenceGraph, x: str, size: str, mask: str) -> None:
    """Mean over word pieces that are not padding, to unit length: (R, D) -> (B, D)."""
    tokens = g.op("Reshape", x, g.op("Concat", size, g.constant([WIDTH]), axis=0))  # (B, T, D)
    row = g.op("Unsqueeze", mask, g.constant([1]))  # (B, 1, T)
    total = g.op("Squeeze", g.op("MatMul", row, tokens), g.constant([1]))  # (B, D)
    mean = g.op("Div", total, g.op("ReduceSum", mask, g.constant([1]), keepdims=1))
    g.name(g.op("LpNormalization", mean, axis=1, p=2), "embedding")


def sentence_graph() -> onnx.ModelProto:
    """Return the graph: input_ids and attention_mask (B, T) -> embedding (B, D)."""
    g = SentenceGraph()
    mask = g.op("Cast", "attention_mask", to=TensorProto.FLOAT)  # (B, T)
    away = g.op("Mul", g.op("Sub", mask, g.constant(1.0)), g.constant(1e9))
    hidden = g.op("Unsqueeze", away, g.constant([1, 2]))  # (B, 1, 1, T)
    size = g.op("Shape", "input_ids")
    shape = g.op("Concat", size, g.constant([HEADS, WIDTH // HEADS]), axis=0)
    x = embeddings(g)
    for index in range(LAYERS):
        x = layer(g, x, index, shape, hidden)
    pooled(g, x, size, mask)
    pieces = (TensorProto.INT64, ("B", "T"))
    return g.finish(
        "all-MiniLM-L6-v2",
        {"input_ids": pieces, "attention_mask": pieces},
        {"embedding": ("B", WIDTH)},
    )


def main() -> None:
    """Write the graph to the path given."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m model.training.sentence_graph PATH")
    Path(sys.argv[1]).write_bytes(sentence_graph().SerializeToString())


if __name__ == "__main__":
    main()
