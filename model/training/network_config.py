"""Sizes and switches of the network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes and switches. Small on purpose: with some thousand stays, larger overfits at once."""

    tasks: tuple[str, ...] = ("in_hospital_death",)
    width: int = 64  # D, of the first experiments; anything larger overfitted
    heads: int = 4
    bins: int = 8  # octiles of each statistic: its middle and its tails
    rank: int = 8  # of each variable's projection; 50 full matrices would be most of the weights
    latents_per_modality: int = 2  # 8 latents in all predicted as well as 12, for a third less
    shared_latents: int = 2
    blocks: int = 1  # a second reading doubled the cost of a coalition for 0.003 of AUROC at most
    shared_blocks: bool = True  # where there are two: one set of weights, as in the Perceiver
    feed_forward: int = 64  # hidden units; the usual 4 x D would double the weights of a block
    dropout: float = 0.3  # 0.4 to 0.5 were best with hard labels; soft ones overfit less
    # "self_attention", for comparison only: tokens attend to each other in ``blocks`` layers and a
    # learned query pools what they became. It explains itself less well and costs N squared.
    fusion: str = "bottleneck"

    @property
    def latents(self) -> int:
        """L."""
        return 3 * self.latents_per_modality + self.shared_latents

    @property
    def block_count(self) -> int:
        """Number of blocks with weights of their own."""
        return 1 if self.shared_blocks else self.blocks

    @property
    def memory_width(self) -> int:
        """M: keys and values of each block and of the pooling; the tokens without a bottleneck."""
        return self.width if self.fusion == "self_attention" else 2 * self.width * self.readings

    @property
    def readings(self) -> int:
        """How often tokens are read with weights of their own: by each block and by the pooling."""
        return self.block_count + 1

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> NetworkConfig:
        """Inverse of to_json."""
        return cls(**{**data, "tasks": tuple(data["tasks"])})
