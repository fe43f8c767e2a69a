"""Which cases an epoch sees: every stay once, in one of its views."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.training.cohort import Case, Cohort
from model.training.settings import TrainingSettings


def views_by_stay(cases: Sequence[Case]) -> list[list[int]]:
    """Return the case numbers of each stay, stays in order of first appearance."""
    stays: dict[tuple[str, str], list[int]] = {}
    for row, case in enumerate(cases):
        stays.setdefault((case.facts.data_set, case.facts.stay_id), []).append(row)
    return list(stays.values())


def draw_view(
    views: Sequence[int],
    cohort: Cohort,
    settings: TrainingSettings,
    generator: np.random.Generator,
) -> int:
    """Choose one of a stay's views by the settings' weights; without weights, any."""
    if len(views) == 1:
        return views[0]
    named = [settings.view_weights.get(cohort.cases[row].facts.view, 0.0) for row in views]
    weights = np.array(named) if sum(named) > 0 else np.ones(len(views))
    return int(generator.choice(views, p=weights / weights.sum()))


def epoch_rows(
    stays: Sequence[Sequence[int]],
    cohort: Cohort,
    settings: TrainingSettings,
    generator: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Return one case of every stay, in random order."""
    rows = np.array([draw_view(views, cohort, settings, generator) for views in stays], np.int64)
    return generator.permutation(rows)
