"""What attention is taught to agree with: SHAP, and LIME for note sentences.

A *game* is one row of the network as a function of which tokens are seen: boolean masks of shape
(C, n) in, logits of shape (C,) out. Attributions are constants to the training: no gradient runs
through an estimator.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from lime.lime_base import LimeBase

from model.shapley import standard_errors

with warnings.catch_warnings():
    # shap sets up its plot colours on import in a way that newer matplotlib announces to end.
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    import shap

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.bool_]
Game = Callable[[Masks], Floats]

LIME_KERNEL_WIDTH = 25.0  # lime's own default for text, on cosine distance x 100


@dataclass(frozen=True, slots=True)
class Attribution:
    """Signed attributions of one row's tokens, in logits, with standard errors; (n,) each."""

    values: Floats
    standard_errors: Floats


def shap_attribution(game: Game, token_count: int, *, pairs: int, seed: int) -> Attribution:
    """Explain with package ``shap``: antithetic permutations of token presence.

    Every pair is explained by itself, since its two passes are not independent; the standard
    errors are those that serving states (model/shapley.py).
    """
    if token_count == 0:
        return Attribution(np.zeros(0), np.zeros(0))
    masker = shap.maskers.Independent(np.zeros((1, token_count)))
    explainer = shap.PermutationExplainer(
        lambda seen: game(np.asarray(seen) > 0.5), masker, seed=seed
    )
    by_pair = np.stack([_one_pair(explainer, token_count) for _ in range(pairs)])  # (pairs, n)
    if pairs < 2:
        return Attribution(by_pair[0], np.zeros(token_count))
    return Attribution(by_pair.mean(axis=0), standard_errors(by_pair))


def _one_pair(explainer: shap.PermutationExplainer, token_count: int) -> Floats:
    evaluations = 2 * token_count + 1
    explanation = explainer(
        np.ones((1, token_count)), max_evals=evaluations, batch_size=evaluations, silent=True
    )
    return np.asarray(explanation.values, np.float64).reshape(token_count)


def lime_coefficients(
    game: Game, token_count: int, hidden: npt.NDArray[np.int64], *, samples: int, seed: int
) -> Floats:
    """Explain the tokens ``hidden`` with package ``lime``, all others staying in sight.

    Masks are drawn as lime draws them for text: how many to hide is uniform in 1..n.
    """
    count = len(hidden)
    if count == 0:
        return np.zeros(0)
    generator = np.random.default_rng(seed)
    seen = np.ones((samples, count), dtype=bool)
    for row, size in enumerate(generator.integers(1, count + 1, samples - 1), start=1):
        seen[row, generator.choice(count, size, replace=False)] = False
    masks = np.ones((samples, token_count), dtype=bool)
    masks[:, hidden] = seen
    # Cosine distance to the whole text, in lime's scale of 0 to 100.
    distances = 100 * (1 - np.sqrt(seen.sum(axis=1) / count))
    base = LimeBase(
        lambda distance: np.sqrt(np.exp(-(distance**2) / LIME_KERNEL_WIDTH**2)),
        random_state=np.random.RandomState(seed),
    )
    _, coefficients, _, _ = base.explain_instance_with_data(
        seen.astype(np.float64),
        game(masks).reshape(-1, 1),
        distances,
        label=0,
        num_features=count,
        feature_selection="none",
    )
    values = np.zeros(count)
    for place, coefficient in coefficients:
        values[place] = coefficient
    return values


def taught_attribution(
    game: Game, is_note: Masks, *, pairs: int, lime_samples: int, seed: int
) -> Attribution:
    """Return SHAP for structured and device tokens, LIME for note sentences.

    LIME is scaled so that the notes' absolute sum is what SHAP gives them: both halves are then
    in one currency. The notes keep SHAP's standard errors, which are in that currency too.
    """
    token_count = len(is_note)
    by_shap = shap_attribution(game, token_count, pairs=pairs, seed=seed)
    sentences = np.nonzero(is_note)[0]
    if len(sentences) < 2 or lime_samples == 0:  # one sentence: the two cannot differ
        return by_shap
    by_lime = lime_coefficients(game, token_count, sentences, samples=lime_samples, seed=seed)
    lime_mass = float(np.abs(by_lime).sum())
    if lime_mass == 0:
        return by_shap
    values = by_shap.values.copy()
    values[sentences] = by_lime * (np.abs(by_shap.values[sentences]).sum() / lime_mass)
    return Attribution(values, by_shap.standard_errors)
