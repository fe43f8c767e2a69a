"""One round of teaching: explain some training rows with SHAP and LIME, keep targets for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from model.training.cohort import Cohort
from model.training.losses import ConsistencySettings, teacher_target
from model.training.network import NOTE, FusionNetwork
from model.training.predict import RowGame
from model.training.teacher import taught_attribution
from model.training.team import ALONE, Team


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
    team: Team = ALONE,
) -> dict[int, Lesson]:
    """Explain these cases of the cohort and return a lesson for each.

    The processes of a team explain every so many of them each, with what one alone would draw.
    """
    generator = np.random.default_rng(seed)
    own: dict[int, Lesson] = {}
    for place, row in enumerate(rows):
        row_seed = int(generator.integers(2**31))
        count = cohort.cases[row].tokens.token_count
        order = generator.permutation(count) if settings.permute_targets else None
        if place % team.size == team.rank:
            own[row] = _lesson(network, cohort, row, settings, row_seed, order)
    lessons = {row: lesson for part in team.gathered(own) for row, lesson in part.items()}
    return {row: lessons[row] for row in rows}


def taught_counts(lessons: Sequence[Lesson | None], whole: Tensor) -> tuple[int, int]:
    """Return in how many rows of a batch (divergence, mass) are taught: see ``training_loss``."""
    gates = [
        lesson.gate
        for lesson, is_whole in zip(lessons, whole.tolist(), strict=True)
        if lesson is not None and is_whole and lesson.target.sum() > 0
    ]
    return sum(gate > 0 for gate in gates), len(gates)


def _lesson(
    network: FusionNetwork,
    cohort: Cohort,
    row: int,
    settings: ConsistencySettings,
    seed: int,
    order: npt.NDArray[np.int64] | None,
) -> Lesson:
    game = RowGame(network, cohort.cases[row].tokens)
    attribution = taught_attribution(
        game,
        game.modality == NOTE,
        pairs=settings.permutation_pairs,
        lime_samples=settings.lime_samples,
        seed=seed,
    )
    target, gate = teacher_target(attribution.values, attribution.standard_errors, settings)
    return Lesson(target if order is None else target[order], gate)
