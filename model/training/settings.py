"""What a training run is made of; all of it goes into the checkpoint's record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from model.training.losses import ConsistencySettings
from model.training.network import NetworkConfig


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Chosen by cross-validation inside the training data; EXPERIMENTS.md has the figures."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    consistency: ConsistencySettings = field(default_factory=ConsistencySettings)
    epochs: int = 10  # it overfits at once: more epochs were worse
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.3
    average_decay: float = 0.99
    whole_share: float = 0.5
    modality_rate: float = 0.15
    gradient_norm: float = 1.0
    warm_up_steps: int = 50
    # Chance of each view of a stay in an epoch; views that a stay lacks are passed over.
    view_weights: Mapping[str, float] = field(default_factory=dict)
    auroc_tolerance: float = 0.003  # fall of the tuning AUROC under the consistency loss
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers, strings and dictionaries."""
        return {**asdict(self), "view_weights": dict(self.view_weights)}
