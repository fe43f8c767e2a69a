"""What the graphs must do at least, beside what this machine can do: the roofline.

Run as ``python -m tests.benchmarks.bench_roofline [--quick]`` from the repository root.
Multiply-adds and bytes of every node follow from the shapes that its inputs and outputs have in a
real run of the typical chart: weights and activations are read once a node and written once. The
peaks are measured in the same run, in turn with the graphs: float32 matrix products, and copying
an array that fits no cache; one thread. The ratio says how far a graph is from the better bound of
the two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from fhir_adapters.record_builder import build_record
from model.onnx_network import at_least_one
from model.predictor import Predictor, load_predictor
from model.sentence_encoder import GRAPH, find_weights
from tests.benchmarks.charts import NOW, TYPICAL, chart_of
from tests.benchmarks.harness import median, take_turns
from tests.benchmarks.saved import Result, options, run

CHECKPOINT = Path("model/checkpoints/meam-risk")
ROUNDS = 15
SQUARE = 1024
COPIED_MB = 128
COALITIONS = 512
SENTENCES, PIECES = 16, 24
Feed = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Count:
    """What a graph does in one run."""

    multiply_adds: float
    megabytes: float
    nodes: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure as the options say."""
    given = options(__doc__, arguments)
    run("roofline", given, measure)


def measure(result: Result) -> None:
    """Count, time, and compare."""
    predictor = load_predictor(CHECKPOINT, threads=1)
    graphs = _graphs(predictor, with_sentences=not result.quick)
    counts = {name: count(model, feed) for name, (model, feed) in graphs.items()}
    works = {name: _runner(model, feed) for name, (model, feed) in graphs.items()}
    rng = np.random.default_rng(1)
    first, second = (rng.random((SQUARE, SQUARE), np.float32) for _ in range(2))
    out = np.empty_like(first)
    source = np.zeros(COPIED_MB * 10**6 // 8)
    target = np.ones_like(source)
    product = onnx.load_from_string(_product().SerializeToString())
    works["matrix product"] = _runner(product, {"a": first, "b": second})
    works["matrix product by NumPy"] = lambda: np.matmul(first, second, out=out)
    works["copy"] = lambda: np.copyto(target, source)
    rounds = 2 if result.quick else ROUNDS
    taken = take_turns(works, rounds=rounds, clock=time.process_time)
    best = {name: float(seconds.min()) for name, seconds in taken.items()}
    fastest = min(best["matrix product"], best["matrix product by NumPy"])
    peak = 2 * SQUARE**3 / fastest / 1e9
    bandwidth = 2 * COPIED_MB / 1e3 / best["copy"]
    result.figures["peak"] = {"gflops": peak, "gb_per_s": bandwidth}
    result.say(f"peak of one core: {peak:.1f} GFLOP/s in float32, {bandwidth:.1f} GB/s copied")
    for name, counted in counts.items():
        compute_ms = 2 * counted.multiply_adds / peak / 1e6
        memory_ms = counted.megabytes / bandwidth
        bound = max(compute_ms, memory_ms)
        ms = best[name] * 1e3
        result.figures[name] = {
            "multiply_adds": counted.multiply_adds,
            "megabytes": counted.megabytes,
            "nodes": counted.nodes,
            "ms": ms,
            "median_ms": median(taken[name] * 1e3).to_json(),
            "compute_bound_ms": compute_ms,
            "memory_bound_ms": memory_ms,
            "share_of_bound": bound / ms,
            "flops_per_byte": 2 * counted.multiply_adds / counted.megabytes / 1e6,
            "gflops": 2 * counted.multiply_adds / best[name] / 1e9,
        }
        result.say(
            f"{name}: {counted.multiply_adds / 1e6:.1f} M multiply-adds, "
            f"{counted.megabytes:.1f} MB in {counted.nodes} nodes; {ms:.2f} ms, bounds "
            f"{compute_ms:.2f} ms (arithmetic) and {memory_ms:.2f} ms (memory without caches): "
            f"{100 * bound / ms:.0f} % of the roofline"
        )


def _graphs(
    predictor: Predictor, *, with_sentences: bool
) -> dict[str, tuple[onnx.ModelProto, Feed]]:
    tokens = predictor.tokenize(build_record(chart_of(TYPICAL), NOW))
    memory = predictor.network.encode(tokens)
    rng = np.random.default_rng(1)
    feed = {
        name: at_least_one(getattr(tokens, name))
        for name in (
            *("structured_stats", "structured_measured", "sentence_embeddings"),
            *("sentence_features", "sentence_note_type"),
            *("patch_stats", "patch_channel", "patch_index"),
        )
    }
    mask = rng.random((COALITIONS, memory.padded_count)) < 0.5
    graphs: dict[str, tuple[onnx.ModelProto, Feed]] = {
        "encode": (onnx.load_from_string(predictor.checkpoint.encode_graph), feed),
        f"fuse, {COALITIONS} coalitions": (
            onnx.load_from_string(predictor.checkpoint.fuse_graph),
            {**memory.parts, "mask": mask},
        ),
    }
    if with_sentences:
        ids = rng.integers(1000, 20_000, (SENTENCES, PIECES))
        name = f"sentence encoder, {SENTENCES} sentences of {PIECES} pieces"
        graphs[name] = _with_weights(), {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    return graphs


def _with_weights() -> onnx.ModelProto:
    """The sentence encoder's graph with its weights inside, as the counting needs it."""
    from safetensors.numpy import load_file

    model = onnx.load(str(GRAPH), load_external_data=False)
    weights = load_file(find_weights(None)[0])
    for tensor in model.graph.initializer:
        if tensor.external_data:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    return model


def _product() -> onnx.ModelProto:
    shape = [SQUARE, SQUARE]
    infos = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n in "abc"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])], "product", infos[:2], infos[2:]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def _runner(model: onnx.ModelProto, feed: Feed) -> Callable[[], Any]:
    session = _session(model)
    return lambda: session.run(None, dict(feed))


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options_ = ort.SessionOptions()
    options_.intra_op_num_threads = 1
    options_.inter_op_num_threads = 1
    return ort.InferenceSession(
        model.SerializeToString(), options_, providers=["CPUExecutionProvider"]
    )


