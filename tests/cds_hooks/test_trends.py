"""Card and explanation page name the same trend."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from cds_hooks.explanation_page.bars import scale_for
from cds_hooks.explanation_page.figures import PageClock
from cds_hooks.explanation_page.reasons import reason
from cds_hooks.reasons import Moment, reason_line
from cds_hooks.trends import trend_of
from model.prediction import StructuredEvidence, TokenAttribution
from tests.cds_hooks import world

COURSES = {  # 48 h of values, and what a clinician who sees the curve says
    "oxygen turned down": (np.linspace(50, 22, 47), "falling"),
    "a pulse that climbs, with noise": (
        np.linspace(80, 160, 49) + np.random.default_rng(0).normal(0, 2, 49),
        "rising",
    ),
    "a marker that is the same but for its last digit": (np.array([0.030, 0.030, 0.029]), ""),
    "sodium as it always is": (np.array([139.0, 141, 140, 139, 140]), ""),
    "nothing at all": (np.array([0.0, 0.0, 0.0]), ""),
    "up and down again": (np.array([90.0, 120, 150, 120, 90]), ""),
}


def evidence_of(values: np.ndarray) -> StructuredEvidence:
    slope = np.polyfit(np.linspace(0, 48, len(values)), values, 1)[0]
    return StructuredEvidence(
        *("heart_rate", "Heart rate", "/min", True, float(values[-1]), "", world.NOW),
        *(float(values.min()), float(values.max()), len(values), float(slope)),
    )


@pytest.mark.parametrize(("values", "expected"), COURSES.values(), ids=list(COURSES))
def test_a_trend_is_named_alike_on_card_and_page(values: np.ndarray, expected: str) -> None:
    evidence = evidence_of(values)
    token = TokenAttribution("t", "structured", "none", evidence, ("Observation/1",), 0.5, 0.01, 0)
    card = reason_line(token, Moment(world.NOW, ZoneInfo("UTC"), timedelta(hours=24)))
    page = reason(token, scale_for([(0.5, 0.01)]), PageClock(world.NOW, ZoneInfo("UTC"))).value
    assert trend_of(evidence) == expected
    for word in ("rising", "falling"):
        assert (word in card) == (word in page) == (word == expected), (card, page)
