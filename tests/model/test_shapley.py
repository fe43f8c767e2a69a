"""Shapley values against known answers: by hand, by enumeration, and against package shap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.shapley import (
    exact_shapley_values,
    pair_masks,
    pair_samples,
    random_orders,
    shapley_values,
    standard_errors,
)


def table_game(players, seed=0):
    """Return a game with a random value for each coalition: interactions of every order."""
    values = np.random.default_rng(seed).normal(size=2**players)
    return lambda masks: values[masks @ (1 << np.arange(players))]


def linear_game(weights, bias=0.3):
    return lambda masks: masks @ weights + bias


def pairwise_game(players, seed=0):
    """Main effects and interactions of two players."""
    rng = np.random.default_rng(seed)
    main, pair = rng.normal(size=players), np.triu(rng.normal(size=(players, players)), 1)

    def game(masks):
        x = masks.astype(float)
        return x @ main + np.einsum("ci,ij,cj->c", x, pair, x)

    return game, main + (pair.sum(0) + pair.sum(1)) / 2


def test_three_players_by_hand():
    """The glove game: players 0 and 1 hold left gloves, player 2 a right one."""
    game = lambda m: ((m[:, 0] | m[:, 1]) & m[:, 2]).astype(float)  # noqa: E731
    np.testing.assert_allclose(exact_shapley_values(game, 3), [1 / 6, 1 / 6, 4 / 6])


def test_enumeration_refuses_what_it_cannot_finish():
    with pytest.raises(ValueError, match="30 players have more coalitions"):
        exact_shapley_values(lambda m: m.sum(axis=1), 30)


@pytest.mark.parametrize("estimate", ["exact", "one pair"])
def test_a_linear_game_gives_its_weights(estimate):
    weights = np.array([0.5, -2.0, 0.0, 3.0])
    if estimate == "exact":
        values = exact_shapley_values(linear_game(weights), 4)
    else:
        values = shapley_values(linear_game(weights), 4, 1, np.random.default_rng(0))[0].values
    np.testing.assert_allclose(values, weights, atol=1e-12)


def test_one_pair_is_exact_for_interactions_of_two():
    game, expected = pairwise_game(12)
    samples, *_ = shapley_values(game, 12, 1, np.random.default_rng(3))
    np.testing.assert_allclose(samples.values, expected, atol=1e-10)


@pytest.mark.parametrize("players", [1, 2, 5, 10])
def test_many_pairs_approach_enumeration(players):
    game = table_game(players)
    samples, *_ = shapley_values(game, players, 3000, np.random.default_rng(0))
    exact = exact_shapley_values(game, players)
    np.testing.assert_allclose(samples.values, exact, atol=0.06)


@pytest.mark.parametrize("seed", range(5))
def test_efficiency_holds_for_every_pair(seed):
    game = table_game(9, seed)
    samples, empty, full = shapley_values(game, 9, 2, np.random.default_rng(seed))
    np.testing.assert_allclose(samples.by_pair.sum(axis=1), full - empty, atol=1e-12)


def test_null_players_are_zero_without_error():
    weights = np.array([1.0, 0.0, -1.0])
    game = lambda m: np.exp(m @ weights) * (1 + m[:, 0])  # noqa: E731
    samples, *_ = shapley_values(game, 3, 4, np.random.default_rng(0))
    assert samples.values[1] == pytest.approx(0, abs=1e-15)
    assert samples.standard_errors[1] == pytest.approx(0, abs=1e-15)


def test_symmetric_players_are_equal_in_the_limit():
    game = lambda m: np.sqrt(m[:, :3].sum(axis=1)) + 0.2 * m[:, 3]  # noqa: E731
    exact = exact_shapley_values(game, 4)
    np.testing.assert_allclose(exact[:3], exact[0])
    samples, *_ = shapley_values(game, 4, 800, np.random.default_rng(0))
    np.testing.assert_allclose(samples.values, exact, atol=0.01)


def test_no_players_is_a_game_too():
    samples, empty, full = shapley_values(
        lambda m: np.full(len(m), 2.5), 0, 2, np.random.default_rng(0)
    )
    assert samples.values.shape == (0,)
    assert (empty, full) == (2.5, 2.5)


def test_walks_begin_with_one_player_and_end_with_all_but_one():
    orders = random_orders(6, 3, np.random.default_rng(0))
    masks = pair_masks(orders).reshape(3, 2, 5, 6)
    assert (masks.sum(axis=3) == [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]]).all()
    assert (masks[:, 0] == ~masks[:, 1]).all()
    assert masks[0, 0, 0].nonzero()[0] == orders[0, 0]


def test_together_the_pairs_meet_a_player_early_and_late():
    """With 40 players and 4 pairs each player's place from the nearer end is in every quarter."""
    orders = random_orders(40, 4, np.random.default_rng(1))
    place = np.argsort(orders, axis=1)
    from_an_end = np.sort(np.minimum(place, 39 - place), axis=0)  # (4, 40)
    middle = np.array([2.5, 7.5, 12.5, 17.5])[:, None]
    assert np.abs(from_an_end - middle).mean() < 2.5  # independent orders: 4.3


