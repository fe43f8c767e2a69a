import numpy as np
import pytest
import torch

from model.training.losses import (
    ConsistencySettings,
    divergence,
    modality_mass,
    over_tokens,
    teacher_target,
    training_loss,
)


@pytest.fixture
def batch():
    """Two rows of three tokens; the first row is whole, taught and of three modalities."""
    return {
        "logits": torch.tensor([[0.5], [-1.0]], requires_grad=True),
        "labels": torch.tensor([[1.0], [0.0]]),
        "attention": torch.tensor([[0.2, 0.2, 0.1], [0.3, 0.3, 0.0]], requires_grad=True),
        "present": torch.tensor([[True, True, True], [True, True, False]]),
        "modality": torch.tensor([[0, 1, 2], [0, 1, 2]]),
        "target": torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.0, 0.0]]),
        "gate": torch.tensor([0.5, 1.0]),
        "whole": torch.tensor([True, True]),
        "kl_weight": 0.4,
        "mass_weight": 0.2,
    }


def test_target_removes_noise_and_the_gate_grows_with_the_attributions():
    settings = ConsistencySettings(noise_multiple=1.0, gate_logit=0.8)
    target, gate = teacher_target(np.array([0.3, -0.1, 0.02]), np.full(3, 0.05), settings)
    assert target == pytest.approx([0.25 / 0.30, 0.05 / 0.30, 0.0])
    assert gate == pytest.approx(0.42 / 0.8)


def test_pure_noise_gives_no_target():
    target, _ = teacher_target(np.array([0.01, -0.02]), np.full(2, 0.05), ConsistencySettings())
    assert target.tolist() == [0, 0]


def test_denoising_and_gate_can_be_switched_off():
    settings = ConsistencySettings(denoise=False, gate=False)
    target, gate = teacher_target(np.array([0.01, -0.03]), np.full(2, 0.05), settings)
    assert target == pytest.approx([0.25, 0.75])
    assert gate == 1.0


def test_attention_is_rescaled_without_the_sink_and_without_hidden_tokens():
    attention = torch.tensor([[0.2, 0.2, 0.4]])
    shown = over_tokens(attention, torch.tensor([[True, True, False]]))
    assert shown.tolist() == [[0.5, 0.5, 0.0]]


def test_divergence_is_zero_only_where_attention_is_the_target():
    target = torch.tensor([[0.7, 0.3, 0.0]])
    one = torch.ones(1)
    assert float(divergence(target, target, one)) == pytest.approx(0, abs=1e-4)
    other = torch.tensor([[0.3, 0.7, 0.0]])
    expected = 0.7 * np.log(0.7 / 0.3) + 0.3 * np.log(0.3 / 0.7)
    assert float(divergence(target, other, one)) == pytest.approx(expected, abs=1e-4)


def test_modality_mass_by_hand():
    target = torch.tensor([[0.5, 0.2, 0.3]])
    attention = torch.tensor([[0.1, 0.4, 0.5]])
    modality = torch.tensor([[0, 0, 2]])
    mass = modality_mass(target, attention, modality, torch.ones(1))
    assert float(mass) == pytest.approx(0.2**2 + 0.2**2)


def test_total_is_the_weighted_sum_of_its_parts(batch):
    terms = training_loss(**batch)
    attention = torch.tensor([[0.4, 0.4, 0.2]])
    kl = 0.5 * float(divergence(batch["target"][:1], attention, torch.ones(1)))
    mass = (0.3**2) + (0.2**2) + (0.1**2)
    assert float(terms.divergence) == pytest.approx(kl, rel=1e-4)
    assert float(terms.mass) == pytest.approx(mass, rel=1e-4)
    expected = float(terms.cross_entropy) + 0.4 * kl + 0.2 * mass
    assert float(terms.total.detach()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"whole": torch.tensor([False, False])},  # tokens were dropped
        {"target": torch.zeros(2, 3)},  # nothing was taught
        {"kl_weight": 0.0, "mass_weight": 0.0},  # switched off
    ],
)
def test_without_a_lesson_only_cross_entropy_has_a_gradient(batch, change):
    terms = training_loss(**{**batch, **change})
    terms.total.backward()
    assert float(terms.total.detach()) == pytest.approx(float(terms.cross_entropy))
    assert torch.all(batch["attention"].grad == 0)
    assert torch.all(batch["logits"].grad != 0)


def test_the_gate_of_an_uninformative_row_switches_its_divergence_off(batch):
    terms = training_loss(**{**batch, "gate": torch.tensor([0.0, 0.0])})
    assert float(terms.divergence) == 0
    assert float(terms.mass) > 0


def test_unknown_labels_are_left_out(batch):
    batch["labels"] = torch.tensor([[1.0], [float("nan")]])
    terms = training_loss(**batch)
    assert float(terms.cross_entropy) == pytest.approx(float(np.log1p(np.exp(-0.5))))


def test_lambda_waits_then_ramps():
    settings = ConsistencySettings(kl_weight=0.4, warm_up_share=0.6, ramp_share=0.2)
    weights = [settings.weight_at(epoch, 10) for epoch in range(10)]
    assert weights[:6] == [0] * 6
    assert weights[6:] == pytest.approx([0.2, 0.4, 0.4, 0.4])


def test_lessons_are_refreshed_every_few_epochs_after_the_warm_up():
    settings = ConsistencySettings(warm_up_share=0.5, refresh_epochs=4)
    assert [e for e in range(12) if settings.teaches_at(e, 12)] == [6, 10]
    off = ConsistencySettings(kl_weight=0, mass_weight=0)
    assert not any(off.teaches_at(e, 12) for e in range(12))
