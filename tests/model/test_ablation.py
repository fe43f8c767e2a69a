"""The ablation on a small planted cohort: arms change one thing, runs go on, figures compare."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from model.training.ablation import run_ablation
from model.training.ablation_arms import (
    ARMS,
    FULL,
    UNALIGNED,
    Arm,
    SwitchMissing,
    UnknownArm,
    arms_named,
    settings_of_arm,
)
from model.training.ablation_claims import claims
from model.training.ablation_data import planted_data, with_modalities, with_shuffled_labels
from model.training.ablation_report import (
    ablation_document,
    arms_table,
    claims_table,
    write_ablation_page,
)
from model.training.ablation_summary import Ablation
from model.training.losses import ConsistencySettings
from model.training.network import NetworkConfig
from model.training.settings import TrainingSettings
from tests.model.worlds import embed

SETTINGS = TrainingSettings(
    network=NetworkConfig(
        width=16, heads=2, bins=4, rank=4, latents_per_modality=1, feed_forward=16, dropout=0.1
    ),
    consistency=ConsistencySettings(row_share=0.05, lime_samples=32, warm_up_share=0.4),
    epochs=2,
    batch_size=16,
    learning_rate=1e-2,
    warm_up_steps=5,
)
NAMES = [FULL, UNALIGNED, "random labels", "amortised head"]
SEEDS = [0, 1]
make_data = partial(planted_data, embed, stays=140, test_stays=100, explained=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ablation")


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture(scope="module")
def results(folder, data):
    return run_ablation(make_data, arms_named(NAMES), SEEDS, SETTINGS, folder, data=data)


@pytest.fixture(scope="module")
def ablation(results, data):
    return Ablation(results, data.test.labels("in_hospital_death"), resamples=10)


def test_every_arm_can_be_set_and_changes_something():
    settings = [settings_of_arm(TrainingSettings(), arm) for arm in ARMS]
    plain = {FULL, "random labels"}  # the second changes the labels, not the settings
    for arm, found in zip(ARMS, settings, strict=True):
        assert (found == TrainingSettings()) == (arm.name in plain), arm.name


def test_an_arm_whose_switch_does_not_exist_is_skipped_with_its_reason(tmp_path, data):
    arm = Arm("warp", "?", {"network.warp": 9})
    with pytest.raises(SwitchMissing, match=r"'network\.warp'"):
        settings_of_arm(SETTINGS, arm)
    said = []
    (result,) = run_ablation(
        make_data,
        [arm],
        [0],
        SETTINGS,
        tmp_path,
        data=data,
        report=lambda _, word: said.append(word),
    )
    assert result["skipped"] == said[0] == "the training settings have no switch 'network.warp'"
    assert not list(tmp_path.iterdir())


def test_an_unknown_arm_is_named_with_those_that_exist():
    with pytest.raises(UnknownArm, match=r"There is no arm 'fulll'; the arms are: .*full"):
        arms_named(["fulll"])


def test_what_was_run_is_kept_and_other_settings_run_anew(folder, results, data):
    said = []
    again = run_ablation(
        make_data,
        arms_named(NAMES),
        [0, 1],
        SETTINGS,
        folder,
        data=data,
        report=lambda _, word: said.append(word),
    )
    assert said == ["kept"] * 8
    assert again == results
    said.clear()
    run_ablation(
        make_data,
        arms_named([UNALIGNED]),
        [0],
        replace(SETTINGS, epochs=1),
        folder,
        data=data,
        report=lambda _, word: said.append(word),
    )
    assert said == ["done"]
    assert not list(folder.glob("*.state"))
    assert not list(folder.glob("*.part"))


def test_shuffled_labels_keep_their_number_and_leave_the_stays(data):
    shuffled = with_shuffled_labels(data.training, seed=3)
    before, after = (cohort.labels("in_hospital_death") for cohort in (data.training, shuffled))
    assert before.sum() == after.sum()
    assert (before != after).any()
    assert shuffled.groups().tolist() == data.training.groups().tolist()


def test_an_arm_does_not_differ_from_itself_and_intervals_hold_their_value(ablation):
    assert ablation.difference(FULL, FULL, "auroc").to_json() == [0, 0, 0]
    for figure in ("auroc", "attention_shap_top5", "shap_pearson"):
        found = ablation.estimate(FULL, figure)
        assert found.low <= found.value <= found.high


def test_only_seeds_that_every_arm_has_are_compared(results, data):
    fewer = [r for r in results if not (r["arm"] == FULL and r["seed"] == 1)]
    assert Ablation(fewer, data.test.labels("in_hospital_death"), resamples=5).seeds == (0,)


def test_the_head_guesses_and_changes_no_prediction(results):
    runs = {(r["arm"], r["seed"]): r for r in results}
    head, plain = runs["amortised head", 0], runs[UNALIGNED, 0]
    assert head["probabilities"] == plain["probabilities"]
    assert np.mean(head["figures"]["guess_pearson"]) > 0
    assert head["attention"] != plain["attention"]


def test_claims_are_decided_by_intervals(ablation):
    found = {one.measured: one for one in claims(ablation)}
    one = found[f"auroc: {FULL} - {UNALIGNED}"]
    expected = "holds" if one.low > -0.005 else "refuted" if one.high < -0.005 else "not shown"
    assert one.verdict == expected
    assert f"mass_logit: {FULL} / random labels" in found


def test_tables_document_and_page_hold_every_arm(ablation, tmp_path):
    found = claims(ablation)
    about = {"data": "synthetic"}
    document = json.loads(json.dumps(ablation_document(about, ablation, found)))
    assert set(document["arms"]) == set(NAMES)
    assert document["seeds"] == [0, 1]
    assert arms_table(ablation, "t").row_count == len(NAMES)
    assert claims_table(found).row_count == len(found)
    write_ablation_page(tmp_path / "ablation.html", about, ablation, found)
    text = (tmp_path / "ablation.html").read_text()
    assert text.count("<svg") >= 3
    assert "2 seeds, 100 test stays" in text


def test_a_network_of_one_modality_is_shown_nothing_else(data):
    device = with_modalities(data, ("device",))
    for part, whole in ((device.training, data.training), (device.test, data.test)):
        for case, before in zip(part.cases, whole.cases, strict=True):
            assert not case.tokens.structured_measured.any()
            assert np.isnan(case.tokens.structured_stats).all()
            assert len(case.tokens.sentence_embeddings) == len(case.tokens.sentence_features) == 0
            assert np.array_equal(case.tokens.patch_stats, before.tokens.patch_stats)
            assert case.facts is before.facts
    assert device.truth == ()  # it is by token, and tokens are gone
    structured = with_modalities(data, ("structured",)).test.cases[0].tokens
    assert len(structured.patch_stats) == 0
    assert structured.structured_measured.any()


def test_an_arm_of_one_modality_runs(tmp_path, data):
    [result] = run_ablation(
        make_data, arms_named(["device only"]), [0], SETTINGS, tmp_path, data=data
    )
    assert len(result["probabilities"]) == len(data.test)
    assert "shap_precision" not in result["figures"]


def test_a_result_is_kept_when_only_the_wording_of_an_arm_changes(tmp_path, data):
    arm = arms_named(["device only"])[0]
    said = []
    for question in ("a network of its own", "asked in other words"):
        run_ablation(
            make_data,
            [replace(arm, question=question)],
            [0],
            SETTINGS,
            tmp_path,
            data=data,
            report=lambda job, word: said.append(word),
        )
    run_ablation(
        make_data,
        [replace(arm, modalities=("structured",))],
        [0],
        SETTINGS,
        tmp_path,
        data=data,
        report=lambda job, word: said.append(word),
    )
    assert said == ["done", "kept", "done"]
