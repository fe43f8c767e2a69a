"""A short chaos run; the long one is ``python -m tests.attacks.chaos``."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.fhir_server import FhirServerMissing, find_executable, start
from tests.attacks.chaos import chaos, chaos_world
from tests.attacks.results import Results


def test_each_answer_is_right_or_an_error_or_says_what_is_missing(tmp_path: Path) -> None:
    try:
        executable = find_executable()
    except FhirServerMissing as exc:
        pytest.skip(str(exc))
    off = {"validation": {"inbound": "off"}}
    results = Results("short")
    with (
        start(None, tmp_path / "fhir", executable=executable, settings=off) as server,
        chaos_world(tmp_path / "service", server, 1) as made,
    ):
        chaos(made, results, 12, 5)
    assert not results.faults, (results.faults, results.examples)
    assert results.rows["says what is missing"] > 0
