"""Shapley values of any game, by antithetic permutation pairs in strata, with standard errors.

A game is a function from coalitions (C, n) of n players to values (C,); how a player is removed
is the game's affair. A pair is a random order of the players and its reverse: each player's gain
on joining is averaged over the two, which is exact for games without interactions of three or
more players (Mitchell et al., "Sampling permutations for Shapley value estimation", 2022).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Booleans = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Game = Callable[[Booleans], npt.NDArray[np.floating]]  # (C, n) -> (C,)


@dataclass(frozen=True, slots=True, eq=False)
class PairSamples:
    """One estimate of every Shapley value from each pair; their mean is the estimate."""

    by_pair: Doubles  # (pairs, n)
    contrasts: Doubles  # (pairs // 2, n): differences of pairs that met the player alike

    @property
    def values(self) -> Doubles:
        """Shapley values (n,)."""
        return self.by_pair.mean(axis=0)

    @property
    def standard_errors(self) -> Doubles:
        """Standard errors (n,) of the values; NaN from a single pair.

        Orders are drawn in strata, so that what pairs differ by includes what the strata make
        sure to average out. Only the differences of neighbouring strata are taken for error
        (collapsed strata: Cochran, Sampling Techniques, 1977); they still overstate it a little.
        """
        if not len(self.contrasts):
            return np.full(self.by_pair.shape[1], np.nan)
        variance = (self.contrasts**2).mean(axis=0) / 2
        return np.sqrt(_moderated(variance, len(self.contrasts)) / len(self.by_pair))

    def joined(self, more: PairSamples) -> PairSamples:
        """Return the samples of both."""
        return PairSamples(
            np.concatenate([self.by_pair, more.by_pair]),
            np.concatenate([self.contrasts, more.contrasts]),
        )


def standard_errors(by_pair: Doubles) -> Doubles:
    """Standard error of the mean over pairs, (pairs, k) -> (k,); NaN from a single pair."""
    pairs = len(by_pair)
    if pairs < 2:
        return np.full(by_pair.shape[1], np.nan)
    return np.sqrt(_moderated(by_pair.var(axis=0, ddof=1), pairs - 1) / pairs)


def _moderated(variance: Doubles, freedom: int) -> Doubles:
    """Draw each player's variance (k,) towards what is usual among the players.

    With few degrees of freedom a player's estimates may agree by chance and claim no error at
    all. As in moderated t-statistics (Smyth 2004) the usual variance has the weight of two more.
    A player whose estimates do not vary while others' do (a null player) is left alone.
    """
    moving, prior = variance > 0, 2
    usual = variance[moving].mean() if moving.any() else 0.0
    return np.where(moving, (freedom * variance + prior * usual) / (freedom + prior), 0.0)


def random_orders(players: int, pairs: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return orders (pairs, n); each is walked forwards and backwards.

    Every order by itself is uniform over all orders. Together they let each player join early,
    in the middle and late: a pair meets a player with a share q of the others and with 1 - q of
    them, and of so many equal parts of 0 < q < 1/2 each pair takes another one. What a player
    adds depends much on how many are there before, and that is no longer left to chance: two
    fifths of the squared error of independent orders at four pairs, a third at eight.
    """
    parts = rng.permuted(np.tile(np.arange(pairs)[:, None], (1, players)), axis=0)
    share = (parts + rng.random((pairs, players))) / (2 * pairs)
    late = rng.random((pairs, players)) < 0.5
    return np.argsort(np.where(late, 1 - share, share), axis=1)


def pair_masks(orders: npt.NDArray[np.int64]) -> Booleans:
    """Return the coalitions that the pairs need besides none and all: (pairs * 2 * (n - 1), n).

    The reverse order's coalitions are the complements of the forward one's.
    """
    n = orders.shape[1]
    rank = np.empty_like(orders)
    np.put_along_axis(rank, orders, np.arange(n)[None], axis=1)
    forward = rank[:, None, :] < np.arange(1, n)[None, :, None]  # (pairs, n - 1, n)
    return np.stack([forward, ~forward], axis=1).reshape(-1, n)


def pair_samples(
    orders: npt.NDArray[np.int64], values: Doubles, empty: float, full: float
) -> PairSamples:
    """Turn the values of ``pair_masks(orders)`` into one estimate a pair."""
    pairs, n = orders.shape
    forward, backward = np.moveaxis(values.reshape(pairs, 2, n - 1), 1, 0)
    start, end = np.full((pairs, 1), empty), np.full((pairs, 1), full)
    gains = np.diff(np.hstack([start, forward, end]), axis=1)
    # Complements shrink as the forward walk grows, so that the walk backwards ends at `empty`.
    losses = -np.diff(np.hstack([end, backward, start]), axis=1)
    by_pair = np.empty((pairs, n))
    np.put_along_axis(by_pair, orders, (gains + losses) / 2, axis=1)
    return PairSamples(by_pair, _contrasts(orders, by_pair))


def _contrasts(orders: npt.NDArray[np.int64], by_pair: Doubles) -> Doubles:
    """Differences (pairs // 2, n) of the pairs that met a player at the most similar places."""
    pairs, n = orders.shape
    place = np.empty_like(orders)
    np.put_along_axis(place, orders, np.arange(n)[None], axis=1)
    from_an_end = np.minimum(place, n - 1 - place)
    ranked = np.take_along_axis(by_pair, np.argsort(from_an_end, axis=0, kind="stable"), axis=0)
    return ranked[0 : pairs - 1 : 2] - ranked[1:pairs:2]


def shapley_values(
    game: Game, players: int, pairs: int, rng: np.random.Generator
) -> tuple[PairSamples, float, float]:
    """Estimate with a fixed number of pairs; returns also the values of none and all."""
    ends = np.array([[False], [True]]) & np.ones(players, np.bool_)
    if players == 0:
        empty = float(game(ends[:1])[0])
        return PairSamples(np.zeros((pairs, 0)), np.zeros((pairs // 2, 0))), empty, empty
    orders = random_orders(players, pairs, rng)
    values = np.asarray(game(np.concatenate([ends, pair_masks(orders)])), np.float64)
    empty, full = float(values[0]), float(values[1])
    return pair_samples(orders, values[2:], empty, full), empty, full


def exact_shapley_values(game: Game, players: int) -> Doubles:
    """Enumerate all 2^n coalitions; for small games and for checking."""
    if players > 20:
        raise ValueError(f"{players} players have more coalitions than can be enumerated")
    codes = np.arange(2**players)
    masks = (codes[:, None] >> np.arange(players) & 1).astype(np.bool_)
    values = np.asarray(game(masks), np.float64)
    sizes = masks.sum(axis=1)
    factorial = np.cumprod(np.r_[1.0, np.arange(1, players + 1)])
    weight = factorial[sizes] * factorial[np.maximum(players - sizes - 1, 0)] / factorial[players]
    phi = np.empty(players)
    for player in range(players):
        without = codes[~masks[:, player]]
        gain = values[without | (1 << player)] - values[without]
        phi[player] = (weight[without] * gain).sum()
    return phi
