"""The explanation of a record, against enumeration, package shap and what must hold always."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from model.explain import (
    ExplanationBudget,
    TokenGame,
    content_seed,
    estimate,
    explain,
    group_sums,
    unreliable_reason,
)
from model.shapley import PairSamples, exact_shapley_values
from model.tokens import tokenize
from tests.model.worlds import CONFIG, TASK, chart, embed, measurements

CHARTS = {
    "all modalities": {},
    "no notes": {"notes": ()},
    "no device": {"device_series": ()},
    "statics only": {"measurements": (), "notes": (), "device_series": ()},
}


def game_of(predictor, record):
    """Return the tokens, the game, and the attention of the full coalition."""
    tokens = tokenize(record, CONFIG, embed)
    memory = predictor.network.encode(tokens)
    attention = predictor.network.fuse(memory, np.ones((1, tokens.token_count), bool)).attention
    return tokens, TokenGame(predictor.network, memory, 0), attention


def explained(predictor, record, budget=None, deadline_s=None):
    tokens, game, attention = game_of(predictor, record)
    return explain(game, tokens, attention, task=TASK, budget=budget, deadline_s=deadline_s)


@pytest.mark.parametrize("changes", CHARTS.values(), ids=list(CHARTS))
def test_what_holds_for_every_explanation(predictor, changes):
    record = chart(**changes)
    found = explained(predictor, record)
    tokens = tokenize(record, CONFIG, embed)
    assert [t.token_id for t in found.tokens] == [label.token_id for label in tokens.labels]
    assert abs(found.efficiency_gap_logit) < 1e-4
    assert sum(t.attention for t in found.tokens) < 1
    for groups in (found.by_modality, found.by_organ_system):
        assert sum(g.token_count for g in groups) == len(found.tokens)
        assert sum(g.shap_logit for g in groups) == pytest.approx(
            found.logit - found.empty_logit, abs=1e-4
        )
    assert all(t.sources for t in found.tokens if getattr(t.evidence, "measured", True))
    assert all((t.lime_logit is not None) == (t.modality == "note") for t in found.tokens)
    assert found.agreement.shap_lime_note_compared == (
        min(5, len(tokens.sentence_features)) or None
    )


def test_values_approach_enumeration(predictor):
    """Nine variables and two sentences: all 2,048 coalitions."""
    record = chart(notes=chart().notes[:1], device_series=())
    tokens, game, attention = game_of(predictor, record)
    assert tokens.token_count == 11
    exact = exact_shapley_values(game, 11)
    found = explain(game, tokens, attention, task=TASK, budget=ExplanationBudget(pairs=200))
    values = np.array([t.shap_logit for t in found.tokens])
    assert ((values - exact) ** 2).sum() < 3e-3 * (exact**2).sum()


def test_the_default_budget_is_close_to_enumeration(predictor):
    record = chart(notes=chart().notes[:1], device_series=())
    tokens, game, attention = game_of(predictor, record)
    exact = exact_shapley_values(game, 11)
    found = explain(game, tokens, attention, task=TASK)
    values = np.array([t.shap_logit for t in found.tokens])
    assert ((values - exact) ** 2).sum() < 0.05 * (exact**2).sum()


def test_package_shap_agrees_on_the_same_game(predictor):
    shap = pytest.importorskip("shap", reason="training dependencies are not installed")
    record = chart(notes=chart().notes[:1], device_series=())
    _, game, _ = game_of(predictor, record)
    explainer = shap.explainers.Exact(lambda x: game(x.astype(bool)), np.zeros((1, 11)))
    theirs = explainer(np.ones((1, 11))).values[0]
    np.testing.assert_allclose(exact_shapley_values(game, 11), theirs, atol=1e-5)


def test_package_shap_permutations_agree_within_errors(predictor):
    shap = pytest.importorskip("shap", reason="training dependencies are not installed")
    tokens, game, attention = game_of(predictor, chart())
    n = tokens.token_count
    explainer = shap.explainers.Permutation(
        lambda x: game(x.astype(bool)), np.zeros((1, n)), seed=0
    )
    theirs = explainer(np.ones((1, n)), max_evals=40 * (2 * n + 1), silent=True).values[0]
    found = explain(game, tokens, attention, task=TASK, budget=ExplanationBudget(pairs=40))
    ours = np.array([t.shap_logit for t in found.tokens])
    errors = np.array([t.shap_standard_error_logit for t in found.tokens])
    assert (np.abs(ours - theirs) < 6 * errors + 1e-6).all()
    assert np.corrcoef(ours, theirs)[0, 1] > 0.97


def test_the_same_chart_gives_the_same_explanation(predictor):
    assert explained(predictor, chart()) == explained(predictor, chart())


def test_another_chart_has_another_seed(predictor):
    changed = chart(measurements=measurements({"lactate": [(1, 9.0)]}))
    seeds = {content_seed(tokenize(record, CONFIG, embed).labels) for record in (chart(), changed)}
    assert len(seeds) == 2


def test_a_hidden_reason_in_one_modality_shows_there(predictor):
    """Group sums over all tokens of a modality equal the sums of its tokens."""
    found = explained(predictor, chart())
    for group in found.by_modality:
        members = [t.shap_logit for t in found.tokens if t.modality == group.group]
        assert group.shap_logit == pytest.approx(sum(members))
        assert group.token_count == len(members)


def test_group_errors_come_from_the_sums_of_each_pair():
    """Two tokens that share a credit back and forth are uncertain; their sum is not."""
    samples = PairSamples(
        np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]]), np.array([[1.0, -1.0, 0.0]])
    )
    alone, both = group_sums(samples, ["a", "b", "b"]), group_sums(samples, ["a", "a", "b"])
    assert alone[0].standard_error_logit > 0.3
    assert both[0].shap_logit == 1.0
    assert both[0].standard_error_logit == 0.0


def test_more_pairs_are_spent_while_the_fifth_overlaps_the_sixth(predictor):
    tokens, game, _ = game_of(predictor, chart())
    n = tokens.token_count
    base = 2 + 512 + 2 * 2 * (n - 1)
    fixed = ExplanationBudget(pairs=2, most_pairs=2)
    assert estimate(game, tokens, 0, fixed, None).evaluations == base
    more = estimate(game, tokens, 0, replace(fixed, most_pairs=6), None)
    assert more.evaluations == base + 2 * (n - 1) * (len(more.samples.by_pair) - 2)
    assert 2 <= len(more.samples.by_pair) <= 6


def test_a_passed_deadline_ends_refinement_but_not_the_explanation(predictor):
    tokens, game, _ = game_of(predictor, chart())
    late = estimate(game, tokens, 0, ExplanationBudget(most_pairs=50), time.monotonic() - 1)
    assert len(late.samples.by_pair) == ExplanationBudget().pairs


@pytest.mark.parametrize(
    ("values", "errors", "gap", "reason"),
    [
        ([1.0, 0.1], [0.1, 0.1], 0.0, ""),
        ([1.0, 0.1], [0.1, 0.1], 0.01, "miss the prediction by 0.01 logits; at most 0.001"),
        ([np.nan, 0.1], [0.1, 0.1], 0.0, "not finite"),
        ([0.1, 0.1], [0.1, 0.1], 0.0, "No single finding stands out"),
        ([], [], 0.0, ""),
    ],
)
def test_reasons_not_to_show(values, errors, gap, reason):
    found = unreliable_reason(np.array(values), np.array(errors), gap, ExplanationBudget())
    assert reason in found
    assert bool(found) is bool(reason)
