"""A tiny network on a tiny planted cohort, through the whole path from records."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.synthetic import PREDICTION_TIME, planted_cohort
from model.tokens import TokenConfig, VariableSpec, tokenize
from model.training.cohort import (
    Case,
    CaseFacts,
    Cohort,
    CohortError,
    data_digest,
    join,
    load_cohort,
    restrict,
    save_cohort,
    vocabulary_of,
)
from model.training.dropping import drop_tokens
from model.training.loop import train_network
from model.training.losses import ConsistencySettings
from model.training.network import NetworkConfig
from model.training.predict import RowGame, predict_logits
from model.training.settings import TrainingSettings
from model.training.splits import folds, tuning_split
from model.training.views import earlier
from tests.model.worlds import embed

TASK = "in_hospital_death"
TINY = NetworkConfig(
    width=16, heads=2, bins=4, rank=4, latents_per_modality=1, shared_latents=2, feed_forward=16
)
SETTINGS = TrainingSettings(
    network=TINY,
    consistency=ConsistencySettings(
        warm_up_share=0.5, refresh_epochs=1, row_share=0.2, lime_samples=32
    ),
    epochs=4,
    batch_size=16,
    learning_rate=3e-3,
)


def spec(name):
    return VariableSpec(name, name, "", "general")


CONFIG = TokenConfig(
    variables=tuple(
        map(
            spec,
            (
                "creatinine",
                "platelets",
                "lactate",
                "fraction_inspired_oxygen",
                "potassium",
                "sodium",
                "albumin",
            ),
        )
    ),
    channels=tuple(map(spec, ("respiratory_rate", "mean_blood_pressure", "heart_rate", "steps"))),
    note_types=("Progress note",),
    unit_types=(),
)


def planted(count, seed):
    cases = []
    for case in planted_cohort(count, seed=seed):
        patient = case.record.demographics.source
        facts = CaseFacts("planted", patient, patient, "", "whole", {TASK: float(case.died)})
        tokens = tokenize(case.record, CONFIG, embed, with_labels=False)
        cases.append(Case(tokens, facts, np.array([case.logit], np.float32)))
    return Cohort(CONFIG, tuple(cases))


@pytest.fixture(scope="module")
def cohort():
    return planted(96, seed=0)


@pytest.fixture(scope="module")
def trained(cohort):
    return train_network(cohort, cohort, SETTINGS)


def same_weights(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def test_training_learns_and_the_consistency_loss_takes_part(trained):
    history = trained.history
    assert history[-1].tuning_auroc > history[0].tuning_auroc
    assert [epoch.kl_weight > 0 for epoch in history] == [False, False, True, True]
    assert history[-1].divergence > 0
    assert all(epoch.tuning_auroc is not None for epoch in history)


def test_the_same_seed_gives_the_same_weights(cohort, trained):
    assert same_weights(train_network(cohort, cohort, SETTINGS).network, trained.network)


def test_sums_have_one_order_while_a_network_learns(cohort):
    """On cohorts as small as ours here one thread adds up; on thousands of stays several would."""
    seen = []
    train_network(
        cohort,
        None,
        replace(SETTINGS, epochs=1),
        on_step=lambda *_: seen.append(torch.are_deterministic_algorithms_enabled()),
    )
    assert seen and all(seen)
    assert not torch.are_deterministic_algorithms_enabled()


def test_another_seed_gives_other_weights(cohort, trained):
    other = train_network(cohort, None, replace(SETTINGS, seed=1, epochs=1))
    assert not same_weights(other.network, trained.network)


class Killed(Exception):
    """Stands in for a kill between two epochs."""


def test_a_killed_training_resumes_to_the_same_weights(cohort, trained, tmp_path):
    state = tmp_path / "state"

    def kill_after_three(report):
        if report.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        train_network(cohort, cohort, SETTINGS, state_folder=state, on_epoch=kill_after_three)
    epochs = []
    resumed = train_network(
        cohort, cohort, SETTINGS, state_folder=state, on_epoch=lambda r: epochs.append(r.epoch)
    )
    assert epochs == [3]
    assert same_weights(resumed.network, trained.network)


def with_first(cohort, **changes):
    """The cohort with another first case."""
    first = cohort.cases[0]
    facts = replace(first.facts, **changes.pop("facts", {}))
    tokens = replace(first.tokens, **changes)
    return Cohort(cohort.config, (replace(first, facts=facts, tokens=tokens), *cohort.cases[1:]))


def other_labels(cohort):
    labels = {task: 1 - label for task, label in cohort.cases[0].facts.labels.items()}
    return with_first(cohort, facts={"labels": labels})


def other_tokens(cohort):
    return with_first(cohort, patch_stats=cohort.cases[0].tokens.patch_stats + 1)


def other_encoder(cohort):
    embeddings = cohort.cases[0].tokens.sentence_embeddings
    return with_first(cohort, sentence_embeddings=np.roll(embeddings, 1, axis=1))


def as_it_is(cohort):
    return cohort


@pytest.mark.parametrize(
    ("seed", "change", "change_tuning", "reason"),
    [
        (5, as_it_is, as_it_is, "other settings"),
        (0, other_labels, as_it_is, "other labels or tokens"),
        (0, other_tokens, as_it_is, "other labels or tokens"),
        (0, other_encoder, as_it_is, "other labels or tokens"),
        (0, as_it_is, other_labels, "other labels or tokens"),
    ],
)
def test_a_state_of_another_training_is_not_taken_up(
    cohort, tmp_path, seed, change, change_tuning, reason
):
    state, once = tmp_path / "state", replace(SETTINGS, epochs=1)
    train_network(cohort, cohort, once, state_folder=state)
    epochs, said = [], []
    train_network(
        change(cohort),
        change_tuning(cohort),
        replace(once, seed=seed),
        state_folder=state,
        on_epoch=lambda r: epochs.append(r.epoch),
        on_fresh=said.append,
    )
    assert epochs == [0]
    (sentence,) = said
    assert f"is not used: it is of {reason}. Training starts anew" in sentence


def test_a_cohort_from_a_file_is_the_same_training(cohort, tmp_path):
    save_cohort(tmp_path / "cohort.npz", cohort)
    assert data_digest(load_cohort(tmp_path / "cohort.npz")) == data_digest(cohort)


def test_the_state_holds_no_pickle(cohort, tmp_path):
    state = tmp_path / "state"
    train_network(cohort, None, replace(SETTINGS, epochs=1), state_folder=state)
    assert sorted(file.name for file in state.iterdir()) == ["state.json", "state.safetensors"]


def test_a_fall_of_the_tuning_auroc_under_the_consistency_loss_stops_training(cohort):
    # With a tolerance below any possible value, the first epoch under the loss falls too far.
    stopped = train_network(cohort, cohort, replace(SETTINGS, auroc_tolerance=-1.0))
    assert stopped.stopped_early
    assert len(stopped.history) == 3
    unharmed = train_network(
        cohort,
        cohort,
        replace(SETTINGS, consistency=ConsistencySettings(kl_weight=0, mass_weight=0)),
    )
    assert not unharmed.stopped_early


def test_batches_and_rows_give_the_same_logits(trained, cohort):
    tokens = cohort.tokens()[:5]
    together = predict_logits(trained.network, tokens)[:, 0]
    for row, one in enumerate(tokens):
        game = RowGame(trained.network, one)
        assert len(game) == one.token_count
        whole = game(np.ones((1, len(game)), bool))[0]
        assert whole == pytest.approx(together[row], abs=1e-5)


def test_hidden_modalities_do_not_reach_the_logit(trained, cohort):
    tokens = cohort.tokens()[:1]
    alone = predict_logits(trained.network, tokens, modalities=["note"])
    louder = replace(tokens[0], patch_stats=tokens[0].patch_stats * 10)
    assert predict_logits(trained.network, [louder], modalities=["note"]) == pytest.approx(alone)


def test_token_dropout_keeps_half_the_rows_whole():
    modality = torch.tensor([0] * 40 + [1] * 20 + [2] * 20)
    dropped = drop_tokens(
        modality,
        2000,
        whole_share=0.5,
        part_share=0.0,
        modality_rate=0.15,
        token_dropout=True,
        generator=torch.Generator().manual_seed(0),
    )
    assert float(dropped.whole.float().mean()) == pytest.approx(0.5, abs=0.04)
    assert bool(dropped.keep[dropped.whole].all())
    partial = dropped.keep[~dropped.whole]
    # A rate uniform in (0, 1), in a modality that stays with probability 0.85.
    assert float(partial.float().mean()) == pytest.approx(0.5 * 0.85, abs=0.03)
    without_device = ~partial[:, modality == 2].any(dim=1)
    assert float(without_device.float().mean()) > 0.15


def test_part_rows_show_whole_modalities_and_never_none():
    modality = torch.tensor([0] * 4 + [1] * 4 + [2] * 4)
    dropped = drop_tokens(
        modality,
        3000,
        whole_share=0.0,
        part_share=1.0,
        modality_rate=0.0,
        token_dropout=True,
        generator=torch.Generator().manual_seed(0),
    )
    shown = dropped.keep.reshape(3000, 3, 4)
    assert torch.equal(shown.any(dim=2), shown.all(dim=2))
    counts = shown.any(dim=2).sum(dim=1)
    assert counts.min() == 1
    alone = (counts == 1).float().mean()
    assert float(alone) == pytest.approx(4 / 8, abs=0.03)  # none of three, or one of three, at 1/2


def test_without_token_dropout_only_modalities_are_hidden():
    modality = torch.tensor([0] * 4 + [1] * 4 + [2] * 4)
    dropped = drop_tokens(
        modality,
        500,
        whole_share=0.0,
        part_share=0.0,
        modality_rate=0.5,
        token_dropout=False,
        generator=torch.Generator().manual_seed(0),
    )
    shown = dropped.keep.reshape(500, 3, 4)
    assert torch.equal(shown.any(dim=2), shown.all(dim=2))


def test_a_cohort_on_disk_is_the_cohort(cohort, tmp_path):
    path = tmp_path / "cohort.npz"
    save_cohort(path, cohort)
    again = load_cohort(path)
    assert again.config == cohort.config
    for first, second in zip(cohort.cases, again.cases, strict=True):
        assert first.facts == second.facts
        assert np.array_equal(first.summary, second.summary)
        for name in type(first.tokens).__slots__:
            one, other = getattr(first.tokens, name), getattr(second.tokens, name)
            assert name == "labels" or np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def test_cohorts_of_different_vocabularies_are_not_joined(cohort):
    other = restrict(cohort, vocabulary_of(cohort))
    with pytest.raises(CohortError, match="different token configurations"):
        join([cohort, other])


def test_the_vocabulary_leaves_out_what_was_never_measured(cohort):
    config = vocabulary_of(cohort)
    assert "albumin" not in config.variable_index
    assert "steps" not in config.channel_index
    smaller = restrict(cohort, config)
    before, after = cohort.cases[0].tokens, smaller.cases[0].tokens
    kept = [cohort.config.variable_index[variable.name] for variable in config.variables]
    assert np.array_equal(before.structured_stats[kept], after.structured_stats, equal_nan=True)
    named = [config.channels[i].name for i in after.patch_channel]
    assert named == [cohort.config.channels[i].name for i in before.patch_channel]


def test_folds_keep_patients_together_and_spread_events():
    groups = np.array([f"p{i // 2}" for i in range(400)])
    outcomes = (np.arange(400) % 10 == 0).astype(float)
    parts = folds(groups, outcomes, 5)
    assert sorted(np.concatenate(parts).tolist()) == list(range(400))
    owners = [set(groups[part]) for part in parts]
    assert not any(a & b for i, a in enumerate(owners) for b in owners[:i])
    assert {int(outcomes[part].sum()) for part in parts} == {8}


def test_tuning_patients_do_not_train():
    groups = np.array([f"p{i // 3}" for i in range(300)])
    training, tuning = tuning_split(groups, np.zeros(300), share=0.15)
    assert not set(groups[training]) & set(groups[tuning])
    assert len(tuning) / 300 == pytest.approx(0.15, abs=0.02)


def test_an_earlier_view_knows_nothing_later():
    record = next(planted_cohort(1)).record
    moment = PREDICTION_TIME.replace(hour=6)  # two hours before: the device series begin then
    view = earlier(record, moment)
    assert view.prediction_time == moment
    assert all(m.time <= moment for m in view.measurements)
    assert view.notes == ()
    assert all(series.times_s.max() <= moment.timestamp() for series in view.device_series)
