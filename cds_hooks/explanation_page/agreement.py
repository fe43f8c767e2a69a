"""How far SHAP, LIME and attention name the same findings, and what that is good for."""

from __future__ import annotations

from dataclasses import dataclass

from cds_hooks.explanation_page.figures import signed
from model.prediction import Agreement, Explanation

_FEW = 5  # of the strongest findings are compared


@dataclass(frozen=True, slots=True)
class Comparison:
    """One pair of methods."""

    methods: str
    sentence: str
    common: int | None  # of ``compared``; None: too few to compare
    compared: int
    meaning: str


def comparisons(agreement: Agreement) -> tuple[Comparison, ...]:
    """Return both pairs."""
    return _shap_lime(agreement), _attention_shap(agreement)


def _shap_lime(agreement: Agreement) -> Comparison:
    common, compared = agreement.shap_lime_note_common, agreement.shap_lime_note_compared
    methods = "SHAP and LIME, on note sentences"
    if common is None or not compared:
        sentence = "There are too few note sentences to compare SHAP with LIME."
        return Comparison(methods, sentence, None, 0, "")
    return Comparison(
        methods,
        f"SHAP and LIME agree on {common} of the {compared} strongest note sentences.",
        common,
        compared,
        _meaning(
            common / compared,
            "Two methods that ask the model in different ways name the same sentences:"
            " which ones are marked does not hang on the method.",
            "Most of the marked sentences do not hang on the method; some do.",
            "Which sentences are marked hangs on the method: read the notes yourself.",
        ),
    )


def _attention_shap(agreement: Agreement) -> Comparison:
    methods = "Attention and SHAP, on all findings"
    if agreement.attention_shap_top5 is None:
        sentence = "There are too few findings to compare attention with SHAP."
        return Comparison(methods, sentence, None, 0, "")
    shared = round(_FEW * agreement.attention_shap_top5)
    sentence = f"The model's attention is on {shared} of the {_FEW} findings that SHAP puts first"
    if agreement.attention_shap_spearman is not None:
        sentence += f" (rank correlation {signed(agreement.attention_shap_spearman)})"
    return Comparison(
        methods,
        f"{sentence}.",
        shared,
        _FEW,
        _meaning(
            shared / _FEW,
            "The model looks at what moves its answer.",
            "The model looks at most of what moves its answer, and at other things too.",
            "Where the model looks says little about what moved its answer: go by SHAP.",
        ),
    )


def _meaning(share: float, good: str, fair: str, poor: str) -> str:
    return good if share >= 0.8 else fair if share >= 0.6 else poor


def method_text(explanation: Explanation) -> str:
    """Say how the attributions were made, and how exactly they add up."""
    gap = abs(explanation.efficiency_gap_logit)
    exactness = "exactly" if gap < 1e-6 else f"within {gap:.1g} logits"
    return (
        f"Shapley values from {explanation.coalition_evaluations} coalitions (seed"
        f" {explanation.seed}); they sum to the model's output {exactness}."
    )
