"""Explainers that no loss has ever seen: occlusion, and integrated gradients of the torch network.

The consistency loss teaches attention with SHAP and LIME. Whether attention became better, or only
more like its teachers, is asked of explainers that work otherwise.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from model.shapley import Game
from model.training.predict import RowGame

Doubles = npt.NDArray[np.float64]

STEPS = 32  # of the path; the sum of attributions then misses the logits' difference by under 1 %


def occlusion(game: Game, players: int) -> Doubles:
    """Return how far the logit falls when each token alone is hidden: (n,)."""
    masks = np.concatenate([np.ones((1, players), np.bool_), ~np.eye(players, dtype=np.bool_)])
    values = np.asarray(game(masks), np.float64)
    return values[0] - values[1:]


def integrated_gradients(game: RowGame, *, steps: int = STEPS) -> Doubles:
    """Return integrated gradients of the logit along the tokens' keys and values: (n,).

    The path leads from tokens without content (all zeros, still in sight) to the tokens as they
    are; hiding a token is another question, which makes this an independent witness.
    """
    memory = game.memory
    scale = (torch.arange(steps) + 0.5) / steps
    path = (scale[:, None, None] * memory.tokens).detach().requires_grad_(True)  # (steps, N, M)
    present = memory.present.expand(steps, -1)
    with torch.enable_grad():
        output = game.network.fuse(memory._replace(tokens=path, present=present), present)
        (gradient,) = torch.autograd.grad(output.logits[:, game.task].sum(), path)
    attributions = (gradient.mean(dim=0) * memory.tokens[0]).sum(dim=1)  # (N,)
    return attributions[game.places].numpy().astype(np.float64)
