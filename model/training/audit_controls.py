"""Controls of an audit: what an explanation must say where the right answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import numpy.typing as npt
import torch

from model.alignment import spearman
from model.shapley import Game, shapley_values
from model.tokens import TokenArrays
from model.training.network import FusionNetwork
from model.training.predict import RowGame

Doubles = npt.NDArray[np.float64]

NULLS = 5  # tokens that are made null players
PAIRS = 2  # the served budget
RANDOM_NETWORKS = 3


def null_players(game: Game, players: int, rng: np.random.Generator) -> dict[str, float | None]:
    """Explain a game in which some tokens are never seen and one more player does nothing.

    Their exact values are zero, and an estimator by permutations has to say so.
    """
    nulls = rng.choice(players, min(NULLS, players - 1), replace=False)

    def with_nulls(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.floating]:
        shown = masks[:, :players].copy()
        shown[:, nulls] = False
        return game(shown)

    samples, _, _ = shapley_values(with_nulls, players + 1, PAIRS, rng)
    values = np.abs(samples.values)
    return {
        "null_token_logit": float(values[nulls].max()),
        "dummy_player_logit": float(values[players]),
    }


def randomised_similarity(
    network: FusionNetwork, records: Sequence[TokenArrays], *, pairs: int, seed: int = 0
) -> list[float]:
    """Rank correlation of each record's values with those of networks of random weights.

    An explanation that hardly changes when the weights do explains the data, not the network.
    The bins of the encodings stay: they are of the data.
    """
    generator = np.random.default_rng(seed)
    random_networks = [randomised(network, seed + 1 + k) for k in range(RANDOM_NETWORKS)]
    found = []
    for tokens in records:
        learnt = _values(network, tokens, pairs, generator)
        others = [_values(other, tokens, pairs, generator) for other in random_networks]
        similar = [spearman(learnt, values) for values in others]
        found += [value for value in similar if value is not None]
    return found


def randomised(network: FusionNetwork, seed: int) -> FusionNetwork:
    """Return the network with its weights dealt out anew: every matrix keeps its own numbers."""
    torch.manual_seed(seed)
    other = deepcopy(network)
    with torch.no_grad():
        for parameter in other.parameters():
            flat = parameter.flatten()
            parameter.copy_(flat[torch.randperm(len(flat))].reshape(parameter.shape))
    return other.eval()


def _values(
    network: FusionNetwork, tokens: TokenArrays, pairs: int, generator: np.random.Generator
) -> Doubles:
    game = RowGame(network, tokens)
    return shapley_values(game, len(game), pairs, generator)[0].values
