"""Writes vectors into a sentence cache until it is killed; the lines it prints were kept."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np

from cds_hooks.keys import KeyRing
from cds_hooks.sentence_cache import SentenceCache


def main() -> None:
    """Arguments: file, key, a name for the sentences, how many batches of ten (0: no end)."""
    path, key, name, batches = sys.argv[1:]
    cache = SentenceCache(Path(path), KeyRing([key]), entries=100_000)
    for batch in itertools.count() if batches == "0" else range(int(batches)):
        first = batch * 10
        cache.keep(
            "encoder",
            {f"{name} {n}": np.full(384, n, np.float32) for n in range(first, first + 10)},
        )
        sys.stdout.write(f"{first}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
