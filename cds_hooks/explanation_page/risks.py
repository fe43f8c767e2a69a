"""Each task's risk in words, and its place on a strip that is linear in log-odds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cds_hooks.explanation_page.figures import PERCENT, percent
from model.prediction import TaskPrediction

_STRIP_LOGITS = 5.0  # the strip runs from 0.7 % to 99.3 %
_STRIP_TICKS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class Risk:
    """One task's risk with its place on a strip from 0 to 100."""

    display: str
    percent: str
    base_rate: str
    ratio: str
    place: float
    base_place: float
    conformal: str
    indicator: str  # "low", "high", "uncertain"


def risk_of(task: TaskPrediction) -> Risk:
    """Return one task's risk."""
    ratio = task.probability / task.base_rate if task.base_rate else 1.0
    return Risk(
        display=task.display,
        percent=percent(task.probability),
        base_rate=percent(task.base_rate),
        ratio=_ratio_text(ratio),
        place=_place(task.probability),
        base_place=_place(task.base_rate),
        conformal=_conformal_text(task),
        indicator=task.risk_group,
    )


def _ratio_text(ratio: float) -> str:
    if 0.9 <= ratio <= 1.1:
        return "about the average"
    return f"{ratio:.1f} times the average"


def _conformal_text(task: TaskPrediction) -> str:
    """Say the conformal set as the card does: a set of one outcome is no forecast of it."""
    confidence = f"t {percent(task.conformal_confidence)} confidence (conformal prediction)"
    if task.risk_group == "uncertain":
        return (
            f"The model is uncertain: a{confidence} it cannot tell this patient from those with the"
            " outcome nor from those without it. Do not rely on the figure."
        )
    return f"A{confidence} the model places this patient in the {task.risk_group}-risk group."


def _place(share: float) -> float:
    """Return the place on the risk strip, 0..100, linear in log-odds."""
    bounded = min(max(share, 1e-6), 1 - 1e-6)
    logit = math.log(bounded / (1 - bounded))
    half = min(max(logit / _STRIP_LOGITS, -1.0), 1.0)
    return round(50 + 50 * half, 2)


STRIP_TICKS = tuple((_place(p), f"{100 * p:.0f}{PERCENT}") for p in _STRIP_TICKS)
