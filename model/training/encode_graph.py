"""encode.onnx: the arrays of one record -> the memory that all coalitions share.

Axes: V variables, S sentences, K patches, F features of the quantile encoding, D width, T tasks,
M memory width. S and K are at least 1; the caller pads an absent modality and hides the padding.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto
from torch import Tensor, nn

from model.tokens import EMBEDDING_WIDTH, PATCH_STATS, SENTENCE_FEATURES, STRUCTURED_STATS
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


def structured(g: GraphWriter, layer: StructuredEncoder) -> tuple[str, str | None]:
    """Return tokens (V, D) and additive terms (V, T), if any."""
    measured = g.op("Unsqueeze", "structured_measured", g.constant([1]))  # (V, 1)
    x = quantile_encoding(g, "structured_stats", None, layer.encoding)
    code = per_row(g, x, g.constant(array(layer.project)))
    code = g.op("Add", code, g.constant(array(layer.bias)))
    code = g.op("Where", measured, code, g.constant(array(layer.not_measured)))
    token = linear(g, g.op("Gelu", code), layer.expand)
    token = g.op("Add", token, g.constant(array(layer.variable)))
    if not layer.additive_path:
        return token, None
    additive = per_row(g, x, g.constant(array(layer.additive)))
    absent = g.constant(array(layer.additive_not_measured))
    return token, g.op("Where", measured, additive, absent)


def notes(g: GraphWriter, layer: NoteEncoder) -> tuple[str, str | None]:
    """Return tokens (S, D) and additive terms (S, T), if any."""
    gate = g.op("Add", linear(g, "sentence_features", layer.gate), g.constant(1.0))
    meaning = g.op("Mul", linear(g, "sentence_embeddings", layer.project), gate)
    kind = g.op("Gather", g.constant(array(layer.note_type.weight)), "sentence_note_type")
    flags = linear(g, "sentence_features", layer.features)
    token = g.op("Add", g.op("Add", meaning, flags), kind)
    return token, None if layer.additive is None else linear(g, token, layer.additive)


def device(g: GraphWriter, layer: DeviceEncoder) -> tuple[str, str | None]:
    """Return tokens (K, D) and additive terms (K, T), if any."""

    def of(table: Tensor, index: str) -> str:
        return g.op("Gather", g.constant(array(table)), index)

    x = quantile_encoding(g, "patch_stats", "patch_channel", layer.encoding)
    code = per_row(g, x, of(layer.project, "patch_channel"))
    token = linear(g, g.op("Gelu", code), layer.expand)
    token = g.op("Add", token, of(layer.channel, "patch_channel"))
    token = g.op("Add", token, of(layer.patch, "patch_index"))
    if not layer.additive_path:
        return token, None
    additive = per_row(g, x, of(layer.additive, "patch_channel"))
    return token, g.op("Mul", additive, of(layer.additive_patch, "patch_index"))


def encode_graph(network: FusionNetwork) -> onnx.ModelProto:
    """Return the graph of ``FusionNetwork.encode`` for one record."""
    g = GraphWriter()
    pairs = structured(g, network.structured), notes(g, network.note), device(g, network.device)
    modality = array(network.modality)
    names = "memory_structured", "memory_note", "memory_device"
    for index, (name, (token, additive)) in enumerate(zip(names, pairs, strict=True)):
        placed = g.op("Add", token, g.constant(modality[index]))
        normed = layer_norm(g, placed, network.token_norm)
        columns = [linear(g, normed, network.to_memory)]
        if network.config.sum_units:
            columns.append(linear(g, normed, network.to_sum))
        if additive is not None:
            columns.append(additive)
        g.name(g.op("Concat", *columns, axis=1), name)
    variables, width = len(network.structured.variable), network.config.memory_width
    return g.finish(
        "encode",
        {
            "structured_stats": (TensorProto.FLOAT, (variables, len(STRUCTURED_STATS))),
            "structured_measured": (TensorProto.BOOL, (variables,)),
            "sentence_embeddings": (TensorProto.FLOAT, ("S", EMBEDDING_WIDTH)),
            "sentence_features": (TensorProto.FLOAT, ("S", len(SENTENCE_FEATURES))),
            "sentence_note_type": (TensorProto.INT64, ("S",)),
            "patch_stats": (TensorProto.FLOAT, ("K", len(PATCH_STATS))),
            "patch_channel": (TensorProto.INT64, ("K",)),
            "patch_index": (TensorProto.INT64, ("K",)),
        },
        {names[0]: (variables, width), names[1]: ("S", width), names[2]: ("K", width)},
    )
