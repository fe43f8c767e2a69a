"""Cases on disk come back as they were, and a store that is not whole does not come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.tokens import TokenArrays
from model.training.case_store import CaseWriter, open_cases
from model.training.cohort import CaseFacts, CohortError
from model.training.network import collate
from tests.model import worlds


def facts(number: int) -> CaseFacts:
    return CaseFacts("site", str(number), f"patient-{number}", "", "recorded", {"death": 1.0})


@pytest.fixture
def store(tmp_path: Path, cohort: list[TokenArrays]) -> Path:
    with CaseWriter(tmp_path / "store", worlds.CONFIG, "key") as writer:
        for number, tokens in enumerate(cohort[:20]):
            writer.add(tokens, facts(number))
    return tmp_path / "store"


def test_cases_come_back_as_they_were(store: Path, cohort: list[TokenArrays]) -> None:
    opened = open_cases(store, "key")
    assert opened is not None
    assert opened.config == worlds.CONFIG
    assert [case.facts for case in opened.cases] == [facts(n) for n in range(20)]
    for case, tokens in zip(opened.cases, cohort, strict=False):
        for name in TokenArrays.__slots__:
            if name != "labels":
                one, other = getattr(case.tokens, name), getattr(tokens, name)
                assert one.dtype == other.dtype
                assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def test_sentences_stay_on_the_disk_until_they_are_used(store: Path) -> None:
    opened = open_cases(store, "key")
    assert opened is not None
    embeddings = next(c.tokens.sentence_embeddings for c in opened.cases if c.tokens.available)
    base = embeddings
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)
    collate(opened.tokens())  # torch takes them without a warning


def test_a_store_of_charts_without_notes_is_read(tmp_path: Path, cohort: list[TokenArrays]) -> None:
    bare = [tokens for tokens in cohort if not len(tokens.sentence_features)]
    with CaseWriter(tmp_path / "store", worlds.CONFIG, "key") as writer:
        writer.add(bare[0], facts(0))
    opened = open_cases(tmp_path / "store", "key")
    assert opened is not None
    assert opened.cases[0].tokens.sentence_embeddings.shape == (0, 384)


def test_another_key_or_an_unfinished_store_is_none(
    store: Path, tmp_path: Path, cohort: list[TokenArrays]
) -> None:
    assert open_cases(store, "other") is None
    assert open_cases(tmp_path / "nothing", "key") is None
    broken = tmp_path / "broken"
    with pytest.raises(RuntimeError), CaseWriter(broken, worlds.CONFIG, "key") as writer:
        writer.add(cohort[0], facts(0))
        raise RuntimeError
    assert open_cases(broken, "key") is None


def test_files_that_do_not_fit_together_are_an_error(store: Path) -> None:
    with (store / "patch_index.bin").open("ab") as file:
        file.write(b"\0" * 8)
    with pytest.raises(CohortError, match=r"patch_index.bin has \d+ rows, expected \d+"):
        open_cases(store, "key")
    with (store / "patch_index.bin").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(CohortError, match="1 bytes are too many or missing"):
        open_cases(store, "key")
