"""One round of teaching: explain some training rows with SHAP and LIME, keep targets for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.training.cohort import Cohort
from model.training.losses import ConsistencySettings, teacher_target
from model.training.network import NOTE, FusionNetwork
from model.training.predict import RowGame
from model.training.teacher import taught_attribution


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What the attention of one case is taught."""

    target: npt.NDArray[np.float32]  # p over the case's tokens (n,); all zero: nothing stands out
    gate: float  # g, 0..1


def teach(
    network: FusionNetwork,
    cohort: Cohort,
    rows: Sequence[int],
    settings: ConsistencySettings,
    seed: int,
) -> dict[int, Lesson]:
    """Explain these cases of the cohort and return a lesson for each."""
    generator = np.random.default_rng(seed)
    return {row: _lesson(network, cohort, row, settings, generator) for row in rows}


def _lesson(
    network: FusionNetwork,
    cohort: Cohort,
    row: int,
    settings: ConsistencySettings,
    generator: np.random.Generator,
) -> Lesson:
    game = RowGame(network, cohort.cases[row].tokens)
    attribution = taught_attribution(
        game,
        game.modality == NOTE,
        pairs=settings.permutation_pairs,
        lime_samples=settings.lime_samples,
        seed=int(generator.integers(2**31)),
    )
    target, gate = teacher_target(attribution.values, attribution.standard_errors, settings)
    if settings.permute_targets:
        target = generator.permutation(target)
    return Lesson(target, gate)
