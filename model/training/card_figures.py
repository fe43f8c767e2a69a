"""How cards and pages write figures: one way for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

COLUMNS: Final = (  # of a comparison's table: name in the JSON, heading, digits
    ("auroc", "AUROC", 3),
    ("auprc", "AUPRC", 3),
    ("brier", "Brier", 4),
    ("ece", "ECE", 3),
    ("calibration_slope", "slope", 2),
    ("calibration_intercept", "intercept", 2),
    ("event1", "Event 1", 3),
    ("event2", "Event 2", 1),
)
SUBGROUP_COLUMNS: Final = (
    ("auroc", "AUROC", 3),
    ("calibration_slope", "slope", 2),
    ("calibration_intercept", "intercept", 2),
    ("observed_to_expected", "observed / expected", 2),
)


def figure_text(estimate: Sequence[float] | None, digits: int) -> str:
    """Return "0.861 (0.850 to 0.872)", or a dash where the cases do not have the figure."""
    if estimate is None:
        return "-"
    value, low, high = (f"{number:.{digits}f}" for number in estimate)
    return f"{value} ({low} to {high})"


def subgroup_cell(figure: float | Sequence[float] | None, digits: int) -> str:
    """Return a figure with its interval, a figure alone (older evaluations), or a dash."""
    if isinstance(figure, float | int):
        return f"{figure:.{digits}f}"
    return figure_text(figure, digits)
