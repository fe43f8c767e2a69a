"""A short load run with both kills; the long one is ``python -m tests.attacks.load``."""

from __future__ import annotations

from pathlib import Path

from tests.attacks.load import load
from tests.attacks.results import Results


def test_nothing_acknowledged_is_lost_when_processes_are_killed(tmp_path: Path) -> None:
    results = Results("short")
    load(tmp_path, results, clients=3, seconds=6)
    assert not results.faults, (results.faults, results.examples)
    assert results.rows["acknowledged feedback"] > 5
