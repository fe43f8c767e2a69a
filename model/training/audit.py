"""Check a checkpoint's explanations record by record: the served estimators against better ones.

What is explained is the ONNX network that serves. ``shap`` and ``lime`` are the stock packages on
the same value function; near-exact values take at least 16,000 evaluations a record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from model.alignment import agreement, spearman, top_overlap
from model.checkpoint import Checkpoint
from model.explain import ExplanationBudget, TokenGame, estimate
from model.lime_sentences import coefficients
from model.onnx_network import OnnxNetwork
from model.shapley import Game, PairSamples, shapley_values
from model.tokens import TokenArrays
from model.training.audit_controls import null_players
from model.training.export import load_network
from model.training.faithfulness import deletion_curves, shares, signed_ranking
from model.training.network import FusionNetwork
from model.training.outside_explainers import integrated_gradients, occlusion
from model.training.predict import RowGame
from model.training.teacher import lime_coefficients, shap_attribution

Doubles = npt.NDArray[np.float64]
Figures = dict[str, float | None]

SAME_ANSWER_ERRORS = 3.0  # joint standard errors between our value and the stock package's
DRAWN = ("near_exact", "served", "attention", "random")  # rankings whose curves are drawn
ROUNDING_LOGIT = 1e-5  # float32 noise of two evaluation orders


@dataclass(frozen=True, slots=True)
class AuditEffort:
    """How much to spend on each record."""

    reference_evaluations: int = 16_000
    stock_evaluations: int = 16_000
    seeds: int = 10  # sampling seeds whose answers are compared
    lime_samples: int = 2048  # for the comparison with package lime, on the same masks

    @classmethod
    def quick(cls) -> AuditEffort:
        """Half a minute for eight records; the near-exact values stay near-exact."""
        return cls(stock_evaluations=4_000, seeds=4, lime_samples=512)


@dataclass(frozen=True, slots=True, eq=False)
class RecordAudit:
    """What was found on one record."""

    figures: Figures  # None where the record does not allow a figure
    falls: dict[str, Doubles]  # by ranking: fall of the logit at each share of GRID hidden


@dataclass(frozen=True, slots=True, eq=False)
class Audited:
    """A checkpoint's networks: the one that serves, and the torch one where its weights are."""

    served: OnnxNetwork
    torch: FusionNetwork | None


def networks_of(checkpoint: Checkpoint, weights: bytes | None) -> Audited:
    """Open both networks; ``weights`` are those of the file weights.safetensors."""
    served = OnnxNetwork(checkpoint.encode_graph, checkpoint.fuse_graph, threads=1)
    return Audited(served, None if weights is None else load_network(checkpoint, weights))


def audit_records(
    audited: Audited,
    records: Sequence[TokenArrays],
    effort: AuditEffort,
    *,
    budget: ExplanationBudget | None = None,
    on_record: Callable[[], None] | None = None,
) -> list[RecordAudit]:
    """Return what is found on each record."""
    rows = []
    for number, tokens in enumerate(records):
        rows.append(_audit(audited, tokens, effort, budget or ExplanationBudget(), number))
        if on_record is not None:
            on_record()
    return rows


def _audit(
    audited: Audited,
    tokens: TokenArrays,
    effort: AuditEffort,
    budget: ExplanationBudget,
    number: int,
) -> RecordAudit:
    n, rng = tokens.token_count, np.random.default_rng([number, 2])
    memory = audited.served.encode(tokens)
    game = TokenGame(audited.served, memory, task=0)
    attention = audited.served.fuse(memory, np.ones((1, n), np.bool_)).attention
    reference, empty, full = shapley_values(
        game, n, pairs_for(effort.reference_evaluations, n), rng
    )
    served = [estimate(game, tokens, 1000 + seed, budget, None) for seed in range(effort.seeds)]
    row_game = None if audited.torch is None else RowGame(audited.torch, tokens)
    figures: Figures = {"tokens": float(n), "evaluations": float(served[0].evaluations)}
    figures |= _estimation([s.samples for s in served], reference, full - empty)
    figures |= _against_shap(game, n, reference, effort)
    figures |= _against_lime(game, tokens, effort)
    figures |= _attention(reference, attention.astype(np.float64), tokens)
    rankings = _rankings(game, served[0].samples, reference, attention, row_game, rng)
    figures |= _outside(reference, attention.astype(np.float64), rankings)
    figures |= _faithfulness(game, reference, rankings, rng)
    figures |= null_players(game, n, rng)
    if row_game is not None:
        figures |= _same_network(game, row_game, rng)
    falls = {
        name: deletion_curves(game, signed_ranking(values)).fall
        for name, values in rankings.items()
        if name in DRAWN
    }
    return RecordAudit(figures, falls)


def pairs_for(evaluations: int, players: int) -> int:
    """Return how many antithetic pairs take at least this many evaluations; two at least."""
    return max(2, math.ceil(evaluations / max(1, 2 * (players - 1))))


