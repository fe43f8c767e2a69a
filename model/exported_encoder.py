"""A sentence encoder that ``meam train --encoder`` exported: served as all-MiniLM-L6-v2 is.

::

    encoder.onnx         word pieces -> sentence vectors; names its weights, holds none
    model.safetensors    the weights, float32; of a quantised variant int8 for the most part
    tokenizer.json
    manifest.json        format, name, width, most word pieces, sha256 of the other files

The identity of an encoder is its name and one digest over the digests of its files. A checkpoint
states the identity, and with it which of these folders it was trained with. A variant, as
``meam quantise-encoder`` makes it, has an identity of its own and names that of its parent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from model.checkpoint import ENCODER
from model.errors import SentenceEncoderDamaged, SentenceEncoderMissing
from model.sentence_encoder import GRAPH as MINILM_GRAPH
from model.sentence_encoder import (
    MAX_WORD_PIECES,
    MiniLMEncoder,
    SentenceCache,
    WordPieceEncoder,
    find_weights,
    verify,
)

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
GRAPH, WEIGHTS, TOKENIZER = "encoder.onnx", "model.safetensors", "tokenizer.json"
FILES: Final = (GRAPH, WEIGHTS, TOKENIZER)
NAME: Final = re.compile(r"[\w.-]{1,100}")
WIDEST: Final = 1024


@dataclass(frozen=True, slots=True)
class EncoderManifest:
    """What manifest.json says."""

    name: str
    width: int
    most_pieces: int
    sha256: Mapping[str, str]  # by file
    source: str  # digest of the folder that it was exported from
    # Of a coordinate, over the sentences of the export: to transformers, or to the parent.
    largest_difference: float
    format: int = FORMAT
    variant: str = ""  # "int8": made from another encoder, and meant to stand in for it
    parent: str = ""  # identity of that encoder

    @property
    def identity(self) -> str:
        """Name and digest; changes when any vector would."""
        digest = sha256(f"{self.width} {self.most_pieces}".encode())
        for file in FILES:
            digest.update(f" {file} {self.sha256[file]}".encode())
        if self.variant:
            digest.update(f" {self.variant} {self.parent}".encode())
        return f"{self.name} sha256:{digest.hexdigest()}"

    def to_json(self) -> bytes:
        """Return the file; what is only said of variants is left out of others."""
        values = {name: value for name, value in asdict(self).items() if value != ""}
        return (json.dumps(values, indent=1) + "\n").encode()


class ExportedEncoder(WordPieceEncoder):
    """The encoder of such a folder."""

    def __init__(
        self, folder: Path, *, threads: int = 2, cache: SentenceCache | None = None
    ) -> None:
        """Raise SentenceEncoderMissing or SentenceEncoderDamaged."""
        manifest = read_manifest(folder)
        for file in FILES:
            if not (folder / file).is_file():
                raise SentenceEncoderMissing(f"{folder / file}: {MANIFEST} lists this file")
            verify(folder / file, manifest.sha256[file])
        super().__init__(
            identity=manifest.identity,
            width=manifest.width,
            graph=folder / GRAPH,
            weights=folder / WEIGHTS,
            tokenizer=folder / TOKENIZER,
            most_pieces=manifest.most_pieces,
            threads=threads,
            cache=cache,
        )
        self.parent, self.variant = manifest.parent, manifest.variant


def read_manifest(folder: Path) -> EncoderManifest:
    """Read and check manifest.json. Raises SentenceEncoderMissing or SentenceEncoderDamaged."""
    path = folder / MANIFEST
    if not path.is_file():
        raise SentenceEncoderMissing(
            f"{path}: an exported sentence encoder has a manifest; `meam train --encoder` makes "
            "one from a Hugging Face folder"
        )
    try:
        manifest = EncoderManifest(**json.loads(path.read_bytes()))
        whole = (
            manifest.format == FORMAT
            and NAME.fullmatch(manifest.name)
            and 0 < manifest.width <= WIDEST
            and manifest.most_pieces > 0
            and set(manifest.sha256) == set(FILES)
            and bool(manifest.variant) == bool(manifest.parent)
        )
    except (ValueError, TypeError, AttributeError) as exc:
        raise SentenceEncoderDamaged(
            f"{path}: not a manifest: {type(exc).__name__}: {exc}"
        ) from exc
    if not whole:
        raise SentenceEncoderDamaged(
            f"{path}: expected format {FORMAT}, a name, a width up to {WIDEST}, a number of word "
            f"pieces, the sha256 of {', '.join(FILES)}, and variant and parent both or none"
        )
    return manifest


def open_encoder(
    folder: Path | None, *, threads: int = 2, cache: SentenceCache | None = None
) -> WordPieceEncoder:
    """Return the encoder of a folder, exported or all-MiniLM-L6-v2's own; None: the installed one.

    Raises SentenceEncoderError.
    """
    if folder is not None and (folder / MANIFEST).is_file():
        return ExportedEncoder(folder, threads=threads, cache=cache)
    return MiniLMEncoder(folder, threads=threads, cache=cache)


@dataclass(frozen=True, slots=True)
class EncoderFiles:
    """Where an encoder stands, and how many word pieces it reads."""

    graph: Path
    weights: Path
    tokenizer: Path
    most_pieces: int


def encoder_files(folder: Path | None) -> EncoderFiles:
    """Return the files that ``open_encoder`` opens. Raises SentenceEncoderError."""
    if folder is not None and (folder / MANIFEST).is_file():
        graph, weights, tokenizer = (folder / name for name in FILES)
        return EncoderFiles(graph, weights, tokenizer, read_manifest(folder).most_pieces)
    return EncoderFiles(MINILM_GRAPH, *find_weights(folder), MAX_WORD_PIECES)


def own_encoder(checkpoint: Path) -> Path | None:
    """Return the folder of the encoder that travels with a checkpoint, if one does."""
    folder = checkpoint / ENCODER
    return folder if (folder / MANIFEST).is_file() else None
