"""Calibration, comparison, model card and checkpoint of a tiny trained network."""

import json
from dataclasses import replace

import numpy as np
import pytest

from model.calibration import Calibration, LogitMap
from model.checkpoint import load_checkpoint
from model.predictor import Predictor
from model.synthetic import planted_cohort
from model.training.availability import SUBSETS, cases_by_pattern
from model.training.baselines import (
    STATISTICS,
    boosted_trees,
    logistic_regression,
    note_words,
    summary_features,
)
from model.training.evaluation import Comparison, System, network_system, subgroups
from model.training.explanation_figures import explanation_figures
from model.training.export import WEIGHTS, load_network
from model.training.fit_calibration import CalibrationError, fit_calibration, fit_conformal
from model.training.loop import train_network
from model.training.losses import ConsistencySettings
from model.training.metrics import auroc
from model.training.model_card import model_card
from model.training.network import NetworkConfig
from model.training.recovery import before_and_after, planted_tokens
from model.training.settings import TrainingSettings
from model.training.shipping import TRAINING, Release, base_rate, ship
from tests.model.worlds import HashEncoder, embed

TASK = "in_hospital_death"
SETTINGS = TrainingSettings(
    network=NetworkConfig(
        width=16,
        heads=2,
        bins=4,
        rank=4,
        latents_per_modality=1,
        shared_latents=2,
        feed_forward=16,
        dropout=0.1,
    ),
    consistency=ConsistencySettings(kl_weight=0, mass_weight=0),
    epochs=15,
    batch_size=16,
    learning_rate=1e-2,
    warm_up_steps=5,
)


@pytest.fixture(scope="module")
def cases():
    return list(planted_cohort(450, seed=3))


@pytest.fixture(scope="module")
def cohort(cases):
    return planted_tokens(cases, embed)


@pytest.fixture(scope="module")
def training(cohort):
    return cohort.select(range(200))


@pytest.fixture(scope="module")
def tuning(cohort):
    return cohort.select(range(200, 450))


@pytest.fixture(scope="module")
def trained(training):
    return train_network(training, None, SETTINGS)