def _estimation(served: Sequence[PairSamples], reference: PairSamples, span: float) -> Figures:
    """Compare what the served budget says, under several seeds, with near-exact values."""
    exact = reference.values
    power = float((exact**2).sum())
    sizes = [np.abs(samples.values) for samples in served]
    pairs = list(combinations(sizes, 2))
    overlaps = [top_overlap(size, np.abs(exact)) for size in sizes]
    among = [top_overlap(first, second) for first, second in pairs]
    return {
        "nmse": float(np.mean([((s.values - exact) ** 2).sum() / power for s in served])),
        "reference_nmse": float((reference.standard_errors**2).sum() / power),
        "top5_overlap": _mean(overlaps),
        "seed_stability_top5": _mean(among),
        "gap_logit": max(abs(float(s.values.sum()) - span) for s in served),
    }


def _against_shap(game: Game, n: int, reference: PairSamples, effort: AuditEffort) -> Figures:
    """Compare with the stock permutation explainer: within the errors of both."""

    def in_doubles(masks: npt.NDArray[np.bool_]) -> Doubles:
        return np.asarray(game(masks), np.float64)

    stock = shap_attribution(in_doubles, n, pairs=pairs_for(effort.stock_evaluations, n), seed=7)
    joint = np.sqrt(stock.standard_errors**2 + reference.standard_errors**2)
    distance = np.abs(stock.values - reference.values)
    same = distance <= SAME_ANSWER_ERRORS * joint + ROUNDING_LOGIT
    return {
        "shap_same_share": float(same.mean()),
        "shap_nmse": float((distance**2).sum() / (reference.values**2).sum()),
    }


def _against_lime(game: Game, tokens: TokenArrays, effort: AuditEffort) -> Figures:
    """Fit the masks that package lime drew with our own ridge as well."""
    sentences = len(tokens.sentence_features)
    if sentences < 2:
        return {"lime_difference_share": None}
    start = len(tokens.structured_stats)
    columns = np.arange(start, start + sentences)
    seen: list[tuple[Any, Any]] = []

    def watched(masks: npt.NDArray[np.bool_]) -> Doubles:
        values = np.asarray(game(masks), np.float64)
        seen.append((masks[:, columns], values))
        return values

    stock = lime_coefficients(
        watched, tokens.token_count, columns, samples=effort.lime_samples, seed=11
    )
    masks, values = (np.concatenate(part) for part in zip(*seen, strict=True))
    ours = coefficients(masks, values)
    scale = max(float(np.abs(stock).max()), 1e-9)
    return {"lime_difference_share": float(np.abs(ours - stock).max()) / scale}


def _attention(reference: PairSamples, attention: Doubles, tokens: TokenArrays) -> Figures:
    notes = np.zeros(0, np.int64)
    found = agreement(reference.values, reference.standard_errors, attention, notes, None)
    return {
        "attention_shap_top5": found.attention_shap_top5,
        "attention_shap_spearman": found.attention_shap_spearman,
    }


def _rankings(
    game: Game,
    served: PairSamples,
    reference: PairSamples,
    attention: npt.NDArray[np.float32],
    row_game: RowGame | None,
    rng: np.random.Generator,
) -> dict[str, Doubles]:
    """Return signed values by several explainers; attention is given the signs of occlusion."""
    n = len(attention)
    alone = occlusion(game, n)
    rankings = {
        "near_exact": reference.values,
        "served": served.values,
        "occlusion": alone,
        "attention": attention.astype(np.float64) * np.sign(alone),
        "random_sizes": rng.random(n) * np.sign(alone),
        "random": rng.normal(size=n),
    }
    if row_game is not None:
        rankings["integrated_gradients"] = integrated_gradients(row_game)
    return rankings


def _outside(
    reference: PairSamples, attention: Doubles, rankings: Mapping[str, Doubles]
) -> Figures:
    """Compare SHAP and attention with explainers that were in no loss."""
    figures: Figures = {}
    for word, name in (("occlusion", "occlusion"), ("gradients", "integrated_gradients")):
        if name not in rankings:
            continue
        sizes = np.abs(rankings[name])
        figures[f"shap_{word}_top5"] = top_overlap(np.abs(reference.values), sizes)
        figures[f"shap_{word}_spearman"] = spearman(reference.values, rankings[name])
        figures[f"attention_{word}_top5"] = top_overlap(attention, sizes)
    return figures


def _faithfulness(
    game: Game, reference: PairSamples, rankings: Mapping[str, Doubles], rng: np.random.Generator
) -> Figures:
    """State the areas of every ranking's deletion curves as shares of the near-exact one's."""
    figures: Figures = {}
    for name, areas in shares(game, reference.values, rankings, rng).items():
        figures[f"{name}_comprehensiveness"] = None if areas is None else areas.comprehensiveness
        figures[f"{name}_sufficiency"] = None if areas is None else areas.sufficiency
    return figures


def _same_network(game: TokenGame, row_game: RowGame, rng: np.random.Generator) -> Figures:
    """Compare the two networks on the whole record and on random parts of it."""
    masks = rng.random((64, len(row_game))) < rng.random((64, 1))
    masks[0] = True
    return {"onnx_torch_logit": float(np.abs(game(masks) - row_game(masks)).max())}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
