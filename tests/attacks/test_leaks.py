"""The leak scan, whole: it takes seconds."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.attacks.leaks import scan
from tests.attacks.markers import PHI, found_in
from tests.attacks.results import Results


def test_nothing_of_a_patient_is_found_where_it_is_not_to_be(tmp_path: Path) -> None:
    results = Results("leaks")
    scan(tmp_path / "scan", results)
    assert not results.faults, (results.faults, results.examples)
    assert results.rows["scene good hook: 200"] == 3
    assert results.rows["files searched"] >= 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_the_search_sees_every_form(encoding: str) -> None:
    name = PHI["family name"]
    text = f"xx{name}yy".encode(encoding)
    assert any("family name" in one for one in found_in(text, PHI))
    assert any("compressed" in one for one in found_in(b"\x00" + gzip.compress(text), PHI))
    assert not found_in(f"xx{name[:-1]}yy".encode(encoding), PHI)
