"""What a training run is made of; all of it goes into the checkpoint's record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from model.training.losses import ConsistencySettings
from model.training.network import NetworkConfig

# The full window as recorded half of the time; the rest teaches charts without monitors and
# earlier moments of a stay.
VIEW_WEIGHTS: Final[Mapping[str, float]] = {
    "device@48h": 0.5,
    "charted@48h": 0.2,
    "device@24h": 0.1,
    "charted@24h": 0.05,
    "device@random": 0.1,
    "charted@random": 0.05,
}


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Chosen by cross-validation inside the training data; EXPERIMENTS.md has the figures."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    consistency: ConsistencySettings = field(default_factory=ConsistencySettings)
    epochs: int = 10  # 6 of them without the consistency loss: AUROC was highest after 4 to 8
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.3
    average_decay: float = 0.99
    whole_share: float = 0.5
    part_share: float = 0.3  # of the rows that are not whole: some modalities in full
    modality_rate: float = 0.15
    token_dropout: bool = True  # False: only whole modalities are hidden
    soft_label_share: float = 0.9  # of the target; the rest is the label itself
    gradient_norm: float = 1.0
    warm_up_steps: int = 50
    # Chance of each view of a stay in an epoch; views that a stay lacks are passed over.
    view_weights: Mapping[str, float] = field(default_factory=lambda: dict(VIEW_WEIGHTS))
    # Fall of the tuning AUROC under the consistency loss at which it ends. From epoch to epoch it
    # moves by 0.003 without that loss, too: the tuning stays have some 90 events.
    auroc_tolerance: float = 0.006
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers, strings and dictionaries."""
        return {**asdict(self), "view_weights": dict(self.view_weights)}
