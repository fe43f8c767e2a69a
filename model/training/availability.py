"""Cases under every availability pattern, for calibration and for the table of subsets.

A pattern that too few charts have by nature is made from richer charts by hiding the rest, which
token dropout has made an ordinary thing for the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from model.calibration import availability_pattern
from model.prediction import Modality
from model.tokens import TokenArrays
from model.training.network import FusionNetwork
from model.training.predict import predict_logits

MODALITIES: tuple[Modality, ...] = ("structured", "note", "device")
SUBSETS: tuple[tuple[Modality, ...], ...] = tuple(
    subset for size in (1, 2, 3) for subset in combinations(MODALITIES, size)
)


@dataclass(frozen=True, slots=True, eq=False)
class PatternCases:
    """Logits with the pattern under which they were made; ``rows`` are case numbers."""

    rows: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float64]  # (n, tasks)
    patterns: npt.NDArray[np.str_]


def cases_by_pattern(
    network: FusionNetwork, tokens: Sequence[TokenArrays], *, enough: int
) -> PatternCases:
    """Return every case under its own pattern, and masked ones for patterns that lack cases."""
    natural = np.array([availability_pattern(arrays.available) for arrays in tokens])
    rows = [np.arange(len(tokens))]
    logits = [predict_logits(network, tokens)]
    patterns = [natural]
    for subset in SUBSETS:
        name = availability_pattern(subset)
        richer = richer_cases(tokens, subset)
        if np.sum(natural == name) >= enough or len(richer) == 0:
            continue
        rows.append(richer)
        chosen = [tokens[row] for row in richer]
        logits.append(predict_logits(network, chosen, modalities=subset))
        patterns.append(np.full(len(richer), name))
    return PatternCases(np.concatenate(rows), np.concatenate(logits), np.concatenate(patterns))


def richer_cases(
    tokens: Sequence[TokenArrays], subset: tuple[Modality, ...]
) -> npt.NDArray[np.int64]:
    """Return the cases that have all of ``subset`` and more."""
    return np.array(
        [row for row, arrays in enumerate(tokens) if set(subset) < set(arrays.available)], np.int64
    )
