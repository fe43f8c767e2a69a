"""One arm with one seed: train, predict the test stays, explain some of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.alignment import NOISE_FLOOR, spearman, strongest, top_overlap
from model.shapley import shapley_values
from model.training.ablation_arms import Arm, settings_of_arm
from model.training.ablation_data import AblationData, with_modalities, with_shuffled_labels
from model.training.amortised import AmortisedHead, guessed_values, train_head
from model.training.cohort import Cohort
from model.training.faithfulness import deletion_curves, signed_ranking
from model.training.fit_calibration import CalibrationError, fit_calibration
from model.training.loop import OnStep, train_network
from model.training.network import FusionNetwork
from model.training.outside_explainers import integrated_gradients, occlusion
from model.training.predict import RowGame, predict_logits
from model.training.settings import TrainingSettings

Doubles = npt.NDArray[np.float64]

PAIRS = 8  # antithetic pairs an explained stay: those that serving begins with
STRONGEST = 5
RANDOM_RANKINGS = 10
HEAD_ROWS = 600  # training stays that teach the amortised head
NEVER_STOP = 1.0  # fall of the tuning AUROC: every arm runs to its end


def run_arm(
    data: AblationData,
    arm: Arm,
    base: TrainingSettings,
    seed: int,
    *,
    state_folder: Path | None = None,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Return what is kept of one run. Raises SwitchMissing where the arm cannot be set."""
    settings = replace(settings_of_arm(base, arm), seed=seed, auroc_tolerance=NEVER_STOP)
    if arm.modalities:
        data = with_modalities(data, arm.modalities)
    training = with_shuffled_labels(data.training, seed) if arm.random_labels else data.training
    network = train_network(
        training, None, settings, state_folder=state_folder, on_step=on_step
    ).network
    head = None
    if arm.amortised_head:
        head = train_head(network, _some_tokens(training, seed), seed=seed)
    task = settings.network.tasks[0]
    explained = [
        _explained(network, data, row, head, np.random.default_rng([seed, row]))
        for row in range(data.explained)
    ]
    probabilities, calibrated = _probabilities(network, data, task)
    return {
        "arm": arm.name,
        "seed": seed,
        "probabilities": _rounded(probabilities, 6),
        "calibrated": calibrated,
        "shap": [_rounded(one["shap"], 5) for one in explained],
        "attention": [_rounded(one["attention"], 6) for one in explained],
        "figures": {
            name: [one["figures"][name] for one in explained] for name in explained[0]["figures"]
        },
    }


def _rounded(values: Doubles, digits: int) -> list[float]:
    return [round(value, digits) for value in values.tolist()]


def _some_tokens(cohort: Cohort, seed: int) -> list[Any]:
    rows = np.random.default_rng(seed).permutation(len(cohort))[:HEAD_ROWS]
    return cohort.select(rows).tokens()


def _probabilities(network: FusionNetwork, data: AblationData, task: str) -> tuple[Doubles, bool]:
    """Return probabilities of the test stays, and whether they could be calibrated.

    A network that learnt nothing cannot be; its raw probabilities stand.
    """
    logits = predict_logits(network, data.test.tokens())[:, 0]
    tuning = predict_logits(network, data.tuning.tokens())[:, 0]
    try:
        fitted = fit_calibration(data.tuning.labels(task), tuning, np.full(len(tuning), "all"))
    except CalibrationError:
        return 1 / (1 + np.exp(-logits)), False
    return np.array([fitted.probability(one, "all") for one in logits.tolist()]), True


def _explained(
    network: FusionNetwork,
    data: AblationData,
    row: int,
    head: AmortisedHead | None,
    rng: np.random.Generator,
) -> dict[str, Any]:
    game = RowGame(network, data.test.cases[row].tokens)
    samples, _, _ = shapley_values(game, len(game), PAIRS, rng)
    values, errors = samples.values, samples.standard_errors
    guessed = None if head is None else guessed_values(head, game)
    attention = game.attention() if guessed is None else np.abs(guessed)
    figures = _agreement(game, values, errors, attention)
    figures |= _deletion(game, values, attention, rng)
    figures["mass_logit"] = float(np.abs(values).sum())
    if guessed is not None:
        figures["guess_pearson"] = float(np.corrcoef(guessed, values)[0, 1])
    if data.truth:
        figures |= _recovery(values, attention, data.truth[row])
    return {"shap": values, "attention": attention, "figures": figures}


def _agreement(
    game: RowGame, values: Doubles, errors: Doubles, attention: Doubles
) -> dict[str, float | None]:
    """Compare attention with its teacher, and both with explainers outside the loss."""
    sizes = np.abs(values)
    relevant = sizes > NOISE_FLOOR * errors
    occluded = np.abs(occlusion(game, len(game)))
    gradients = np.abs(integrated_gradients(game))
    return {
        "attention_shap_top5": top_overlap(sizes, attention),
        "attention_shap_spearman": spearman(sizes[relevant], attention[relevant]),
        "attention_occlusion_top5": top_overlap(occluded, attention),
        "attention_occlusion_spearman": spearman(occluded, attention),
        "attention_gradients_top5": top_overlap(gradients, attention),
        "shap_occlusion_top5": top_overlap(sizes, occluded),
    }


def _deletion(
    game: RowGame, values: Doubles, attention: Doubles, rng: np.random.Generator
) -> dict[str, float]:
    """Return how far the logit falls along four rankings, in logits.

    Attention has no sign; it is given that of the occlusion, and so are the random sizes that it
    has to beat. The reference is the ranking by Shapley values.
    """
    signs = np.sign(occlusion(game, len(game)))
    random = [_fall(game, signs * rng.random(len(game))) for _ in range(RANDOM_RANKINGS)]
    return {
        "fall_by_attention": _fall(game, signs * attention),
        "fall_by_random": float(np.mean(random)),
        "fall_by_shap": _fall(game, values),
        "fall_by_occlusion": _fall(game, occlusion(game, len(game))),
    }


def _fall(game: RowGame, values: Doubles) -> float:
    return deletion_curves(game, signed_ranking(values)).areas.comprehensiveness


def _recovery(values: Doubles, attention: Doubles, truth: Doubles) -> dict[str, float]:
    causes = set(strongest(np.abs(truth), STRONGEST))
    return {
        "shap_precision": len(causes & set(strongest(np.abs(values), STRONGEST))) / STRONGEST,
        "shap_pearson": float(np.corrcoef(values, truth)[0, 1]),
        "attention_precision": len(causes & set(strongest(attention, STRONGEST))) / STRONGEST,
    }