@pytest.fixture(scope="module")
def folder(trained, training, tuning, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shipped") / "meam-risk"
    release = Release("0.0.1", "Trained on a planted cohort.", HashEncoder.identity)
    ship(folder, trained, training, tuning, SETTINGS, release)
    return folder


def test_a_shipped_checkpoint_serves_the_network_that_was_trained(folder, trained, cases, tuning):
    predictor = Predictor(load_checkpoint(folder), HashEncoder(), threads=1)
    records = [case.record for case in cases[200:205]]
    served = predictor.logits(records)[:, 0]
    again = load_network(load_checkpoint(folder), (folder / WEIGHTS).read_bytes())
    system = network_system(
        again, predictor.checkpoint.calibration[TASK], tuning.tokens()[:5], tuning, TASK
    )
    prediction, explanation = predictor(records[0])
    assert prediction.tasks[0].probability == pytest.approx(system.probabilities[0], abs=1e-5)
    assert explanation is not None
    assert explanation.logit == pytest.approx(served[0], abs=1e-5)


def test_the_checkpoint_says_how_it_was_made(folder, trained):
    document = json.loads((folder / TRAINING).read_text())
    assert document["training_stays"]["planted"]["stays"] == 200
    assert document["tuning_stays"]["planted"]["stays"] == 250
    assert len(document["history"]) == len(trained.history)


def test_patterns_are_calibrated_on_cases_of_their_own(folder):
    calibration = load_checkpoint(folder).calibration[TASK]
    assert {"structured+note+device", "structured+note"} <= set(calibration.by_pattern)
    assert set(calibration.by_pattern) <= {"+".join(subset) for subset in SUBSETS}
    assert all(fitted.cases >= 200 for fitted in calibration.by_pattern.values())


def test_patterns_that_few_charts_have_are_made_from_richer_ones(trained, tuning):
    cases = cases_by_pattern(trained.network, tuning.tokens(), enough=10)
    assert np.sum(cases.patterns == "structured+note+device") == 250
    assert np.sum(cases.patterns == "note") == 250
    whole = cases.logits[cases.patterns == "structured+note+device"]
    assert not np.allclose(cases.logits[cases.patterns == "note"], whole)


@pytest.fixture
def timid():
    """Outcomes drawn from twice the stated logit."""
    generator = np.random.default_rng(0)
    logits = generator.normal(-1, 1, 4000)
    outcomes = (generator.random(4000) < 1 / (1 + np.exp(-2 * logits))).astype(float)
    return outcomes, logits


def test_calibration_finds_the_planted_temperature(timid):
    outcomes, logits = timid
    fitted = fit_calibration(outcomes, logits, np.array(["device"] * 4000))
    assert fitted.pooled.temperature == pytest.approx(0.5, abs=0.06)
    assert fitted.by_pattern["device"] == fitted.pooled


def test_small_patterns_have_no_map_of_their_own(timid):
    outcomes, logits = timid
    patterns = np.where(np.arange(4000) < 150, "note", "device")
    assert set(fit_calibration(outcomes, logits, patterns).by_pattern) == {"device"}


def test_logits_that_say_nothing_are_refused(timid):
    outcomes, logits = timid
    shuffled = np.random.default_rng(1).permutation(logits)
    with pytest.raises(CalibrationError, match="calibration slope"):
        fit_calibration(outcomes, shuffled, np.array(["device"] * 4000))


@pytest.mark.parametrize(("slope", "spread"), [(-1.1, 3.0), (0.2, 3.0), (0.15, 2.0)])
def test_logits_far_from_the_outcomes_are_refused_with_their_own_slope(slope, spread):
    """Steps that overshot ended at slopes of 1 to 4 here, and such networks were calibrated."""
    for seed in range(20):
        generator = np.random.default_rng(seed)
        logits = generator.normal(0, spread, 1000)
        outcomes = (generator.random(1000) < 1 / (1 + np.exp(-slope * logits))).astype(float)
        with pytest.raises(CalibrationError, match=r"calibration slope -?[01]\.\d\d on 1000 cases"):
            fit_calibration(outcomes, logits, np.full(1000, "device"))


def test_large_logits_that_tell_few_cases_apart_are_used_and_flattened():
    """Five events of fifteen cannot prove 99 %: at most Platt's 6/7 and 1/12 are said."""
    outcomes = np.repeat([0.0, 1.0], [10, 5])
    logits = np.where(outcomes == 1, 15.0, -12.0) + np.linspace(-2, 2, 15)
    pooled = fit_calibration(outcomes, logits, np.full(15, "structured")).pooled
    assert pooled.probability(15.0) == pytest.approx(6 / 7, abs=0.05)
    assert pooled.probability(-12.0) == pytest.approx(1 / 12, abs=0.05)
    with pytest.raises(CalibrationError, match=r"calibration slope -0\.1"):
        fit_calibration(1 - outcomes, logits, np.full(15, "structured"))


def test_equal_logits_are_refused_and_a_pattern_with_them_has_a_flat_map(timid):
    outcomes, logits = timid
    with pytest.raises(CalibrationError, match="equal"):
        fit_calibration(outcomes, np.zeros(4000), np.full(4000, "device"))
    patterns = np.where(np.arange(4000) < 400, "note", "device")
    fitted = fit_calibration(outcomes, np.where(patterns == "note", 0.3, logits), patterns)
    assert fitted.probability(0.3, "note") == pytest.approx(outcomes[:400].mean(), abs=0.01)


def test_conformal_sets_cover_both_outcomes_as_promised(timid):
    outcomes, logits = timid
    probabilities = 1 / (1 + np.exp(-2 * logits))
    fit, new = slice(0, 2000), slice(2000, 4000)
    patterns = np.array(["device"] * 2000)
    sets = fit_conformal(outcomes[fit], probabilities[fit], patterns, alpha=0.1)
    members = np.array([sets.members(p, "device") for p in probabilities[new]])
    for outcome in (0, 1):
        covered = members[outcomes[new] == outcome, outcome].mean()
        assert covered == pytest.approx(0.9, abs=0.03)


def test_with_too_few_events_no_outcome_is_excluded():
    outcomes = np.array([0.0] * 50 + [1.0] * 5)
    sets = fit_conformal(outcomes, np.full(55, 0.1), np.array(["note"] * 55), alpha=0.1)
    assert sets.pooled.event == 1.0


@pytest.fixture(scope="module")
def figures(trained, tuning):
    outcomes = tuning.labels(TASK)
    comparison = Comparison(outcomes)
    calibration = Calibration(LogitMap(1.0, 0.0))
    tokens = tuning.tokens()
    fused = network_system(trained.network, calibration, tokens, tuning, TASK)
    comparison.add("fused", fused)
    notes = network_system(trained.network, calibration, tokens, tuning, TASK, modalities=("note",))
    comparison.add("fused: note only", notes)
    coin = np.random.default_rng(0).random(len(outcomes))
    comparison.add("coin", System(coin, 0.5))
    figures = comparison.to_json(reference="fused", resamples=100)
    figures["subgroups"] = subgroups(tuning, outcomes, fused.probabilities)
    return figures


def test_a_trained_network_beats_a_coin_with_its_interval(figures):
    value, low, high = figures["systems"]["fused"]["auroc"]
    assert low < value < high
    assert low > figures["systems"]["coin"]["auroc"][2]
    assert figures["auroc_differences"]["coin"][1] > 0
    assert (figures["n"], figures["events"]) == (250, figures["events"])


def test_subgroups_state_observed_beside_predicted_risk(figures):
    by_name = {f"{row['kind']}: {row['group']}": row for row in figures["subgroups"]}
    row = by_name["data: structured+note+device"]
    assert row["n"] == 250
    assert 0 < row["predicted"] < 1


def test_explanations_are_measured_with_their_gap(trained, tuning):
    figures = explanation_figures(trained.network, tuning.tokens()[:4])
    assert figures["n"] == 4
    assert figures["largest_efficiency_gap_logit"] < 1e-4
    assert 0 <= figures["attention_shap_top5"] <= 1
    assert figures["shap_lime_notes_common_share_n"] == 4


def test_the_model_card_holds_figures_attributions_and_limits(figures, folder, trained, tuning):
    info = {
        "name": "meam-risk",
        "version": "1.2.3",
        "tasks": [{"base_rate": 0.1234}],
    }
    stays = {"physionet2012-a": {"stays": 10, "events": 2}, "eicu-demo": {"stays": 5, "events": 1}}
    training = json.loads((folder / TRAINING).read_text())
    training |= {"training_stays": stays, "tuning_stays": stays}
    evaluation = {
        "physionet2012": figures,
        "explanations": {"sample": explanation_figures(trained.network, tuning.tokens()[:2])},
    }
    card = model_card(info, training, evaluation)
    value, low, high = figures["systems"]["fused"]["auroc"]
    for words in (
        "meam-risk 1.2.3",
        "12.3%",
        f"{value:.3f} ({low:.3f} to {high:.3f})",
        "ODC-By 1.0",
        "ODbL 1.0",
        "10.13026/4mxk-na84",
        "Not a medical device",
        "## Limits",
    ):
        assert words in card


def test_the_base_rate_counts_a_stay_once(training):
    twice = replace(training, cases=training.cases + training.cases[:50])
    assert base_rate(twice, TASK) == base_rate(training, TASK)


def test_summary_features_join_charted_and_device_values(cases):
    record = cases[0].record
    features = summary_features(record, ["creatinine", "heart_rate", "albumin"], ["medical icu"])
    named = features[:-3].reshape(3, len(STATISTICS))
    creatinine = next(m.value for m in record.measurements if m.variable == "creatinine")
    assert named[0] == pytest.approx([creatinine] * 4 + [1, creatinine])
    assert named[1, STATISTICS.index("count")] == 24
    assert np.isnan(named[2, 0])
    assert named[2, STATISTICS.index("count")] == 0


def test_baselines_find_a_planted_effect():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(600, 5))
    features[generator.random(features.shape) < 0.2] = np.nan
    labels = (generator.random(600) < 1 / (1 + np.exp(-2 * np.nan_to_num(features[:, 0])))) * 1.0
    for fit in (logistic_regression, boosted_trees):
        scores = fit(features[:400], labels[:400], features[400:])
        assert auroc(labels[400:], scores) > 0.7


def test_words_of_notes_find_a_planted_word():
    texts = [
        f"patient {i % 7} is {'moribund' if i % 3 == 0 else 'stable'} today" for i in range(90)
    ]
    labels = np.array([float(i % 3 == 0) for i in range(90)])
    scores = note_words(texts, labels, texts)
    assert scores[labels == 1].min() > scores[labels == 0].max()


def test_planted_causes_are_recovered_in_a_short_run():
    settings = replace(
        SETTINGS,
        consistency=ConsistencySettings(
            warm_up_share=0.5, refresh_epochs=9, row_share=0.15, lime_samples=32
        ),
        epochs=12,
    )
    results = before_and_after(embed, settings, stays=400, explained=20)
    assert set(results) == {"without", "with"}
    assert results["without"].auroc > 0.7
    assert results["without"].shap_pearson > 0.5
    assert results["with"].attention_precision > results["without"].attention_precision
