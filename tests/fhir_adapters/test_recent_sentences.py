"""What was split before is remembered: the same sentences, within bounds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from fhir_adapters import recent_sentences
from fhir_adapters.recent_sentences import RecentSentences
from fhir_adapters.sentences import split_sentences

TEXT = "Denies chest pain. CABG in 2009.\nPlan: home tomorrow."


@pytest.fixture
def splits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that were really split, in order."""
    seen: list[str] = []

    def counting(text, section="", *, wrapped=True, year=9999):
        seen.append(text)
        return split_sentences(text, section, wrapped=wrapped, year=year)

    monkeypatch.setattr(recent_sentences, "split_sentences", counting)
    return seen


def test_a_text_seen_before_is_not_split_again(splits):
    recent = RecentSentences()
    first = recent.split(TEXT, "Plan", wrapped=False, year=2026)
    assert first == split_sentences(TEXT, "Plan", wrapped=False, year=2026)
    assert recent.split(TEXT, "Plan", wrapped=False, year=2026) is first
    assert splits == [TEXT]


@pytest.mark.parametrize(
    "changes", [{"section": "Family history"}, {"wrapped": True}, {"year": 2009}]
)
def test_whatever_else_the_sentences_depend_on_counts(splits, changes):
    recent = RecentSentences()
    usual = {"section": "Plan", "wrapped": False, "year": 2026}
    recent.split(TEXT, **usual)
    found = recent.split(TEXT, **(usual | changes))
    assert found == split_sentences(TEXT, **(usual | changes))
    assert len(splits) == 2


def test_the_oldest_are_forgotten(splits):
    recent = RecentSentences(most_characters=1_200)  # two texts of this length
    texts = [f"Seen by ward {number}." for number in range(3)]
    for text in [texts[0], texts[1], texts[0], texts[2], texts[0], texts[1]]:
        recent.split(text, "", wrapped=False, year=2026)
    assert splits == [texts[0], texts[1], texts[2], texts[1]]


def test_a_text_beyond_the_bound_is_split_and_not_kept(splits):
    recent = RecentSentences(most_characters=600)
    long = "Stable. " * 100
    for _ in range(2):
        assert len(recent.split(long, "", wrapped=False, year=2026)) == 100
    assert splits == [long, long]
    assert recent._held == 0


def test_threads_get_the_same_sentences():
    recent = RecentSentences(most_characters=3_000)
    texts = [f"Bed {number}. Denies pain." for number in range(20)] * 5
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda t: recent.split(t, "", wrapped=False, year=2026), texts))
    assert found == [split_sentences(text, "", wrapped=False, year=2026) for text in texts]
    assert recent._held == sum(500 + len(key[0]) for key in recent._known)
    assert recent._held <= 3_000
