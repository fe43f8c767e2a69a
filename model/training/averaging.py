"""Exponential moving average of a network's weights: what is evaluated, explained and shipped."""

from __future__ import annotations

import copy

import torch

from model.training.network import FusionNetwork


class WeightAverage:
    """Keeps an averaged copy of a network in evaluation mode."""

    def __init__(self, network: FusionNetwork, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: FusionNetwork) -> None:
        """Take in the weights after an optimiser step; the first steps are forgotten sooner."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        pairs = zip(self.network.parameters(), network.parameters(), strict=True)
        for averaged, current in pairs:
            averaged.lerp_(current, 1 - decay)
