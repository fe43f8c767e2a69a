"""The claims that an ablation can refute, and what it says of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from model.training.ablation_arms import DOSES, FULL, UNALIGNED
from model.training.ablation_summary import Ablation, Interval

Verdict = Literal["holds", "refuted", "not shown"]

MARGIN: Final = 0.005  # of AUROC and of Brier: less than that is no loss
COLUMNS: Final[Mapping[str, str]] = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier",
    "ece": "ECE",
    "calibration_slope": "slope",
    "calibration_intercept": "intercept",
    "attention_shap_top5": "attention-SHAP top 5",
    "attention_shap_spearman": "attention-SHAP rank corr.",
    "attention_occlusion_top5": "attention-occlusion top 5",
    "attention_gradients_top5": "attention-IG top 5",
    "attention_deletion_share": "attention deletion share",
    "attention_precision": "attention precision@5",
    "shap_precision": "SHAP precision@5",
    "shap_pearson": "SHAP-truth Pearson",
    "shap_across_seeds_pearson": "SHAP across seeds, Pearson",
    "shap_across_seeds_top5": "SHAP across seeds, top 5",
    "attention_across_seeds_top5": "attention across seeds, top 5",
    "mass_logit": "SHAP mass, logits",
    "guess_pearson": "head-SHAP Pearson",
}
LOSS_EFFECTS: Final = (
    ("attention_shap_top5", "The loss brings attention closer to SHAP (top 5)"),
    ("attention_shap_spearman", "The loss brings attention closer to SHAP (rank correlation)"),
    ("attention_occlusion_top5", "Attention comes closer to an explainer not in the loss (top 5)"),
    ("attention_gradients_top5", "Attention comes closer to integrated gradients (top 5)"),
    ("attention_deletion_share", "Attention's deletion curve improves"),
    ("attention_precision", "Attention names more planted causes"),
    ("shap_pearson", "SHAP comes closer to the true Shapley values"),
    ("shap_across_seeds_top5", "SHAP becomes more alike across training seeds"),
    ("attention_across_seeds_top5", "Attention becomes more alike across training seeds"),
)
OTHER_ARMS: Final = (
    ("no denoising", "attention_shap_top5", "Denoising the teacher earns its place (agreement)"),
    ("no gate", "attention_shap_top5", "The gate earns its place (agreement)"),
    ("no modality mass", "attention_shap_top5", "The mass term earns its place (agreement)"),
    ("placebo", "attention_shap_top5", "It is the targets, not the loss as such (agreement)"),
    ("placebo", "attention_precision", "It is the targets, not the loss as such (planted causes)"),
    ("nothing hidden", "shap_pearson", "Hiding tokens in training makes SHAP truer"),
    ("nothing hidden", "auroc", "Hiding tokens in training raises AUROC"),
    ("no token dropout", "shap_pearson", "Token dropout makes SHAP truer"),
    ("no modality dropout", "shap_pearson", "Modality dropout makes SHAP truer"),
    ("no bottleneck", "attention_precision", "The bottleneck makes attention truer"),
    ("two readings", "auroc", "One reading beats two"),
    ("structured only", "auroc", "All modalities beat a network of structured values alone"),
    ("device only", "auroc", "All modalities beat a network of device series alone"),
    ("amortised head", "attention_shap_top5", "Aligned attention beats a head that only guesses"),
)


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """One claim with the paired figure that decides it."""

    words: str
    measured: str
    value: float
    low: float
    high: float
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def claims(ablation: Ablation) -> list[ClaimResult]:
    """Return every claim whose arms ran."""
    return [
        *_non_inferiority(ablation),
        *_effects(ablation),
        *_random_labels(ablation),
        *_planted(ablation),
        *_doses(ablation),
    ]


def _non_inferiority(ablation: Ablation) -> Iterator[ClaimResult]:
    aligned = [FULL, *(f"lambda {dose:g}" for dose in DOSES)]
    for arm in aligned:
        for figure, better in (("auroc", 1.0), ("brier", -1.0)):
            if not (ablation.has(arm, figure) and ablation.has(UNALIGNED, figure)):
                continue
            found = ablation.difference(arm, UNALIGNED, figure)
            worst = found.low if better > 0 else -found.high
            best = found.high if better > 0 else -found.low
            verdict: Verdict = (
                "holds" if worst > -MARGIN else "refuted" if best < -MARGIN else "not shown"
            )
            yield _result(
                f"{_named(arm)} costs less than {MARGIN:g} {COLUMNS[figure]}",
                f"{figure}: {arm} - {UNALIGNED}",
                found,
                verdict,
            )


def _named(arm: str) -> str:
    return "The loss as it ships" if arm == FULL else f"The loss with {arm}"


def _effects(ablation: Ablation) -> Iterator[ClaimResult]:
    pairs = [(UNALIGNED, figure, words) for figure, words in LOSS_EFFECTS]
    for arm, figure, words in (*pairs, *OTHER_ARMS):
        if ablation.has(FULL, figure) and ablation.has(arm, figure):
            found = ablation.difference(FULL, arm, figure)
            yield _result(words, f"{figure}: {FULL} - {arm}", found, _positive(found))


def _positive(found: Interval) -> Verdict:
    return "holds" if found.low > 0 else "refuted" if found.high < 0 else "not shown"


def _random_labels(ablation: Ablation) -> Iterator[ClaimResult]:
    figure = "mass_logit"
    if ablation.has(FULL, figure) and ablation.has("random labels", figure):
        found = ablation.ratio(FULL, "random labels", figure)
        yield _at_least(
            "Random labels: attribution mass is at least 50 times smaller",
            f"{figure}: {FULL} / random labels",
            found,
            50.0,
        )


def _planted(ablation: Ablation) -> Iterator[ClaimResult]:
    for figure, bound in (("shap_precision", 0.90), ("shap_pearson", 0.95)):
        if ablation.has(FULL, figure):
            yield _at_least(
                f"Planted causes: {COLUMNS[figure]} is at least {bound:g}",
                f"{figure}: {FULL}",
                ablation.estimate(FULL, figure),
                bound,
            )


def _at_least(words: str, measured: str, found: Interval, bound: float) -> ClaimResult:
    verdict: Verdict = (
        "holds" if found.low >= bound else "refuted" if found.high < bound else "not shown"
    )
    return _result(words, measured, found, verdict)


def _doses(ablation: Ablation) -> Iterator[ClaimResult]:
    """The rank correlation of dose and agreement over the doses that ran."""
    figure = "attention_shap_top5"
    arms = [UNALIGNED, *(f"lambda {dose:g}" for dose in DOSES)]
    ran = [arm for arm in arms if ablation.has(arm, figure)]
    if len(ran) < 4:
        return
    table = np.stack([ablation.replicates(arm, figure) for arm in ran])  # (doses, 1 + resamples)
    steps = np.arange(len(ran))
    slopes = np.array([np.corrcoef(steps, column)[0, 1] for column in table.T])
    low, high = np.nanpercentile(slopes[1:], [2.5, 97.5])
    found = Interval(float(slopes[0]), float(low), float(high))
    yield _result(
        "Dose-response: more of the loss, more agreement",
        f"correlation of {figure} with the step of lambda, {len(ran)} doses",
        found,
        _positive(found),
    )


def _result(words: str, measured: str, found: Interval, verdict: Verdict) -> ClaimResult:
    value, low, high = found.to_json()
    return ClaimResult(words, measured, value, low, high, verdict)


def arm_table(ablation: Ablation) -> dict[str, dict[str, list[float]]]:
    """Return every arm's figures as [value, low, high]."""
    return {
        arm: {
            figure: ablation.estimate(arm, figure).to_json()
            for figure in COLUMNS
            if ablation.has(arm, figure)
        }
        for arm in ablation.arms
    }
