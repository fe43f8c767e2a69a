"""Writing ONNX graphs node by node.

The served graphs are written by hand, not traced: a traced graph of the fusion recomputes for each
coalition what a patient needs once, and its shape changes with every release of the tracer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET: Final = 20  # the first with Gelu
IR_VERSION: Final = 9  # understood by every onnxruntime that knows this opset

Shape = Sequence[str | int]


class GraphWriter:
    """Collects nodes and weights; every method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.stored: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Append a node with several outputs."""
        outputs = [f"{kind.lower()}_{len(self.nodes)}_{index}" for index in range(count)]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, **attributes))
        return outputs

    def name(self, value: str, name: str) -> None:
        """Give a value the name of an output of the graph."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))

    def constant(self, value: npt.ArrayLike) -> str:
        """Store an array, once: integers as int64, all else as float32."""
        given = np.asarray(value)
        array = given.astype(np.int64 if np.issubdtype(given.dtype, np.integer) else np.float32)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.stored:
            self.stored[key] = f"constant_{len(self.weights)}"
            self.weights.append(numpy_helper.from_array(array, self.stored[key]))
        return self.stored[key]

    def external(self, name: str, shape: Sequence[int], location: str) -> str:
        """Declare a float32 weight that the runtime provides."""
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        self.weights.append(tensor)
        return name

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape; 0 keeps a dimension, -1 is what is left."""
        return self.op("Reshape", x, self.constant(shape))

    def columns(self, x: str, start: int, end: int, axis: int = 1) -> str:
        """Return x[..., start:end] along an axis."""
        bounds = [self.constant([number]) for number in (start, end, axis)]
        return self.op("Slice", x, *bounds)

    def finish(
        self,
        name: str,
        inputs: Mapping[str, tuple[Any, Shape]],
        outputs: Mapping[str, Shape],
    ) -> onnx.ModelProto:
        """Return the checked model; inputs have an element type and a shape, outputs are floats."""
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(n, kind, list(s)) for n, (kind, s) in inputs.items()],
            [
                helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s))
                for n, s in outputs.items()
            ],
            initializer=self.weights,
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="meam",
        )
