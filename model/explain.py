"""Why the model says what it says: the explanation of one task's logit.

Players are tokens; a hidden player is masked out of the fusion, nothing is encoded again. This
module decides what to evaluate and when to stop; how values are estimated is in shapley.py and
lime_sentences.py, how a token is removed is in onnx_network.py.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.alignment import agreement, strongest
from model.lime_sentences import SAMPLES, coefficients, sample_masks
from model.onnx_network import Memory, OnnxNetwork
from model.prediction import (
    DeviceEvidence,
    Evidence,
    Explanation,
    GroupAttribution,
    SentenceEvidence,
    StructuredEvidence,
    TokenAttribution,
)
from model.shapley import (
    Booleans,
    Doubles,
    PairSamples,
    pair_masks,
    pair_samples,
    random_orders,
    standard_errors,
)
from model.tokens import Floats, TokenArrays, TokenLabel

SHOWN = 5  # reasons on a card: their order is what more evaluations are spent on


@dataclass(frozen=True, slots=True)
class ExplanationBudget:
    """How much to evaluate. Without a deadline, the same chart gives the same explanation."""

    pairs: int = 8  # antithetic permutation pairs to begin with; four leave a fifth reason open
    more_pairs: int = 8  # at a time, while the last reason shown is not told from the next
    most_pairs: int = 16
    lime_samples: int = SAMPLES
    gap_tolerance_logit: float = 1e-3  # over this the evaluations contradict each other


@dataclass(frozen=True, slots=True, eq=False)
class TokenGame:
    """The logit of one task as a game among the tokens of a record."""

    network: OnnxNetwork
    memory: Memory
    task: int

    def __call__(self, mask: Booleans) -> Doubles:
        """Coalitions (C, N) -> logits (C,)."""
        return self.network.fuse(self.memory, mask).logits[:, self.task].astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """What was estimated for one record."""

    samples: PairSamples
    empty: float
    full: float
    lime: Doubles | None  # (S,), None without note sentences
    evaluations: int


def explain(
    game: TokenGame,
    tokens: TokenArrays,
    attention: Floats,
    *,
    task: str,
    budget: ExplanationBudget | None = None,
    deadline_s: float | None = None,
) -> Explanation:
    """Explain a task's logit; ``attention`` (N,) is that of the full coalition.

    After ``deadline_s`` (on time.monotonic's clock) no further pairs are begun; the first ones
    are always finished, because fewer have no standard error.
    """
    budget = budget or ExplanationBudget()
    seed = content_seed(tokens.labels)
    estimates = estimate(game, tokens, seed, budget, deadline_s)
    values, errors = estimates.samples.values, estimates.samples.standard_errors
    gap = float(values.sum()) - (estimates.full - estimates.empty)
    notes = np.flatnonzero([label.modality == "note" for label in tokens.labels])
    reason = unreliable_reason(values, errors, gap, budget)
    return Explanation(
        task=task,
        tokens=_attributions(tokens.labels, values, errors, attention, notes, estimates.lime),
        by_modality=group_sums(estimates.samples, [t.modality for t in tokens.labels]),
        by_organ_system=group_sums(estimates.samples, [t.organ_system for t in tokens.labels]),
        empty_logit=estimates.empty,
        logit=estimates.full,
        efficiency_gap_logit=gap,
        agreement=agreement(values, errors, attention.astype(np.float64), notes, estimates.lime),
        coalition_evaluations=estimates.evaluations,
        seed=seed,
        reliable=not reason,
        unreliable_reason=reason,
    )


def estimate(
    game: TokenGame,
    tokens: TokenArrays,
    seed: int,
    budget: ExplanationBudget,
    deadline_s: float | None,
) -> Estimates:
    """Evaluate the first pairs and LIME's samples together, then further pairs as needed."""
    n, sentences = tokens.token_count, len(tokens.sentence_features)
    for_pairs, for_lime = (np.random.default_rng([seed, use]) for use in (0, 1))
    orders = random_orders(n, budget.pairs, for_pairs)
    ends = np.array([[False], [True]]) & np.ones(n, np.bool_)
    walks = pair_masks(orders)
    lime_masks = _sentence_masks(tokens, budget.lime_samples, for_lime)
    logits = game(np.concatenate([ends, walks, lime_masks]))
    empty, full = float(logits[0]), float(logits[1])
    samples = pair_samples(orders, logits[2 : 2 + len(walks)], empty, full)
    lime = None
    if sentences:
        visible = lime_masks[:, _note_columns(tokens)]
        lime = coefficients(visible, logits[2 + len(walks) :])
    evaluations = len(logits)
    while _more_needed(samples, budget, deadline_s):
        orders = random_orders(n, budget.more_pairs, for_pairs)
        more = game(pair_masks(orders))
        samples = samples.joined(pair_samples(orders, more, empty, full))
        evaluations += len(more)
    return Estimates(samples, empty, full, lime, evaluations)


def content_seed(labels: Sequence[TokenLabel]) -> int:
    """Derive the seed from what the chart says, so that the same chart gives the same card.

    What was computed from it (embeddings, means, slopes) stays out: its last bits differ between
    processors, and the seed, and with it the order of close reasons, would as well.
    """
    digest = hashlib.sha256()
    for label in labels:
        digest.update(repr((label.token_id, label.sources[:1], _said(label.evidence))).encode())
    return int.from_bytes(digest.digest()[:4], "big")


def _said(evidence: Evidence) -> tuple[object, ...]:
    """Return the parts of the evidence that stand in the chart."""
    match evidence:
        case StructuredEvidence():
            return evidence.value, evidence.minimum, evidence.maximum, evidence.count, evidence.text
        case DeviceEvidence():
            return evidence.minimum, evidence.maximum
        case SentenceEvidence():
            return (evidence.text,)


def _note_columns(tokens: TokenArrays) -> slice:
    start = len(tokens.structured_stats)
    return slice(start, start + len(tokens.sentence_features))


def _sentence_masks(tokens: TokenArrays, samples: int, rng: np.random.Generator) -> Booleans:
    """LIME's samples: everything but note sentences stays visible. (0, N) without sentences."""
    sentences = len(tokens.sentence_features)
    masks = np.ones((samples if sentences else 0, tokens.token_count), np.bool_)
    if sentences:
        masks[:, _note_columns(tokens)] = sample_masks(sentences, samples, rng)
    return masks


def _more_needed(samples: PairSamples, budget: ExplanationBudget, deadline_s: float | None) -> bool:
    """Say whether the last reason shown could change places with the next one."""
    if len(samples.by_pair) + budget.more_pairs > budget.most_pairs:
        return False
    if deadline_s is not None and time.monotonic() >= deadline_s:
        return False
    sizes, errors = np.abs(samples.values), samples.standard_errors
    if len(sizes) <= SHOWN:
        return False
    *_, last, following = strongest(sizes, SHOWN + 1)
    error_of_difference = np.hypot(errors[last], errors[following])
    return bool(sizes[last] - sizes[following] < error_of_difference)


def unreliable_reason(
    values: Doubles, errors: Doubles, gap: float, budget: ExplanationBudget
) -> str:
    """Return why the reasons must not be shown, or an empty string."""
    if not (np.isfinite(values).all() and np.isfinite(gap)):
        return "The attributions are not finite numbers."
    if abs(gap) > budget.gap_tolerance_logit:
        return (
            f"The attributions miss the prediction by {abs(gap):.3g} logits; at most "
            f"{budget.gap_tolerance_logit:g} is tolerated."
        )
    top = strongest(np.abs(values), 1)
    if top and np.abs(values[top[0]]) < 2 * errors[top[0]]:
        return "No single finding stands out from the error of estimation."
    return ""


def group_sums(samples: PairSamples, groups: Sequence[str]) -> tuple[GroupAttribution, ...]:
    """Sum attributions by group; errors come from the sums of each pair, as tokens correlate."""
    names = list(dict.fromkeys(groups))
    member = np.array([[group == name for name in names] for group in groups], np.float64)
    sums = samples.by_pair @ member.reshape(len(groups), len(names))  # (pairs, groups)
    values, errors = sums.mean(axis=0), standard_errors(sums)
    counts = member.reshape(len(groups), len(names)).sum(axis=0)
    return tuple(
        GroupAttribution(name, float(value), float(error), int(count))
        for name, value, error, count in zip(names, values, errors, counts, strict=True)
    )


def _attributions(
    labels: Sequence[TokenLabel],
    values: Doubles,
    errors: Doubles,
    attention: Floats,
    notes: np.ndarray,
    lime: Doubles | None,
) -> tuple[TokenAttribution, ...]:
    by_lime = {} if lime is None else dict(zip(notes.tolist(), lime.tolist(), strict=True))
    columns = zip(labels, values.tolist(), errors.tolist(), attention.tolist(), strict=True)
    return tuple(
        TokenAttribution(
            token_id=label.token_id,
            modality=label.modality,
            organ_system=label.organ_system,
            evidence=label.evidence,
            sources=label.sources,
            shap_logit=value,
            shap_standard_error_logit=error,
            attention=weight,
            lime_logit=by_lime.get(position),
        )
        for position, (label, value, error, weight) in enumerate(columns)
    )
