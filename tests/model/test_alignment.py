"""Agreement of three methods, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from model.alignment import (
    agreement,
    average_ranks,
    common_strongest,
    spearman,
    strongest,
    top_overlap,
)


def test_overlap_is_the_share_in_common():
    assert top_overlap(np.arange(10.0), np.arange(10.0)) == 1.0
    assert top_overlap(np.arange(10.0), -np.arange(10.0)) == 0.0
    assert top_overlap(np.array([9, 8, 7, 6, 5, 0.0]), np.array([9, 8, 7, 6, 0, 5.0])) == 0.8


def test_too_few_tokens_cannot_be_compared():
    assert top_overlap(np.ones(4), np.ones(4)) is None
    assert spearman(np.arange(4.0), np.arange(4.0)) is None


def test_ties_go_to_the_earlier_token():
    assert strongest(np.array([1.0, 3.0, 3.0, 2.0]), 2) == [1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlation_equals_scipy(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 6, 20).astype(float), rng.normal(size=20)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)


def test_ranks_of_ties_share_their_mean():
    np.testing.assert_array_equal(average_ranks(np.array([5.0, 1.0, 5.0, 9.0])), [1.5, 0, 1.5, 3])


def test_a_constant_has_no_rank_correlation():
    assert spearman(np.ones(8), np.arange(8.0)) is None


def test_sentences_in_common_must_have_the_same_sign():
    shap = np.array([3.0, -2.0, 1.0, 0.5, 0.4, 0.01])
    lime = np.array([2.0, 2.0, 1.0, 0.5, 0.0, 0.3])
    assert common_strongest(shap, lime) == (3, 5)


def test_fewer_than_five_sentences_are_all_compared():
    assert common_strongest(np.array([1.0, -1.0]), np.array([2.0, -0.1])) == (2, 2)


def test_tokens_within_their_error_do_not_count_for_the_rank_correlation():
    shap = np.array([5.0, -4.0, 3.0, -2.0, 1.0, 0.01, -0.01])
    attention = np.array([0.5, 0.4, 0.3, 0.2, 0.1, 0.9, 0.8])
    errors = np.full(7, 0.1)
    found = agreement(shap, errors, attention, np.array([], np.int64), None)
    assert found.attention_shap_spearman == pytest.approx(1.0)
    assert found.shap_lime_note_common is None
    assert found.shap_lime_note_compared is None


def test_without_an_error_no_token_is_above_the_floor():
    found = agreement(
        np.arange(9.0), np.full(9, np.nan), np.arange(9.0), np.array([], np.int64), None
    )
    assert found.attention_shap_spearman is None
    assert found.attention_shap_top5 == 1.0


def test_lime_is_compared_over_the_notes_only():
    shap = np.array([9.0, 0.3, -0.2, 8.0])
    found = agreement(shap, np.zeros(4), np.ones(4), np.array([1, 2]), np.array([0.5, -0.5]))
    assert (found.shap_lime_note_common, found.shap_lime_note_compared) == (2, 2)
