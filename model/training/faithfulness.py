"""Deletion curves: does hiding what a ranking names first move the answer first?

A ranking is an order of a record's tokens, most raising first for signed values. Its
*comprehensiveness* is the mean fall of the logit while its tokens are hidden one after another;
its *sufficiency* is the mean rise of the logit while they are shown one after another to a network
that saw nothing. Both are stated as a share: 1 is what the near-exact Shapley values' ranking
reaches on the same record, 0 what random rankings reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.shapley import Game

Doubles = npt.NDArray[np.float64]
Orders = npt.NDArray[np.int64]

RANDOM_RANKINGS = 20
GRID = np.linspace(0.0, 1.0, 41)  # shares of the tokens, for curves that are averaged over records
SMALLEST_SPAN_LOGIT = 1e-3  # a record whose best ranking gains less says nothing about rankings


@dataclass(frozen=True, slots=True)
class Areas:
    """Mean change of the logit along a ranking, in logits."""

    comprehensiveness: float
    sufficiency: float


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Logits after k = 0..n tokens of one ranking are hidden, or shown."""

    hidden: Doubles  # (n + 1,)
    shown: Doubles  # (n + 1,)

    @property
    def areas(self) -> Areas:
        """The means over k = 1..n."""
        return Areas(
            float(np.mean(self.hidden[0] - self.hidden[1:])),
            float(np.mean(self.shown[1:] - self.shown[0])),
        )

    @property
    def fall(self) -> Doubles:
        """How far the logit has fallen when each share of GRID is hidden."""
        shares_hidden = np.linspace(0.0, 1.0, len(self.hidden))
        return np.interp(GRID, shares_hidden, self.hidden[0] - self.hidden)


def signed_ranking(values: Doubles) -> Orders:
    """Tokens that raise the logit first, those that lower it last."""
    return np.argsort(-values, kind="stable")


def deletion_curves(game: Game, order: Orders) -> Curves:
    """Evaluate a ranking's 2 (n + 1) coalitions."""
    n = len(order)
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    first = rank[None, :] < np.arange(n + 1)[:, None]  # (n + 1, n): the first k of the ranking
    values = np.asarray(game(np.concatenate([~first, first])), np.float64)
    return Curves(values[: n + 1], values[n + 1 :])


def random_areas(game: Game, players: int, rng: np.random.Generator) -> Areas:
    """Mean areas of random rankings."""
    areas = [deletion_curves(game, rng.permutation(players)).areas for _ in range(RANDOM_RANKINGS)]
    return Areas(
        float(np.mean([a.comprehensiveness for a in areas])),
        float(np.mean([a.sufficiency for a in areas])),
    )


def shares(
    game: Game, reference: Doubles, others: Mapping[str, Doubles], rng: np.random.Generator
) -> dict[str, Areas | None]:
    """Return each ranking's areas as shares of the reference's, random = 0.

    None where the reference's ranking is hardly better than a random one.
    """
    random = random_areas(game, len(reference), rng)
    best = deletion_curves(game, signed_ranking(reference)).areas
    spans = (
        best.comprehensiveness - random.comprehensiveness,
        best.sufficiency - random.sufficiency,
    )
    if min(spans) < SMALLEST_SPAN_LOGIT:
        return dict.fromkeys(others)
    found: dict[str, Areas | None] = {}
    for name, values in others.items():
        areas = deletion_curves(game, signed_ranking(values)).areas
        found[name] = Areas(
            (areas.comprehensiveness - random.comprehensiveness) / spans[0],
            (areas.sufficiency - random.sufficiency) / spans[1],
        )
    return found
