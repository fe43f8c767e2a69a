import numpy as np
import pytest

from model.training.teacher import lime_coefficients, shap_attribution, taught_attribution

WEIGHTS = np.array([1.0, -2.0, 0.5, 0.0, 0.3])


def linear(seen):
    return seen @ WEIGHTS


def pairwise(seen):
    """Add an interaction of order 2 between the first two tokens."""
    return seen @ WEIGHTS + 3.0 * seen[:, 0] * seen[:, 1]


def triple(seen):
    """Add an interaction of order 3, on which single permutations disagree."""
    return seen @ WEIGHTS + 3.0 * seen[:, 0] * seen[:, 1] * seen[:, 2]


def test_shap_is_exact_and_certain_in_a_linear_game():
    attribution = shap_attribution(linear, 5, pairs=2, seed=0)
    assert attribution.values == pytest.approx(WEIGHTS)
    assert attribution.standard_errors == pytest.approx(np.zeros(5), abs=1e-12)


def test_antithetic_pairs_are_exact_in_a_game_of_order_two():
    attribution = shap_attribution(pairwise, 5, pairs=1, seed=0)
    assert attribution.values == pytest.approx(WEIGHTS + np.array([1.5, 1.5, 0, 0, 0]))


def test_higher_orders_show_in_the_standard_error_and_the_sum_stays_exact():
    attribution = shap_attribution(triple, 5, pairs=4, seed=0)
    assert attribution.standard_errors.max() > 0
    assert attribution.values.sum() == pytest.approx(WEIGHTS.sum() + 3.0)


def test_the_same_seed_gives_the_same_attribution():
    first = shap_attribution(triple, 5, pairs=2, seed=7)
    again = shap_attribution(triple, 5, pairs=2, seed=7)
    assert first.values.tolist() == again.values.tolist()


def test_a_row_without_tokens_has_no_attribution():
    assert shap_attribution(linear, 0, pairs=2, seed=0).values.shape == (0,)


def test_lime_finds_the_direction_of_each_hidden_token():
    coefficients = lime_coefficients(linear, 5, np.array([0, 1, 2]), samples=512, seed=0)
    assert np.sign(coefficients).tolist() == [1, -1, 1]
    assert np.argsort(-np.abs(coefficients)).tolist() == [1, 0, 2]


def test_notes_are_taught_by_lime_at_the_mass_that_shap_gives_them():
    is_note = np.array([True, True, True, False, False])
    taught = taught_attribution(pairwise, is_note, pairs=2, lime_samples=512, seed=0)
    by_shap = shap_attribution(pairwise, 5, pairs=2, seed=0)
    assert taught.values[3:] == pytest.approx(by_shap.values[3:])
    assert np.abs(taught.values[:3]).sum() == pytest.approx(np.abs(by_shap.values[:3]).sum())


def test_a_single_sentence_keeps_its_shapley_value():
    is_note = np.array([False, False, True, False, False])
    taught = taught_attribution(linear, is_note, pairs=2, lime_samples=512, seed=0)
    assert taught.values == pytest.approx(WEIGHTS)
