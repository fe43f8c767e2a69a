"""``score_with`` in a process of its own, which a test kills or whose memory it watches.

    python -m tests.cds_hooks.score_process CHECKPOINT EXPORT RESULTS LEFT_OUT KILL_AT

The process kills itself, without any farewell, when it comes to patient KILL_AT (-1: never).
Every 50 patients it prints its resident memory in MB.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cds_hooks.score_command import score_with
from fhir_adapters.bulk import BulkProgress
from model.checkpoint import load_checkpoint
from model.predictor import Predictor
from model.tokens import EMBEDDING_WIDTH, Floats
from tests.cds_hooks.site_export import NOW

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


class SameVector:
    """An encoder that needs no torch to be imported; its name is that of the small world's."""

    identity = "hash encoder of the tests"
    width = EMBEDDING_WIDTH

    def encode(self, sentences: Sequence[str]) -> Floats:
        """Return (n, 384)."""
        return np.full((len(sentences), EMBEDDING_WIDTH), EMBEDDING_WIDTH**-0.5, np.float32)


def main(checkpoint: Path, export: Path, results: Path, left_out: Path, kill_at: int) -> None:
    """Score; die where told."""

    def watch(progress: BulkProgress) -> None:
        if progress.stage == "reading" and progress.done == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if progress.stage == "reading" and progress.done % 50 == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            sys.stdout.write(f"{pages * PAGE_MB:.1f}\n")

    predictor = Predictor(load_checkpoint(checkpoint), SameVector(), threads=1)
    score_with(predictor, export, results, left_out, NOW, on_progress=watch)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]), kill_at=int(sys.argv[5]))
