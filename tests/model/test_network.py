"""The torch network keeps the promises that its explanation rests on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.tokens import tokenize
from model.training.network import (
    DEVICE,
    NOTE,
    FusionNetwork,
    NetworkConfig,
    collate,
    count_parameters,
    fit_scales,
)
from tests.model.worlds import CONFIG, chart, embed, random_network


@pytest.fixture(scope="module")
def batch(cohort):
    return collate(cohort[:12])


def test_outputs_have_a_row_a_patient(network, batch):
    output = network(batch)
    assert output.logits.shape == (12, 1)
    assert output.attention.shape == (12, batch.modality.shape[0])


def test_attention_is_a_share_and_none_of_it_goes_to_padding(network, batch):
    attention = network(batch).attention
    present = network.encode(batch).present
    assert (attention >= 0).all()
    assert (attention.sum(dim=1) < 1).all()  # the rest is the sink's
    assert (attention[~present] == 0).all()


def test_padding_does_not_change_the_answer(network, cohort):
    alone = torch.cat([network(collate([record])).logits for record in cohort[:12]])
    torch.testing.assert_close(network(collate(cohort[:12])).logits, alone, atol=1e-5, rtol=0)


def test_hidden_tokens_cannot_be_seen(network, cohort):
    """Changing the content of a hidden token changes nothing."""
    batch = collate(cohort[:12])
    memory = network.encode(batch)
    keep = torch.rand(memory.present.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    mask = memory.present & keep
    changed = torch.where(mask[..., None], memory.tokens, memory.tokens + 3.0)
    before, after = network.fuse(memory, mask), network.fuse(memory._replace(tokens=changed), mask)
    torch.testing.assert_close(before.logits, after.logits, atol=0, rtol=0)
    torch.testing.assert_close(before.attention, after.attention, atol=0, rtol=0)


def test_nothing_visible_is_defined_and_the_same_for_everybody(network, batch):
    memory = network.encode(batch)
    logits = network.fuse(memory, torch.zeros_like(memory.present)).logits
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits, logits[:1].expand_as(logits), atol=1e-6, rtol=0)


def test_coalitions_of_a_patient_are_the_same_as_one_by_one(network, batch):
    memory = network.encode(batch)
    generator = torch.Generator().manual_seed(1)
    mask = memory.present[:, None] & (
        torch.rand(12, 7, mask_width(memory), generator=generator) < 0.5
    )
    together = network.fuse(memory, mask)
    for index in range(7):
        alone = network.fuse(memory, mask[:, index])
        torch.testing.assert_close(together.logits[:, index], alone.logits, atol=1e-5, rtol=0)


def mask_width(memory):
    return memory.present.shape[1]


def test_hidden_is_not_the_same_as_not_measured(network, cohort):
    memory = network.encode(collate(cohort[:12]))
    position = CONFIG.variable_index["platelets"]
    hidden = memory.present.clone()
    hidden[:, position] = False
    difference = network.fuse(memory, memory.present).logits - network.fuse(memory, hidden).logits
    absent = torch.tensor([not r.structured_measured[position] for r in cohort[:12]])
    assert absent.any()
    assert (difference[absent].abs() > 1e-4).all()


def test_modality_latents_read_the_sink_and_their_modality(network):
    memory = network.encode(collate([tokenize(chart(), CONFIG, embed)]))
    layer = torch.cat([torch.zeros(1, 1, 128), memory.tokens[..., :128]], dim=1)
    seen = torch.ones(1, 1, mask_width(memory) + 1)
    _, note, device, shared = network.readings(layer, seen, memory.sizes)
    assert torch.equal(note.keys[:, 1:], memory.tokens[:, memory.modality == NOTE, :64])
    assert torch.equal(device.keys[:, 1:], memory.tokens[:, memory.modality == DEVICE, :64])
    assert shared.keys.shape[1] == 1 + sum(memory.sizes)


def test_a_hidden_token_hardly_raises_the_weight_of_others(cohort):
    """The sink of the pooling takes what a hidden token leaves."""
    torch.manual_seed(0)
    network = FusionNetwork(CONFIG, NetworkConfig()).eval()
    memory = network.encode(collate(cohort[:12]))
    hidden = memory.present.clone()
    hidden[:, 0] = False
    before = network.fuse(memory, memory.present).attention[:, 1:]
    after = network.fuse(memory, hidden).attention[:, 1:]
    assert (after / before.clamp(min=1e-9) < 1.1).all()


def test_absent_modalities_are_predicted_from(network):
    records = [
        tokenize(chart(**absent), CONFIG, embed)
        for absent in (
            {"notes": ()},
            {"device_series": ()},
            {"notes": (), "device_series": ()},
            {"measurements": (), "notes": (), "device_series": ()},
        )
    ]
    assert torch.isfinite(network(collate(records)).logits).all()


@pytest.mark.parametrize("fusion", ["bottleneck", "self_attention"])
def test_gradients_reach_every_weight(cohort, fusion):
    network = random_network(cohort, NetworkConfig(dropout=0.0, fusion=fusion))
    full = [record for record in cohort if len(record.available) == 3]
    network(collate(full)).logits.sum().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == (["sink"] if fusion == "self_attention" else [])


def test_tokens_that_say_what_is_usual_are_not_pooled(cohort):
    """Before training a variable that was not measured says nothing; nor does the mean sentence."""
    network = FusionNetwork(CONFIG, NetworkConfig()).eval()
    network.set_scales(fit_scales(cohort, CONFIG, network.config.bins))
    batch = collate([record for record in cohort if len(record.sentence_features)][:4])
    batch = replace(
        batch,
        structured_measured=torch.zeros_like(batch.structured_measured),
        sentence_embeddings=network.note.mean.expand_as(batch.sentence_embeddings),
        sentence_features=torch.zeros_like(batch.sentence_features),
    )
    memory = network.encode(batch)
    variables, sentences, _ = memory.sizes
    width = network.config.width
    pooled = memory.tokens.detach()[..., -width:]
    assert float(pooled[:, : variables + sentences].abs().max()) < 1e-6
    assert float(pooled[:, variables + sentences :].abs().max()) > 0.01


def test_sentences_are_brought_to_a_common_scale(cohort):
    network = FusionNetwork(CONFIG, NetworkConfig())
    network.set_scales(fit_scales(cohort, CONFIG, network.config.bins))
    sentences = torch.from_numpy(np.concatenate([r.sentence_embeddings for r in cohort]))
    content = (sentences - network.note.mean) * network.note.scale
    torch.testing.assert_close(content.mean(dim=0), torch.zeros(384), atol=1e-4, rtol=0)
    torch.testing.assert_close(content.std(dim=0, correction=0), torch.ones(384), atol=1e-3, rtol=0)


def test_a_dimension_that_never_varies_is_left_out():
    network = FusionNetwork(CONFIG, NetworkConfig())
    network.note.set_scale(np.zeros(384, np.float32), np.zeros(384, np.float32))
    assert not network.note.scale.any()


def test_self_attention_mixes_what_the_bottleneck_keeps_apart(cohort):
    """Hiding a token changes the others' share of attention there, beside the sink it does not."""
    network = random_network(cohort, NetworkConfig(fusion="self_attention"))
    memory = network.encode(collate(cohort[:3]))
    hidden = memory.present.clone()
    hidden[:, 0] = False
    one, other = network.fuse(memory, memory.present), network.fuse(memory, hidden)
    assert not other.attention[:, 0].any()
    assert (one.logits != other.logits).all()
    both = network.fuse(memory, torch.stack([memory.present, hidden], dim=1))
    torch.testing.assert_close(both.logits[:, 1], other.logits)


def test_size_stays_small():
    variables = tuple(replace(CONFIG.variables[0], name=f"v{i}") for i in range(50))
    channels = tuple(replace(CONFIG.channels[0], name=f"c{i}") for i in range(12))
    tokens = replace(CONFIG, variables=variables, channels=channels)
    assert count_parameters(FusionNetwork(tokens, NetworkConfig())) <= 140_000


@pytest.mark.parametrize("stat", [-1e9, 1e9])
def test_artefacts_saturate(network, cohort, stat):
    """A value far outside training moves the answer no further than the outermost bin."""
    record = collate(cohort[:1])
    stats = record.structured_stats.clone()
    stats[:, 0] = stat
    further = stats.clone()
    further[:, 0] = stat * 100
    logits = [network(replace(record, structured_stats=s)).logits for s in (stats, further)]
    torch.testing.assert_close(*logits, atol=0, rtol=0)


def test_config_survives_json():
    config = NetworkConfig(tasks=("a", "b"), width=32)
    assert NetworkConfig.from_json(config.to_json()) == config
