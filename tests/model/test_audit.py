"""The audit on the small world: it passes where it should, and each break fails its line."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import load_checkpoint
from model.tokens import TokenArrays
from model.training.audit import Audited, AuditEffort, audit_records, networks_of, pairs_for
from model.training.audit_controls import null_players, randomised, randomised_similarity
from model.training.audit_lines import CLAIMS, audit_lines, passed
from model.training.audit_report import audit_document, audit_table, write_audit_page
from model.training.export import WEIGHTS
from model.training.network import FusionNetwork

EFFORT = AuditEffort(reference_evaluations=2000, stock_evaluations=1000, seeds=2, lime_samples=64)
RECORDS = 2


@pytest.fixture(scope="module")
def audited(checkpoint_folder: Path) -> Audited:
    weights = (checkpoint_folder / WEIGHTS).read_bytes()
    return networks_of(load_checkpoint(checkpoint_folder), weights)


@pytest.fixture(scope="module")
def records(cohort: list[TokenArrays]) -> list[TokenArrays]:
    return [one for one in cohort if len(one.sentence_features) > 1][:RECORDS]


@pytest.fixture(scope="module")
def rows(audited, records):
    return audit_records(audited, records, EFFORT)


def by_figure(rows, randomised_values=()):
    return {line.figure: line for line in audit_lines([r.figures for r in rows], randomised_values)}


@pytest.mark.parametrize(
    "figure",
    [
        *("gap_logit", "shap_same_share", "lime_difference_share", "null_token_logit"),
        *("dummy_player_logit", "onnx_torch_logit", "served_comprehensiveness"),
    ],
)
def test_a_sound_checkpoint_passes(rows, figure):
    line = by_figure(rows)[figure]
    assert line.verdict == "pass", line
    assert line.n == RECORDS


def test_every_claim_has_a_line_and_says_what_was_not_measured(rows):
    lines = by_figure(rows)
    assert set(lines) == {claim.figure for claim in CLAIMS} | {"randomised_spearman"}
    assert lines["randomised_spearman"].verdict == "not measured"
    assert lines["shap_occlusion_top5"].verdict == "reported"


def test_without_torch_weights_the_served_network_is_audited_all_the_same(
    checkpoint_folder, records
):
    served_alone = networks_of(load_checkpoint(checkpoint_folder), None)
    lines = by_figure(audit_records(served_alone, records[:1], EFFORT))
    assert lines["nmse"].value is not None
    assert lines["onnx_torch_logit"].verdict == "not measured"
    assert lines["shap_gradients_top5"].verdict == "not measured"


def test_another_network_behind_the_weights_fails(audited, records):
    other = deepcopy(audited.torch)
    with torch.no_grad():
        next(other.head.parameters()).add_(0.1)
    lines = by_figure(audit_records(Audited(audited.served, other), records[:1], EFFORT))
    assert lines["onnx_torch_logit"].verdict == "fail"
    assert not passed(list(lines.values()))


def test_shuffled_weights_change_every_matrix_and_keep_its_numbers(network: FusionNetwork):
    other = randomised(network, seed=1)
    for (name, one), two in zip(network.named_parameters(), other.parameters(), strict=True):
        if one.numel() > 20:
            assert not torch.equal(one, two), name
        assert torch.equal(one.flatten().sort().values, two.flatten().sort().values)


def test_a_network_is_like_itself_and_unlike_shuffled_ones(network, records):
    found = randomised_similarity(network, records[:1], pairs=2)
    assert all(abs(value) < 0.9 for value in found)


def test_an_estimator_that_gives_nulls_something_is_caught():
    figures = null_players(
        lambda masks: masks.sum(axis=1).astype(np.float64), 6, np.random.default_rng(0)
    )
    assert figures == {"null_token_logit": 0.0, "dummy_player_logit": 0.0}


@pytest.mark.parametrize(
    ("evaluations", "players", "pairs"), [(16_000, 101, 80), (10, 101, 2), (16_000, 1, 16_000)]
)
def test_pairs_take_at_least_the_evaluations(evaluations, players, pairs):
    assert pairs_for(evaluations, players) == pairs


@pytest.mark.parametrize(
    ("figure", "value", "verdict"),
    [
        ("nmse", 0.009, "pass"),
        ("nmse", 0.011, "fail"),
        ("top5_overlap", 0.95, "pass"),
        ("top5_overlap", 0.94, "fail"),
        ("gap_logit", 2e-4, "fail"),
    ],
)
def test_a_bound_decides(figure, value, verdict):
    lines = {line.figure: line for line in audit_lines([{figure: value}, {figure: value}])}
    assert lines[figure].verdict == verdict


def test_similarity_of_either_sign_fails():
    for value in (0.5, -0.5):
        (line,) = [x for x in audit_lines([], [value] * 4) if x.figure == "randomised_spearman"]
        assert line.verdict == "fail"


def test_table_document_and_page_say_the_same(rows, tmp_path):
    lines = audit_lines([row.figures for row in rows])
    about = {"model": "small 1", "source": "random charts", "n": len(rows)}
    document = audit_document(about, lines, rows)
    assert json.loads(json.dumps(document))["n"] == RECORDS
    assert len(document["lines"]) == len(lines) == audit_table(lines, "t").row_count
    write_audit_page(tmp_path / "deep" / "audit.html", about, lines, rows)
    text = (tmp_path / "deep" / "audit.html").read_text()
    assert text.count("<svg") == 2
    assert all(line.words.split(":")[0].replace("'", "&#x27;") in text for line in lines)
