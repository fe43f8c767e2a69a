"""The training loss: cross-entropy, and the consistency of attention with its teacher.

L = BCE(f(x*m), y)
  + lambda(t) * [m = 1] * g(x) * KL(p || a)
  + mu * [m = 1] * sum over modalities (mass of p - mass of a)^2

``a`` is the pooled attention over a row's tokens without the sink, so that a row in which
nothing matters may still rest on the sink. ``p`` is the teacher's denoised target and ``g`` its
gate; both are constants to the gradient. A row without a target has p = 0 everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

ATTENTION_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class ConsistencySettings:
    """How attention is drawn towards its teacher. Zero weights switch a term off."""

    kl_weight: float = 0.4  # lambda at the end of its ramp; 0.3-0.5 moved attention, not AUROC
    mass_weight: float = 0.2  # mu
    noise_multiple: float = 1.0  # kappa: attributions below this many standard errors are noise
    gate_logit: float = 0.5  # tau: sum |phi| under which a row is not wholly held to agree
    warm_up_share: float = 0.6  # of the epochs, with lambda = 0: phi of a raw network is noise
    ramp_share: float = 0.2  # of the epochs, from 0 to kl_weight
    refresh_epochs: int = 4  # epochs between two teachings
    row_share: float = 0.15  # of the training rows that a teaching explains
    row_cap: int = 900  # more rows cost minutes and change nothing
    permutation_pairs: int = 2  # antithetic pairs a row
    lime_samples: int = 256  # masks a row over its note sentences
    denoise: bool = True  # False: p from |phi| as it is
    gate: bool = True  # False: g = 1
    permute_targets: bool = False  # placebo: each row is taught another order of its own p

    def weight_at(self, epoch: int, epoch_count: int) -> float:
        """Return lambda for an epoch counted from 0."""
        progress = epoch / epoch_count - self.warm_up_share
        if progress < 0:
            return 0.0
        ramp = 1.0 if self.ramp_share <= 0 else (progress + 1 / epoch_count) / self.ramp_share
        return self.kl_weight * min(1.0, ramp)

    @property
    def active(self) -> bool:
        """Whether any term needs a teacher."""
        return self.kl_weight > 0 or self.mass_weight > 0

    def teaches_at(self, epoch: int, epoch_count: int) -> bool:
        """Whether targets are refreshed before this epoch."""
        first = int(np.ceil(self.warm_up_share * epoch_count))
        return self.active and epoch >= first and (epoch - first) % self.refresh_epochs == 0


@dataclass(frozen=True, slots=True)
class LossCounts:
    """What the terms of a whole batch are divided by, where a process has a part of its rows."""

    labels: int  # known ones
    divergence: int  # rows with weight in it
    mass: int

    def times(self, copies: int) -> LossCounts:
        """Return the counts where so many processes compute the same rows."""
        return LossCounts(self.labels * copies, self.divergence * copies, self.mass * copies)


@dataclass(frozen=True, slots=True)
class LossTerms:
    """The loss and its parts, each a scalar."""

    total: Tensor
    cross_entropy: Tensor
    divergence: Tensor
    mass: Tensor


def teacher_target(
    attribution: npt.NDArray[np.float64],
    standard_error: npt.NDArray[np.float64],
    settings: ConsistencySettings,
) -> tuple[npt.NDArray[np.float32], float]:
    """Return (p, g) of one row from signed attributions of its tokens, in logits.

    ``p`` is all zero where no attribution stands out of its noise.
    """
    magnitude = np.abs(attribution)
    noise = settings.noise_multiple * standard_error if settings.denoise else 0.0
    relevant = np.maximum(0.0, magnitude - noise)
    total = float(relevant.sum())
    target = relevant / total if total > 0 else np.zeros_like(relevant)
    gate = min(1.0, float(magnitude.sum()) / settings.gate_logit) if settings.gate else 1.0
    return target.astype(np.float32), gate


def over_tokens(attention: Tensor, present: Tensor) -> Tensor:
    """Rescale pooled attention to sum to 1 over the present tokens, leaving out the sink."""
    shown = torch.where(present, attention, torch.zeros_like(attention))  # (B, T)
    return shown / shown.sum(dim=1, keepdim=True).clamp_min(ATTENTION_FLOOR)


def divergence(
    target: Tensor, attention: Tensor, weight: Tensor, count: int | None = None
) -> Tensor:
    """Return the mean of weight x KL(p || a) over rows with weight; p and a are (B, T).

    ``count``: of the rows with weight, where these are a part of them.
    """
    safe = target.clamp_min(ATTENTION_FLOOR)
    rows = (target * (safe.log() - attention.clamp_min(ATTENTION_FLOOR).log())).sum(dim=1)  # (B,)
    return (weight * rows).sum() / _rows_with(weight, count)


def modality_mass(
    target: Tensor,
    attention: Tensor,
    modality: Tensor,
    weight: Tensor,
    count: int | None = None,
) -> Tensor:
    """Return the mean of weight x squared difference of mass, summed over modalities.

    ``modality`` (B, T) numbers the modality of each token; hidden tokens have no mass.
    """
    rows = torch.zeros_like(weight)  # (B,)
    for number in range(int(modality.max().item()) + 1):
        inside = (modality == number).to(target.dtype)  # (B, T)
        rows = rows + ((target - attention) * inside).sum(dim=1) ** 2
    return (weight * rows).sum() / _rows_with(weight, count)


def _rows_with(weight: Tensor, count: int | None) -> Tensor | int:
    return (weight > 0).sum().clamp_min(1) if count is None else max(1, count)


def training_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    attention: Tensor,
    present: Tensor,
    modality: Tensor,
    target: Tensor,
    gate: Tensor,
    whole: Tensor,
    kl_weight: float,
    mass_weight: float,
    counts: LossCounts | None = None,
) -> LossTerms:
    """Return the loss of a batch, or, with the counts of the whole, a part's share of it.

    ``logits`` and ``labels`` are (B, tasks), with NaN where a label is unknown; ``gate`` and
    ``whole`` (no token dropped) are (B,).
    """
    known = ~torch.isnan(labels)
    cross_entropy = _cross_entropy(
        logits[known], labels[known], None if counts is None else counts.labels
    )
    taught = whole.to(target.dtype) * (target.sum(dim=1) > 0).to(target.dtype)  # (B,)
    shown = over_tokens(attention, present)
    kl = divergence(target, shown, taught * gate, None if counts is None else counts.divergence)
    mass = modality_mass(target, shown, modality, taught, None if counts is None else counts.mass)
    total = cross_entropy + kl_weight * kl + mass_weight * mass
    return LossTerms(total, cross_entropy.detach(), kl.detach(), mass.detach())


def _cross_entropy(logits: Tensor, labels: Tensor, count: int | None) -> Tensor:
    if count is None:
        return functional.binary_cross_entropy_with_logits(logits, labels)
    total = functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    return total / max(1, count)
