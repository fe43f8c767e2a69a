"""encode.onnx: the arrays of one record -> the memory that all coalitions share.

Axes: V variables, S sentences, K patches, F features of the quantile encoding, D width,
M memory width. S and K are at least 1; the caller pads an absent modality and hides the padding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto
from torch import Tensor, nn

from model.tokens import PATCH_STATS, SENTENCE_FEATURES, STRUCTURED_STATS
from model.training.encoders import (
    DeviceEncoder,
    NoteEncoder,
    QuantileEncoding,
    StructuredEncoder,
)
from model.training.graph import GraphWriter
from model.training.network import FusionNetwork


def array(tensor: Tensor) -> np.ndarray:
    """Return the weights as float32."""
    return tensor.detach().cpu().float().numpy()


def linear(g: GraphWriter, x: str, layer: nn.Linear) -> str:
    """(rows, in) -> (rows, out)."""
    weight = g.constant(array(layer.weight).T)
    if layer.bias is None:
        return g.op("MatMul", x, weight)
    return g.op("Gemm", x, weight, g.constant(array(layer.bias)))


def layer_norm(g: GraphWriter, x: str, layer: nn.LayerNorm) -> str:
    """Normalise the last axis."""
    scale, bias = g.constant(array(layer.weight)), g.constant(array(layer.bias))
    return g.op("LayerNormalization", x, scale, bias, epsilon=layer.eps)


def quantile_encoding(g: GraphWriter, stats: str, kind: str | None, layer: QuantileEncoding) -> str:
    """(n, stats) -> (n, F)."""
    low, width = g.constant(array(layer.low)), g.constant(array(layer.width))
    if kind is not None:
        low, width = g.op("Gather", low, kind), g.op("Gather", width, kind)
    zero, last = g.constant(0.0), g.constant([2])
    undefined = g.op("Unsqueeze", g.op("IsNaN", stats), last)  # (n, stats, 1)
    value = g.op("Where", undefined, zero, g.op("Unsqueeze", stats, last))
    filled = g.op("Div", g.op("Sub", value, low), width)  # (n, stats, bins)
    filled = g.op("Clip", filled, zero, g.constant(1.0))
    filled = g.op("Sub", filled, g.constant(array(layer.usual)))
    filled = g.op("Where", undefined, zero, filled)
    both = g.op("Concat", filled, g.op("Cast", undefined, to=TensorProto.FLOAT), axis=2)
    return g.reshape(both, -1, layer.features)


def per_row(g: GraphWriter, x: str, matrices: str) -> str:
    """(n, F), (n, F, r) -> (n, r): a matrix of its own for each row."""
    row, middle = g.op("Unsqueeze", x, g.constant([1])), g.constant([1])
    return g.op("Squeeze", g.op("MatMul", row, matrices), middle)


class Encoded(NamedTuple):
    """Names of the tokens of one modality, and of what they usually are, (n, D) each."""

    tokens: str
    usual: str


def structured(g: GraphWriter, layer: StructuredEncoder) -> Encoded:
    """Return tokens (V, D)."""
    measured = g.op("Unsqueeze", "structured_measured", g.constant([1]))  # (V, 1)
    x = quantile_encoding(g, "structured_stats", None, layer.encoding)
    code = per_row(g, x, g.constant(array(layer.project)))
    code = g.op("Add", code, g.constant(array(layer.bias)))
    code = g.op("Where", measured, code, g.constant(array(layer.not_measured)))
    token = linear(g, g.op("Gelu", code), layer.expand)
    usual = g.constant(array(layer.variable + layer.expand.bias))
    return Encoded(g.op("Add", token, g.constant(array(layer.variable))), usual)


def notes(g: GraphWriter, layer: NoteEncoder) -> Encoded:
    """Return tokens (S, D)."""
    content = g.op("Sub", "sentence_embeddings", g.constant(array(layer.mean)))
    content = g.op("Mul", content, g.constant(array(layer.scale)))
    gate = g.op("Add", linear(g, "sentence_features", layer.gate), g.constant(1.0))
    meaning = g.op("Mul", linear(g, content, layer.project), gate)
    kind = g.op("Gather", g.constant(array(layer.note_type.weight)), "sentence_note_type")
    flags = linear(g, "sentence_features", layer.features)
    bias = g.constant(array(layer.project.bias + layer.features.bias))
    return Encoded(g.op("Add", g.op("Add", meaning, flags), kind), g.op("Add", kind, bias))


def device(g: GraphWriter, layer: DeviceEncoder) -> Encoded:
    """Return tokens (K, D)."""

    def of(table: Tensor, index: str) -> str:
        return g.op("Gather", g.constant(array(table)), index)

    x = quantile_encoding(g, "patch_stats", "patch_channel", layer.encoding)
    code = per_row(g, x, of(layer.project, "patch_channel"))
    token = linear(g, g.op("Gelu", code), layer.expand)
    where = g.op("Add", of(layer.channel, "patch_channel"), of(layer.patch, "patch_index"))
    usual = g.op("Add", where, g.constant(array(layer.expand.bias)))
    return Encoded(g.op("Add", token, where), usual)


def remembered(g: GraphWriter, network: FusionNetwork, encoded: Encoded, modality: int) -> str:
    """Return the memory of one modality (n, M), as ``FusionNetwork.remembered`` does."""
    place = g.constant(array(network.modality)[modality])
    tokens, usual = (
        layer_norm(g, g.op("Add", name, place), network.token_norm) for name in encoded
    )
    weight, d = array(network.to_memory.weight).T, network.config.width  # (D, M)
    read = g.op("MatMul", tokens, g.constant(weight[:, :-d]))
    pooled = g.op("MatMul", g.op("Sub", tokens, usual), g.constant(weight[:, -d:]))
    return g.op("Concat", read, pooled, axis=1)


def encode_graph(network: FusionNetwork) -> onnx.ModelProto:
    """Return the graph of ``FusionNetwork.encode`` for one record."""
    g = GraphWriter()
    parts = structured(g, network.structured), notes(g, network.note), device(g, network.device)
    names = "memory_structured", "memory_note", "memory_device"
    for index, (name, encoded) in enumerate(zip(names, parts, strict=True)):
        g.name(remembered(g, network, encoded, index), name)
    variables, width = len(network.structured.variable), network.config.memory_width
    return g.finish(
        "encode",
        {
            "structured_stats": (TensorProto.FLOAT, (variables, len(STRUCTURED_STATS))),
            "structured_measured": (TensorProto.BOOL, (variables,)),
            "sentence_embeddings": (TensorProto.FLOAT, ("S", network.note.project.in_features)),
            "sentence_features": (TensorProto.FLOAT, ("S", len(SENTENCE_FEATURES))),
            "sentence_note_type": (TensorProto.INT64, ("S",)),
            "patch_stats": (TensorProto.FLOAT, ("K", len(PATCH_STATS))),
            "patch_channel": (TensorProto.INT64, ("K",)),
            "patch_index": (TensorProto.INT64, ("K",)),
        },
        {names[0]: (variables, width), names[1]: ("S", width), names[2]: ("K", width)},
    )
