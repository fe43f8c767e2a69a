"""What the tests of ``meam score`` share: a small model for any process, and what must hold."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cds_hooks.score_command import Load
from model.checkpoint import load_checkpoint
from model.predictor import Predictor
from model.tokens import EMBEDDING_WIDTH, Floats


class SameVector:
    """An encoder that needs no torch to be imported; its name is that of the small world's."""

    identity = "hash encoder of the tests"
    width = EMBEDDING_WIDTH

    def encode(self, sentences: Sequence[str]) -> Floats:
        """Return (n, 384)."""
        return np.full((len(sentences), EMBEDDING_WIDTH), EMBEDDING_WIDTH**-0.5, np.float32)


def small_predictor(checkpoint: Path) -> Predictor:
    """Load the small world's model as workers do."""
    return Predictor(load_checkpoint(checkpoint), SameVector(), threads=1)


def loading(checkpoint: Path) -> Load:
    """Return what travels to workers."""
    return partial(small_predictor, checkpoint)


def write_small_checkpoint(folder: Path) -> Path:
    """Write it; this needs torch."""
    from tests.model import worlds

    records = worlds.population()
    return worlds.write_checkpoint(folder, worlds.random_network(records), worlds.rules(records))


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the resources of an NDJSON file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def subjects(path: Path) -> list[str]:
    """Return the patient of each RiskAssessment."""
    return [line["subject"]["reference"] for line in lines(path)]


def sorted_lines(path: Path) -> list[bytes]:
    """Return the lines of a file in the order in which runs can be compared."""
    return sorted(path.read_bytes().splitlines())


def of_session(session: int) -> list[int]:
    """Return the processes of a session that live: what a killed run has left running."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        if int(fields[3]) == session and fields[0] != "Z" and int(stat.parent.name) != os.getpid():
            found.append(int(stat.parent.name))
    return found
