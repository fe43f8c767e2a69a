"""The graph of a sentence encoder with its products in integers of 8 bits.

Every product with a weight becomes a product of 8-bit integers, and the table of word pieces is
stored in 8 bits. A row of activations has a scale of its own, so that a sentence has the same
vector in any company, which one scale for the whole batch (DynamicQuantizeLinear) would not give.
Before that, each channel is divided by a factor that splits its range evenly between activations
and weights (SmoothQuant, Xiao et al. 2023): a few channels are far larger than the others, and
they would leave the others no steps.

Weights use 127 steps of the 255 that fit: where a processor adds two products of 8 bits in 16
(AVX2), larger ones would saturate, and one processor would say something else than another.

Axes: R word pieces of all sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from model.exported_encoder import WEIGHTS
from model.sentence_encoder import Floats, Tensor

WEIGHT_STEPS: Final = 63  # on each side of zero
ACTIVATION_STEPS: Final = 127
ZERO: Final = 128  # of activations, which are unsigned
BALANCE: Final = 0.5  # of the range of a channel, on a logarithmic scale, to the weights
SMALLEST: Final = 1e-6
LARGEST_TABLE: Final = 1000  # rows from which on a table of embeddings is worth quantising
CONTRIB: Final = "com.microsoft"  # operators that every onnxruntime has


@dataclass(frozen=True, slots=True)
class Product:
    """Products of the same activations with one or more weights."""

    activations: str
    weights: tuple[str, ...]


def products(graph: onnx.ModelProto, tensors: Mapping[str, Tensor]) -> list[Product]:
    """Return what is multiplied with weights of the file, by activations."""
    by_input: dict[str, list[str]] = {}
    for node in graph.graph.node:
        if node.op_type == "Gemm" and node.input[1] in tensors:
            by_input.setdefault(node.input[0], []).append(node.input[1])
    return [Product(activations, tuple(weights)) for activations, weights in by_input.items()]


class Int8Graph:
    """The graph with its products in integers, and the tensors that it names."""

    def __init__(
        self, graph: onnx.ModelProto, tensors: Mapping[str, Tensor], ranges: Mapping[str, Floats]
    ) -> None:
        self._source = graph
        self._read = tensors
        self.tensors: dict[str, npt.NDArray[np.generic]] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._external: list[onnx.TensorProto] = []
        self._replaced: set[str] = set()
        self._integers: dict[str, tuple[str, str]] = {}
        self._smoothing = {
            product.activations: smoothing(
                ranges[product.activations], [tensors[name] for name in product.weights]
            )
            for product in products(graph, tensors)
        }

    def graph(self) -> onnx.ModelProto:
        """Return it, and fill ``tensors``."""
        for node in self._source.graph.node:
            if node.op_type == "Gemm" and node.input[1] in self._read:
                self._product(node)
            elif node.op_type == "Gather" and self._is_table(node.input[0]):
                self._table(node)
            else:
                self._nodes.append(node)
        kept = [one for one in self._source.graph.initializer if one.name not in self._replaced]
        for one in kept:
            if one.name in self._read:
                self.tensors[one.name] = np.ascontiguousarray(self._read[one.name])
        constants = [
            numpy_helper.from_array(np.array(value, kind), name)
            for name, value, kind in (
                ("activation_zero", ZERO, np.uint8),
                ("activation_step", 1 / ACTIVATION_STEPS, np.float32),
                ("smallest_peak", SMALLEST, np.float32),
                ("channel_axis", [1], np.int64),
            )
        ]
        model = onnx.ModelProto()
        model.CopyFrom(self._source)
        del model.graph.node[:], model.graph.initializer[:]
        model.graph.node.extend(self._nodes)
        model.graph.initializer.extend([*kept, *self._external, *constants])
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
        return model

    def _is_table(self, name: str) -> bool:
        return name in self._read and len(self._read[name]) >= LARGEST_TABLE

    def _table(self, node: onnx.NodeProto) -> None:
        """Gather rows of 8 bits, and give them their size back."""
        name, where, out = node.input[0], node.input[1], node.output[0]
        table = np.asarray(self._read[name], np.float32)
        scale = _scale(table, ACTIVATION_STEPS)  # (rows,)
        self._store(f"{name}.int8", np.rint(table / scale[:, None]).astype(np.int8))
        self._store(f"{name}.scale", scale[:, None])
        self._replaced.add(name)
        self._op("Gather", f"{name}.int8", where, to=f"{out}.int8")
        self._op("Cast", f"{out}.int8", to=f"{out}.cast", attributes={"to": TensorProto.FLOAT})
        self._op("Gather", f"{name}.scale", where, to=f"{out}.scale")
        self._op("Mul", f"{out}.cast", f"{out}.scale", to=out)

    def _product(self, node: onnx.NodeProto) -> None:
        """(R, inputs) times weights stored as (outputs, inputs), plus bias -> (R, outputs)."""
        activations, name, bias = node.input
        out = node.output[0]
        weight = np.asarray(self._read[name], np.float32) * self._smoothing[activations]
        scale = _scale(weight, WEIGHT_STEPS)  # (outputs,)
        integers = np.rint(weight / scale[:, None]).astype(np.int8)
        self._store(f"{name}.int8", np.ascontiguousarray(integers.T))
        self._store(f"{name}.scale", scale)
        self._replaced.add(name)
        rows, peak = self._activations(activations)
        self._op(
            "MatMulIntegerToFloat",
            *(rows, f"{name}.int8", "activation_step", f"{name}.scale", "activation_zero"),
            to=f"{out}.product",
            domain=CONTRIB,
        )
        self._op("Mul", f"{out}.product", peak, to=f"{out}.sized")
        self._op("Add", f"{out}.sized", bias, to=out)

    def _activations(self, name: str) -> tuple[str, str]:
        """Return the rows in 8 bits and the largest size in each row, once for all products."""
        if name not in self._integers:
            self._store(f"{name}.smoothing", (1 / self._smoothing[name]).astype(np.float32))
            self._op("Mul", name, f"{name}.smoothing", to=f"{name}.smooth")
            self._op("Abs", f"{name}.smooth", to=f"{name}.size")
            self._op(
                "ReduceMax",
                *(f"{name}.size", "channel_axis"),
                to=f"{name}.largest",
                attributes={"keepdims": 1},
            )
            self._op("Max", f"{name}.largest", "smallest_peak", to=f"{name}.peak")
            self._op("Div", f"{name}.smooth", f"{name}.peak", to=f"{name}.unit")
            self._op(
                "QuantizeLinear",
                *(f"{name}.unit", "activation_step", "activation_zero"),
                to=f"{name}.uint8",
            )
            self._integers[name] = f"{name}.uint8", f"{name}.peak"
        return self._integers[name]

    def _op(
        self,
        kind: str,
        *inputs: str,
        to: str,
        attributes: Mapping[str, Any] | None = None,
        domain: str = "",
    ) -> None:
        node = helper.make_node(kind, list(inputs), [to], domain=domain, **(attributes or {}))
        self._nodes.append(node)

    def _store(self, name: str, array: npt.NDArray[np.generic]) -> None:
        """Keep an array for the file, and declare it in the graph."""
        kind = TensorProto.INT8 if array.dtype == np.int8 else TensorProto.FLOAT
        tensor = TensorProto(name=name, data_type=kind, dims=array.shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=WEIGHTS)
        self._external.append(tensor)
        self.tensors[name] = array


def smoothing(activations: Floats, weights: Sequence[Tensor]) -> Floats:
    """Return by what each channel of activations is divided, and of weights multiplied."""
    largest = np.maximum.reduce([np.abs(weight).max(axis=0) for weight in weights])
    factor = np.maximum(activations, SMALLEST) ** BALANCE / np.maximum(largest, SMALLEST) ** (
        1 - BALANCE
    )
    return np.asarray(factor, np.float32)


def _scale(rows: Floats, steps: int) -> Floats:
    """Return the size of one step in each row."""
    return np.asarray(np.maximum(np.abs(rows).max(axis=1), SMALLEST) / steps, np.float32)
