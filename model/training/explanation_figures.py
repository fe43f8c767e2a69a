"""How far attention, SHAP and LIME agree, measured on a sample with the serving estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from model.alignment import NOISE_FLOOR, common_strongest, spearman, top_overlap
from model.explain import ExplanationBudget
from model.lime_sentences import SAMPLES, coefficients, sample_masks
from model.shapley import shapley_values
from model.tokens import TokenArrays
from model.training.network import NOTE, FusionNetwork
from model.training.predict import RowGame

PAIRS = ExplanationBudget().pairs  # what serving spends at least


def explanation_figures(
    network: FusionNetwork, tokens: Sequence[TokenArrays], *, seed: int = 0
) -> dict[str, Any]:
    """Return mean agreement over the sample, and the largest efficiency gap."""
    generator = np.random.default_rng(seed)
    rows = [_figures_of(RowGame(network, one), generator) for one in tokens]
    names = ("attention_shap_top5", "attention_shap_spearman", "shap_lime_notes_common_share")
    means: dict[str, Any] = {"n": len(rows)}
    for name in names:
        known = [value for row in rows if (value := row[name]) is not None]
        means[name] = round(float(np.mean(known)), 4) if known else None
        means[f"{name}_n"] = len(known)
    means["largest_efficiency_gap_logit"] = max(row["gap"] or 0.0 for row in rows)
    return means


def _figures_of(game: RowGame, generator: np.random.Generator) -> dict[str, float | None]:
    samples, empty, full = shapley_values(game, len(game), PAIRS, generator)
    values, errors = samples.values, samples.standard_errors
    attention = game.attention()
    relevant = np.abs(values) > NOISE_FLOOR * errors
    return {
        "attention_shap_top5": top_overlap(np.abs(values), attention),
        "attention_shap_spearman": spearman(np.abs(values)[relevant], attention[relevant]),
        "shap_lime_notes_common_share": _lime_share(game, values, generator),
        "gap": abs(float(values.sum()) - (full - empty)),
    }


def _lime_share(
    game: RowGame, values: np.ndarray[Any, np.dtype[np.float64]], generator: np.random.Generator
) -> float | None:
    """Return the share of the strongest sentences that SHAP and LIME both name, same sign."""
    notes = np.flatnonzero(game.modality == NOTE)
    if len(notes) < 2:
        return None
    visible = sample_masks(len(notes), SAMPLES, generator)
    masks = np.ones((SAMPLES, len(game)), np.bool_)
    masks[:, notes] = visible
    common, compared = common_strongest(values[notes], coefficients(visible, game(masks)))
    return common / compared
