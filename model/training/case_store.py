"""Cases on disk, so that a cohort may be larger than memory.

One raw file an array, all cases behind each other, and ``cases.ndjson`` with facts and counts;
``store.json`` is written last and makes the folder whole. A cohort opened from here has views of
mapped files: the sentence embeddings, by far the largest part, are read when a batch needs them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from model.tokens import (
    PATCH_STATS,
    SENTENCE_FEATURES,
    STRUCTURED_STATS,
    TokenArrays,
    TokenConfig,
)
from model.training.cohort import Case, CaseFacts, Cohort, CohortError

FORMAT = 1
_HEADER, _CASES = "store.json", "cases.ndjson"
# Type and width of a row, and what the rows of a case are counted by. The width of a sentence
# embedding is that of the configuration.
_ARRAYS: dict[str, tuple[type[np.generic], tuple[int, ...], str]] = {
    "structured_stats": (np.float32, (len(STRUCTURED_STATS),), "variables"),
    "structured_measured": (np.bool_, (), "variables"),
    "sentence_embeddings": (np.float32, (-1,), "sentences"),
    "sentence_features": (np.float32, (len(SENTENCE_FEATURES),), "sentences"),
    "sentence_note_type": (np.int64, (), "sentences"),
    "patch_stats": (np.float32, (len(PATCH_STATS),), "patches"),
    "patch_channel": (np.int64, (), "patches"),
    "patch_index": (np.int64, (), "patches"),
}


class CaseWriter:
    """Writes a store anew, case by case. Use it as a context manager; an error leaves no store."""

    def __init__(self, folder: Path, config: TokenConfig, key: str) -> None:
        """``key`` names all that the cases depend on; ``open_cases`` asks for it again."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder
        self._header = {"format": FORMAT, "key": key, "config": config.to_json()}
        self._files = {name: (folder / f"{name}.bin").open("wb") for name in _ARRAYS}
        self._cases = (folder / _CASES).open("w", encoding="utf-8")

    def add(self, tokens: TokenArrays, facts: CaseFacts) -> None:
        """Add one case."""
        for name, (kind, _, _) in _ARRAYS.items():
            self._files[name].write(np.ascontiguousarray(getattr(tokens, name), kind).tobytes())
        counts = {
            "variables": len(tokens.structured_stats),
            "sentences": len(tokens.sentence_features),
            "patches": len(tokens.patch_stats),
        }
        self._cases.write(json.dumps({"counts": counts, "facts": asdict(facts)}) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in (*self._files.values(), self._cases):
            file.close()
        if kind is None:
            (self._folder / _HEADER).write_text(json.dumps(self._header))


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Some rows of a store: what another process needs to open them for itself."""

    folder: Path
    key: str
    rows: tuple[int, ...]

    def open(self) -> Cohort:
        """Return the rows. Raises CohortError where the store is not there any more."""
        cohort = open_cases(self.folder, self.key)
        if cohort is None:
            raise CohortError(f"{self.folder} holds no cases of this training")
        return cohort.select(self.rows)


def open_cases(folder: Path, key: str) -> Cohort | None:
    """Return the cohort of a store; None if there is no whole one of this key.

    Raises CohortError where the files do not fit together.
    """
    path = folder / _HEADER
    if not path.is_file():
        return None
    header = json.loads(path.read_text())
    if header["format"] != FORMAT or header["key"] != key:
        return None
    config = TokenConfig.from_json(header["config"])
    arrays = {name: _mapped(folder, name, config) for name in _ARRAYS}
    return Cohort(config, tuple(_cases(folder, arrays)))


def _mapped(folder: Path, name: str, config: TokenConfig) -> np.ndarray[Any, Any]:
    """Map an array; pages are read when used, and the file itself is never changed."""
    kind, shape, _ = _ARRAYS[name]
    shape = tuple(config.embedding_width if size < 0 else size for size in shape)
    path = folder / f"{name}.bin"
    width = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
    rows, rest = divmod(path.stat().st_size, width)
    if rest:
        raise CohortError(f"{path.name}: {rest} bytes are too many or missing")
    if not rows:
        return np.zeros((0, *shape), kind)
    # Copy on write: torch warns of arrays that it could not write to.
    return np.asarray(np.memmap(path, kind, "c", shape=(rows, *shape)))


def _cases(folder: Path, arrays: dict[str, np.ndarray[Any, Any]]) -> Iterator[Case]:
    ends = {"variables": 0, "sentences": 0, "patches": 0}
    with (folder / _CASES).open(encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            rows = {}
            for kind, count in entry["counts"].items():
                rows[kind] = slice(ends[kind], ends[kind] + count)
                ends[kind] += count
            parts: dict[str, Any] = {
                name: arrays[name][rows[by]] for name, (_, _, by) in _ARRAYS.items()
            }
            yield Case(TokenArrays(**parts), CaseFacts(**entry["facts"]))
    for name, (_, _, by) in _ARRAYS.items():
        if len(arrays[name]) != ends[by]:
            raise CohortError(f"{name}.bin has {len(arrays[name])} rows, expected {ends[by]}")
