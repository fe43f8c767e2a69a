"""Trains on a cohort that is larger than the memory it may use; prints what was used.

    python -m tests.model.large_cohort [--rows 6000] [--sentences 100] [--limit-mb 800]

The tokens are written case by case, most of them sentence embeddings. Then one epoch is trained
with the tuning cohort from the same store, and the process's private memory is watched: pages of
mapped files are not in it, as the system takes them back when it needs them. The command fails if
the store is not larger than the limit, or the memory was.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from model.tokens import EMBEDDING_WIDTH, TokenArrays
from model.training.case_store import CaseWriter, open_cases
from model.training.cohort import CaseFacts
from model.training.loop import train_network
from model.training.losses import ConsistencySettings
from model.training.settings import TrainingSettings
from tests.model import worlds

TASK = worlds.TASK


class PrivateMemory:
    """The highest private memory of this process while the context is open, in MB."""

    def __init__(self) -> None:
        self.highest_mb = 0.0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PrivateMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ends.wait(0.02):
            self.highest_mb = max(self.highest_mb, private_mb())


def private_mb() -> float:
    """Return the resident memory that is not of files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return float(line.split()[1]) / 1e3
    raise OSError("/proc/self/status has no RssAnon")


def write_store(folder: Path, rows: int, sentences: int) -> float:
    """Write a store; return its size in MB."""
    charts = worlds.population(40)
    random = np.random.default_rng(0)
    with CaseWriter(folder, worlds.CONFIG, "key") as writer:
        for number in range(rows):
            vectors = random.normal(size=(sentences, EMBEDDING_WIDTH)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            writer.add(with_sentences(charts[number % len(charts)], vectors), facts(number))
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def with_sentences(tokens: TokenArrays, vectors: np.ndarray) -> TokenArrays:
    """Return a chart with other notes."""
    count, features = len(vectors), tokens.sentence_features.shape[1]
    return replace(
        tokens,
        sentence_embeddings=vectors,
        sentence_features=np.zeros((count, features), np.float32),
        sentence_note_type=np.zeros(count, np.int64),
    )


def facts(number: int) -> CaseFacts:
    """Return every third as an event."""
    patient = f"patient-{number}"
    return CaseFacts("site", patient, patient, "", "recorded", {TASK: float(number % 3 == 0)})


@click.command()
@click.option("--rows", default=6000, show_default=True)
@click.option("--sentences", default=100, show_default=True, help="Of each row.")
@click.option("--limit-mb", default=800.0, show_default=True, help="Of private memory.")
def main(rows: int, sentences: int, limit_mb: float) -> None:
    """Write, train, watch."""
    settings = TrainingSettings(
        epochs=1, batch_size=64, consistency=ConsistencySettings(kl_weight=0, mass_weight=0)
    )
    with tempfile.TemporaryDirectory() as folder:
        store_mb = write_store(Path(folder) / "store", rows, sentences)
        before_mb = private_mb()
        began = time.monotonic()
        with PrivateMemory() as memory:
            cohort = open_cases(Path(folder) / "store", "key")
            assert cohort is not None
            opened_mb = private_mb()
            train_network(cohort, cohort.select(range(rows // 5)), settings)
        seconds = time.monotonic() - began
    click.echo(
        f"{rows} rows, {store_mb:.0f} MB on disk; private memory {before_mb:.0f} MB before,"
        f" {opened_mb:.0f} MB when opened, at most {memory.highest_mb:.0f} MB in an epoch of"
        f" {seconds:.0f} s; limit {limit_mb:.0f} MB"
    )
    if store_mb < limit_mb or memory.highest_mb > limit_mb:
        sys.exit("The store is not larger than the limit, or the memory was.")


if __name__ == "__main__":
    main()
