"""The served ONNX graphs equal the torch network."""

from __future__ import annotations

import threading

import numpy as np
import onnx
import pytest
import torch

from model.onnx_network import OnnxNetwork, open_session
from model.shapley import pair_masks, random_orders
from model.tokens import tokenize
from model.training.encode_graph import encode_graph
from model.training.fuse_graph import fuse_graph
from model.training.network import NetworkConfig, collate
from tests.model.worlds import CONFIG, chart, embed, random_chart, random_network

TOLERANCE_LOGIT = 1e-4

CHARTS = {
    "all modalities": {},
    "no notes": {"notes": ()},
    "no device": {"device_series": ()},
    "structured only": {"notes": (), "device_series": ()},
    "statics only": {"measurements": (), "notes": (), "device_series": ()},
}
NETWORKS = {
    "default": NetworkConfig(),
    "two tasks": NetworkConfig(tasks=("a", "b")),
    "own weights a block": NetworkConfig(shared_blocks=False, blocks=3),
    "two readings": NetworkConfig(blocks=2),
    "narrow": NetworkConfig(width=32, heads=2, latents_per_modality=2, shared_latents=1),
}


@pytest.fixture(scope="module", params=list(NETWORKS), ids=list(NETWORKS))
def both(request, cohort):
    """Return a torch network and its ONNX form."""
    network = random_network(cohort, NETWORKS[request.param], spread=0.1)
    graphs = encode_graph(network), fuse_graph(network)
    for graph in graphs:
        onnx.checker.check_model(graph, full_check=True)
    return network, OnnxNetwork(*(g.SerializeToString() for g in graphs), threads=1)


@pytest.mark.parametrize("changes", CHARTS.values(), ids=list(CHARTS))
def test_graphs_equal_the_network(both, changes):
    assert_equal(*both, tokenize(chart(**changes), CONFIG, embed))


def test_graphs_equal_the_network_on_many_charts(both):
    for seed in range(100, 110):
        assert_equal(*both, tokenize(random_chart(seed), CONFIG, embed))


@pytest.mark.parametrize("changes", CHARTS.values(), ids=list(CHARTS))
def test_graphs_equal_the_network_along_walks(both, changes):
    """Neighbours show the same of all modalities but one, whose latents are not read again."""
    tokens = tokenize(chart(**changes), CONFIG, embed)
    rng = np.random.default_rng(1)
    walks = pair_masks(random_orders(tokens.token_count, 2, rng))
    shuffled = walks[rng.integers(0, len(walks), 30)]  # what was shown before comes again
    mask = np.concatenate([walks, shuffled, np.repeat(walks[:3], 4, axis=0)])
    assert_equal(*both, tokens, mask)


def assert_equal(network, served, tokens, mask=None):
    """Compare over coalitions, by default from none to all."""
    if mask is None:
        rng = np.random.default_rng(0)
        mask = rng.random((40, tokens.token_count)) < np.linspace(0, 1, 40)[:, None]
        mask[0], mask[-1] = False, True
    found = served.fuse(served.encode(tokens), mask)
    with torch.no_grad():
        memory = network.encode(collate([tokens]))
        padded = torch.zeros(len(mask), memory.present.shape[1], dtype=torch.bool)
        padded[:, memory.present[0]] = torch.from_numpy(mask)
        expected = network.fuse(memory, padded[None])
    np.testing.assert_allclose(found.logits, expected.logits[0], atol=TOLERANCE_LOGIT, rtol=0)
    for row in (0, 7, 20, 39):
        attention = served.fuse(served.encode(tokens), mask[row:]).attention
        expected_attention = expected.attention[0, row][memory.present[0]]
        np.testing.assert_allclose(attention, expected_attention, atol=1e-6, rtol=0)


def test_chunks_do_not_change_the_answer(network, monkeypatch):
    served = OnnxNetwork(
        encode_graph(network).SerializeToString(),
        fuse_graph(network).SerializeToString(),
        threads=1,
    )
    tokens = tokenize(chart(), CONFIG, embed)
    memory = served.encode(tokens)
    mask = np.random.default_rng(0).random((33, tokens.token_count)) < 0.5
    whole = served.fuse(memory, mask).logits
    monkeypatch.setattr("model.onnx_network.CHUNK", 7)
    np.testing.assert_allclose(served.fuse(memory, mask).logits, whole, atol=1e-5, rtol=0)


def served_with(network, threads):
    graphs = encode_graph(network), fuse_graph(network)
    return OnnxNetwork(*(g.SerializeToString() for g in graphs), threads=threads)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_do_not_change_the_answer(network, threads):
    tokens = tokenize(chart(), CONFIG, embed)
    mask = np.random.default_rng(0).random((200, tokens.token_count)) < 0.5
    alone, shared = served_with(network, 1), served_with(network, threads)
    expected, found = (one.fuse(one.encode(tokens), mask) for one in (alone, shared))
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5, rtol=0)
    np.testing.assert_allclose(found.attention, expected.attention, atol=1e-6, rtol=0)


def test_busy_helpers_are_not_waited_for(network):
    served = served_with(network, 2)
    tokens = tokenize(chart(), CONFIG, embed)
    mask = np.random.default_rng(0).random((200, tokens.token_count)) < 0.5
    expected = served.fuse(served.encode(tokens), mask).logits
    freed = threading.Event()
    served._helpers.submit(freed.wait)  # another request keeps the only helper busy
    try:
        found = served.fuse(served.encode(tokens), mask).logits
    finally:
        freed.set()
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


def test_keys_and_values_are_computed_once_a_patient(network):
    """No projection of tokens is left in the fusion: its weights act on latents only."""
    graph = fuse_graph(network).graph
    names = {w.name: tuple(w.dims) for w in graph.initializer}
    to_memory = (network.config.width, 2 * network.config.width * 2)
    assert to_memory not in names.values()


def test_what_neighbours_show_alike_is_read_once(network):
    """Along a walk the latents of a modality are computed for its own steps only."""
    tokens = tokenize(chart(), CONFIG, embed)
    walk = pair_masks(np.arange(tokens.token_count)[None])[: tokens.token_count - 1]
    runs = 3 + len(walk) - 1  # one of each modality at first; then each step begins one
    config = network.config
    expected = config.shared_latents * len(walk) + config.latents_per_modality * runs
    assert rows_of_latents(network, tokens, walk) == expected < config.latents * len(walk)


def rows_of_latents(network, tokens, mask):
    """How many rows are normalised before latents exchange."""
    model = fuse_graph(network)
    normed = next(n for n in model.graph.node if n.op_type == "LayerNormalization").output[0]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(normed))
    session = open_session(model.SerializeToString(), 1)
    memory = served_with(network, 1).encode(tokens)
    padded = np.zeros((len(mask), memory.padded_count), np.bool_)
    padded[:, memory.columns] = mask
    (rows,) = session.run([normed], {**memory.parts, "mask": padded})
    return len(rows)


def test_the_same_network_gives_the_same_bytes(network):
    first, second = (fuse_graph(network).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
