"""Deletion curves and outside explainers on games whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from model.tokens import TokenArrays
from model.training.faithfulness import deletion_curves, random_areas, shares, signed_ranking
from model.training.network import FusionNetwork
from model.training.outside_explainers import integrated_gradients, occlusion
from model.training.predict import RowGame

WEIGHTS = np.array([2.0, -1.0, 0.5, 0.0])


def additive(masks):
    return masks @ WEIGHTS


def test_hiding_along_the_ranking_of_an_additive_game_falls_by_its_weights():
    curves = deletion_curves(additive, signed_ranking(WEIGHTS))
    assert curves.hidden.tolist() == [1.5, -0.5, -1.0, -1.0, 0.0]
    assert curves.shown.tolist() == [0.0, 2.0, 2.5, 2.5, 1.5]
    assert curves.areas.comprehensiveness == pytest.approx(np.mean([2.0, 2.5, 2.5, 1.5]))
    assert curves.fall[-1] == pytest.approx(1.5)


def test_no_ranking_beats_that_of_the_weights_and_the_reverse_is_worse_than_random():
    found = shares(
        additive,
        WEIGHTS,
        {"same": 3 * WEIGHTS, "reverse": -WEIGHTS},
        np.random.default_rng(0),
    )
    assert found["same"].comprehensiveness == found["same"].sufficiency == pytest.approx(1)
    assert found["reverse"].comprehensiveness < 0


def test_a_game_that_nothing_moves_has_no_shares():
    found = shares(
        lambda masks: np.zeros(len(masks)), WEIGHTS, {"any": WEIGHTS}, np.random.default_rng(0)
    )
    assert found == {"any": None}


def test_random_rankings_of_an_additive_game_have_half_of_the_sum():
    areas = random_areas(lambda masks: masks.sum(axis=1), 30, np.random.default_rng(0))
    assert areas.comprehensiveness == pytest.approx(15.5)


def test_occlusion_of_an_additive_game_is_its_weights():
    assert occlusion(additive, 4) == pytest.approx(WEIGHTS)


def test_integrated_gradients_add_up_to_the_logits_difference(
    network: FusionNetwork, cohort: list[TokenArrays]
):
    game = RowGame(network, cohort[0])
    memory = game.memory
    values = integrated_gradients(game, steps=256)
    empty = memory._replace(tokens=memory.tokens * 0)
    difference = (
        network.fuse(memory, memory.present).logits - network.fuse(empty, memory.present).logits
    )
    assert values.sum() == pytest.approx(float(difference[0, 0].detach()), rel=0.02, abs=1e-3)