def count(model: onnx.ModelProto, feed: Feed) -> Count:
    """Count the multiply-adds of matrix products and the bytes of all nodes, by a run's shapes.

    Nodes that only look at their input in another way (Reshape, Identity, ...) move nothing.
    """
    arrays = _values(model, feed)
    multiply_adds = moved = 0.0
    for node in model.graph.node:
        if node.op_type in _VIEWS:
            continue
        inputs = [arrays[name] for name in node.input if name]
        outputs = [arrays[name] for name in node.output if name]
        if node.op_type in ("MatMul", "Gemm"):
            depth = inputs[0][0][0 if _transposed(node) else -1]
            multiply_adds += float(np.prod(outputs[0][0])) * depth
        if node.op_type == "Gather":  # reads the rows that it returns, not the whole table
            inputs = [*inputs[1:], outputs[0]]
        moved += sum(size for _, size in (*inputs, *outputs))
    return Count(multiply_adds, moved / 1e6, len(model.graph.node))


_VIEWS = {"Reshape", "Identity", "Unsqueeze", "Squeeze", "Shape", "Constant"}


def _transposed(node: onnx.NodeProto) -> bool:
    return any(one.name == "transA" and one.i for one in node.attribute)


def _values(model: onnx.ModelProto, feed: Feed) -> dict[str, tuple[tuple[int, ...], int]]:
    """Run the graph with every value as an output; return shapes and bytes by name."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    names = [name for node in wide.graph.node for name in node.output if name]
    del wide.graph.output[:]
    wide.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options_ = ort.SessionOptions()
    options_.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        wide.SerializeToString(), options_, providers=["CPUExecutionProvider"]
    )
    found = dict(zip(names, session.run(names, dict(feed)), strict=True))
    stored = {one.name: numpy_helper.to_array(one) for one in wide.graph.initializer}
    everything = {**stored, **found, **{name: np.asarray(value) for name, value in feed.items()}}
    return {name: (value.shape, value.nbytes) for name, value in everything.items()}


if __name__ == "__main__":
    main()
