"""PhysioNet 2012: trained on set A, tested on set B at 48 h."""

from __future__ import annotations

from typing import Any

from model.calibration import Calibration
from model.training.cohort import Cohort
from model.training.evaluation import (
    Comparison,
    baseline_systems,
    network_system,
    score_system,
    subgroups,
)
from model.training.network import FusionNetwork

VIEW, CHARTED_VIEW = "device@48h", "charted@48h"
FUSED = "fused"


def physionet_held_out(
    network: FusionNetwork,
    calibration: Calibration,
    *,
    train: Cohort,
    tuning: Cohort,
    test: Cohort,
    task: str,
    resamples: int = 1000,
) -> dict[str, Any]:
    """Return the figures of the network, of its parts, and of rivals fitted on all of set A.

    ``tuning`` are the cases of set A that trained nothing of the network.
    """
    recorded = test.with_view(VIEW)
    outcomes = recorded.labels(task)
    comparison = Comparison(outcomes)
    own = tuning.with_view(VIEW)
    tokens = recorded.tokens()
    comparison.add(FUSED, network_system(network, calibration, tokens, own, task))
    for modality in ("structured", "device"):
        alone = network_system(network, calibration, tokens, own, task, modalities=(modality,))
        comparison.add(f"{FUSED}: {modality} only", alone)
    charted = test.with_view(CHARTED_VIEW).tokens()
    comparison.add(
        f"{FUSED}: vitals charted, no device",
        network_system(network, calibration, charted, tuning.with_view(CHARTED_VIEW), task),
    )
    trained_on = train.with_view(VIEW)
    for name, system in baseline_systems(trained_on, recorded, task).items():
        comparison.add(name, system)
    comparison.add("SAPS-I", score_system(trained_on, recorded, "saps_i", task))
    figures = comparison.to_json(reference=FUSED, resamples=resamples)
    figures["subgroups"] = subgroups(recorded, outcomes, comparison.systems[FUSED].probabilities)
    return figures