def test_an_order_by_itself_is_uniform():
    """All six orders of three players come alike often (chi-square, 5 degrees of freedom)."""
    rng = np.random.default_rng(2)
    orders = np.concatenate([random_orders(3, 4, rng) for _ in range(1500)])
    _, counts = np.unique(orders @ [9, 3, 1], return_counts=True)
    assert len(counts) == 6
    assert ((counts - 1000) ** 2 / 1000).sum() < 20.5  # p = 0.001


def test_strata_halve_the_error_where_the_number_of_players_matters():
    """Against independent orders of the same number, where players share, as in attention."""
    rng = np.random.default_rng(4)
    weights = rng.normal(size=30)
    game = lambda m: m @ weights / (3 + m.sum(axis=1))  # noqa: E731
    ends = game(np.array([[False] * 30, [True] * 30])).tolist()
    exact = shapley_values(game, 30, 3000, rng)[0].values

    def squared_error(orders):
        values = pair_samples(orders, game(pair_masks(orders)), *ends).values
        return ((values - exact) ** 2).mean()

    together = [squared_error(random_orders(30, 8, rng)) for _ in range(100)]
    apart = [
        squared_error(np.concatenate([random_orders(30, 1, rng) for _ in range(8)]))
        for _ in range(100)
    ]
    assert np.mean(together) < 0.5 * np.mean(apart)


def test_errors_of_eight_strata_are_not_understated():
    players = 14
    game = table_game(players)
    exact = exact_shapley_values(game, players)
    errors, claimed = [], []
    for seed in range(300):
        samples, *_ = shapley_values(game, players, 8, np.random.default_rng(seed))
        errors.append(samples.values - exact)
        claimed.append(samples.standard_errors)
    errors, claimed = np.array(errors), np.array(claimed)
    assert 0.95 < (claimed**2).mean() / (errors**2).mean() < 1.6
    assert (np.abs(errors) < 2 * claimed).mean() > 0.9


def test_the_reverse_walk_is_the_reverse():
    game = table_game(5)
    orders = random_orders(5, 1, np.random.default_rng(0))
    samples = pair_samples(
        orders, game(pair_masks(orders)), *game(np.array([[False] * 5, [True] * 5])).tolist()
    )
    expected = np.zeros(5)
    for order in (orders[0], orders[0][::-1]):
        seen = np.zeros(5, bool)
        for player in order:
            before = game(seen[None])[0]
            seen[player] = True
            expected[player] += (game(seen[None])[0] - before) / 2
    np.testing.assert_allclose(samples.values, expected, atol=1e-12)


def test_one_pair_has_no_standard_error():
    assert np.isnan(standard_errors(np.ones((1, 3)))).all()


def test_standard_errors_are_as_large_as_the_errors():
    """From two pairs: their mean square is right, and two of them cover as Student's t does."""
    players = 8
    game = table_game(players)
    exact = exact_shapley_values(game, players)
    errors, claimed = [], []
    for seed in range(400):
        samples, *_ = shapley_values(game, players, 2, np.random.default_rng(seed))
        errors.append(samples.values - exact)
        claimed.append(samples.standard_errors)
    errors, claimed = np.array(errors), np.array(claimed)
    assert (claimed**2).mean() == pytest.approx((errors**2).mean(), rel=0.1)
    assert 0.82 < (np.abs(errors) < 2 * claimed).mean() < 0.95


def test_the_mean_over_seeds_is_unbiased():
    game = table_game(6)
    estimates = [
        shapley_values(game, 6, 2, np.random.default_rng(seed))[0].values for seed in range(2000)
    ]
    error = np.mean(estimates, axis=0) - exact_shapley_values(game, 6)
    standard_error = np.std(estimates, axis=0) / np.sqrt(2000)
    assert (np.abs(error) < 4 * standard_error).all()


def test_the_same_seed_gives_the_same_values():
    game = table_game(7)
    first, second = (
        shapley_values(game, 7, 2, np.random.default_rng(5))[0].by_pair for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8), st.integers(0, 10_000))
def test_values_of_any_game_sum_to_its_gain(players, seed):
    game = table_game(players, seed)
    values = exact_shapley_values(game, players)
    ends = game(np.array([[False] * players, [True] * players]))
    assert values.sum() == pytest.approx(ends[1] - ends[0], abs=1e-9)


def test_package_shap_agrees_on_small_games():
    shap = pytest.importorskip("shap", reason="training dependencies are not installed")
    game = table_game(8)
    explainer = shap.explainers.Exact(lambda x: game(x.astype(bool)), np.zeros((1, 8)))
    found = explainer(np.ones((1, 8))).values[0]
    np.testing.assert_allclose(exact_shapley_values(game, 8), found, atol=1e-8)
