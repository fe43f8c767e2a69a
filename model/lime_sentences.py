"""LIME over note sentences: a second opinion beside the Shapley values.

The same surrogate as the package ``lime`` fits to text: sentences are hidden at random, a cosine
kernel weighs each sample by how much of the notes is left, and a ridge regression gives each
sentence a coefficient. All other tokens stay visible. Ribeiro et al. 2016.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Booleans = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]

SAMPLES: Final = 512  # fewer are unstable from one seed to the next
KERNEL_WIDTH: Final = 25.0  # of distances in 0..100, as in lime.lime_text
RIDGE_ALPHA: Final = 1.0


def sample_masks(sentences: int, samples: int, rng: np.random.Generator) -> Booleans:
    """Return (samples, S), true = visible; the first row hides nothing.

    How many sentences to hide is uniform in 1..S, which ones is uniform given that.
    """
    hidden = rng.integers(1, sentences + 1, samples)
    hidden[0] = 0
    rank = rng.permuted(np.tile(np.arange(sentences), (samples, 1)), axis=1)
    return rank >= hidden[:, None]


def kernel_weights(masks: Booleans) -> Doubles:
    """Weigh each sample (samples,) by the cosine distance of its mask to the full one."""
    distance = 100.0 * (1.0 - np.sqrt(masks.mean(axis=1)))
    weights: Doubles = np.sqrt(np.exp(-((distance / KERNEL_WIDTH) ** 2)))
    return weights


def coefficients(masks: Booleans, values: Doubles) -> Doubles:
    """Fit the weighted ridge regression with a free intercept: (samples, S) -> (S,)."""
    weights = kernel_weights(masks)
    x = masks.astype(np.float64)
    x -= np.average(x, axis=0, weights=weights)
    y = values - np.average(values, weights=weights)
    weighted = x * weights[:, None]
    gram = weighted.T @ x + RIDGE_ALPHA * np.eye(masks.shape[1])
    return np.asarray(np.linalg.solve(gram, weighted.T @ y), np.float64)
