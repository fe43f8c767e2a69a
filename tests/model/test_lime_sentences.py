"""LIME over sentences against the package lime, on the same samples and the same values."""

from __future__ import annotations

import numpy as np
import pytest

from model.lime_sentences import coefficients, kernel_weights, sample_masks


def game(masks):
    """A logit with main effects, one interaction and one useless sentence."""
    x = masks.astype(float)
    return 2 * x[:, 0] - x[:, 1] + 3 * x[:, 2] * x[:, 3] + 0.1


def test_a_linear_game_gives_its_weights_but_for_the_ridge():
    weights = np.array([1.0, -2.0, 0.0, 0.5])
    masks = sample_masks(4, 4000, np.random.default_rng(0))
    found = coefficients(masks, masks @ weights + 7.0)
    np.testing.assert_allclose(found, weights, atol=0.02)


def test_samples_begin_with_the_whole_and_always_hide_something_after():
    masks = sample_masks(6, 512, np.random.default_rng(0))
    assert masks.shape == (512, 6)
    assert masks[0].all()
    assert not masks[1:].all(axis=1).any()


def test_the_number_hidden_is_uniform():
    masks = sample_masks(4, 8001, np.random.default_rng(0))
    counts = np.bincount(4 - masks[1:].sum(axis=1), minlength=5)
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:] / 8000, 0.25, atol=0.02)


def test_one_sentence_has_a_coefficient():
    masks = sample_masks(1, 512, np.random.default_rng(0))
    found = coefficients(masks, masks[:, 0] * 2.0)
    assert found.shape == (1,)
    assert 0 < found[0] < 2


def test_the_package_lime_gives_the_same_coefficients():
    lime_base = pytest.importorskip("lime.lime_base", reason="lime is not installed")
    from sklearn.metrics import pairwise_distances

    masks = sample_masks(7, 512, np.random.default_rng(1))
    data, values = masks.astype(float), game(masks)
    distances = pairwise_distances(data, data[:1], metric="cosine").ravel() * 100
    kernel = lambda d: np.sqrt(np.exp(-(d**2) / 25.0**2))  # noqa: E731
    np.testing.assert_allclose(kernel(distances), kernel_weights(masks), atol=1e-12)
    base = lime_base.LimeBase(kernel)
    _, pairs, _, _ = base.explain_instance_with_data(
        data, values[:, None], distances, 0, num_features=7, feature_selection="none"
    )
    expected = np.zeros(7)
    for feature, weight in pairs:
        expected[feature] = weight
    np.testing.assert_allclose(coefficients(masks, values), expected, atol=1e-9)


def test_the_text_explainer_of_lime_finds_the_same_within_its_noise():
    lime_text = pytest.importorskip("lime.lime_text", reason="lime is not installed")
    names = [f"s{i}" for i in range(7)]

    def classify(texts):
        masks = np.array([[name in text.split() for name in names] for text in texts])
        return np.stack([-game(masks), game(masks)], axis=1)

    explainer = lime_text.LimeTextExplainer(random_state=0, bow=True)
    found = explainer.explain_instance(
        " ".join(names), classify, num_features=7, num_samples=4000
    ).as_list()
    theirs = np.array([dict(found)[name] for name in names])
    masks = sample_masks(7, 4000, np.random.default_rng(0))
    np.testing.assert_allclose(coefficients(masks, game(masks)), theirs, atol=0.15)
