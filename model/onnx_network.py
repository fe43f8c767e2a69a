"""The network at serving time: two ONNX graphs, no torch.

``encode`` runs once a record; ``fuse`` takes any number of coalitions of its tokens.
Axes: C coalitions, N tokens, T tasks, M memory width.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from model.errors import CheckpointIncompatible
from model.tokens import Booleans, Floats, TokenArrays

MEMORY: Final = "memory_structured", "memory_note", "memory_device"
# What onnxruntime raises for a graph that it does not read; the classes have no common parent.
UNREADABLE: Final = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NotImplemented,
)
CHUNK: Final = 512  # coalitions a call: 12 MB of working memory with 190 tokens
LEAST_SHARE: Final = 64  # coalitions that are worth a thread: 3 ms


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """All that the fusion needs of one record; an absent modality holds one hidden row."""

    parts: Mapping[str, Floats]
    columns: npt.NDArray[np.int64]  # (N,) where each token stands among the padded ones
    padded_count: int


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """What the fusion says of C coalitions, and how the first of them was attended to."""

    logits: Floats  # (C, T)
    attention: Floats  # (N,)


class OnnxNetwork:
    """Encoder and fusion of one checkpoint. Safe to share between threads."""

    def __init__(self, encode_graph: bytes, fuse_graph: bytes, *, threads: int = 2) -> None:
        self._encode = open_session(encode_graph, 1)  # less work than waking a thread for it
        self._fuse = open_session(fuse_graph, 1)
        self._threads = threads
        self._helpers = ThreadPoolExecutor(max(1, threads - 1), "fuse")

    def encode(self, tokens: TokenArrays) -> Memory:
        """Turn the arrays of a record into memory."""
        sentences, patches = len(tokens.sentence_features), len(tokens.patch_stats)
        feed = {
            "structured_stats": tokens.structured_stats,
            "structured_measured": tokens.structured_measured,
            "sentence_embeddings": at_least_one(tokens.sentence_embeddings),
            "sentence_features": at_least_one(tokens.sentence_features),
            "sentence_note_type": at_least_one(tokens.sentence_note_type),
            "patch_stats": at_least_one(tokens.patch_stats),
            "patch_channel": at_least_one(tokens.patch_channel),
            "patch_index": at_least_one(tokens.patch_index),
        }
        parts = dict(zip(MEMORY, self._encode.run(list(MEMORY), feed), strict=True))
        variables = len(tokens.structured_stats)
        device = variables + max(1, sentences)
        columns = np.r_[0:variables, variables : variables + sentences, device : device + patches]
        return Memory(parts, columns.astype(np.int64), device + max(1, patches))

    def fuse(self, memory: Memory, mask: Booleans) -> Fused:
        """Predict from the tokens that each row of ``mask`` (C, N) leaves visible."""
        padded = np.zeros((len(mask), memory.padded_count), np.bool_)
        padded[:, memory.columns] = mask
        shares = np.array_split(padded, max(1, min(self._threads, len(mask) // LEAST_SHARE)))
        answers = self._at_once(memory, shares)
        logits = np.concatenate([answer[0] for answer in answers])
        return Fused(logits, answers[0][1][memory.columns])

    def _at_once(self, memory: Memory, shares: list[Booleans]) -> list[tuple[Floats, Floats]]:
        """Run the shares on a thread each, with the first on this one.

        Coalitions need nothing of each other, so that whole shares side by side cost no waiting;
        the graph's many small steps, each divided among threads, cost it at every step. A share
        that no helper has begun, because other requests keep them busy, is run here.
        """
        begun = [self._helpers.submit(self._run, memory, share) for share in shares[1:]]
        answers = self._run(memory, shares[0])
        for future, share in zip(begun, shares[1:], strict=True):
            answers += self._run(memory, share) if future.cancel() else future.result()
        return answers

    def _run(self, memory: Memory, padded: Booleans) -> list[tuple[Floats, Floats]]:
        """Run a bounded number of coalitions at a time: logits (c, T), attention (padded,)."""
        return [
            tuple(
                self._fuse.run(
                    ["logits", "attention"], {**memory.parts, "mask": padded[start : start + CHUNK]}
                )
            )
            for start in range(0, len(padded), CHUNK)
        ]


def at_least_one(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Return the array, or one row of zeros where it has none."""
    return array if len(array) else np.zeros((1, *array.shape[1:]), array.dtype)


def open_session(graph: bytes, threads: int) -> ort.InferenceSession:
    """Open a graph on the CPU. Idle threads sleep: other requests need the cores.

    Raises CheckpointIncompatible for bytes that this onnxruntime does not run.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except UNREADABLE as exc:
        raise CheckpointIncompatible(
            f"onnxruntime {ort.__version__} cannot run a graph of the checkpoint: {exc}"
        ) from exc
