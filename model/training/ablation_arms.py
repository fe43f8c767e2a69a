"""The arms of the ablation: which one thing each changes, and what it can refute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Final

from model.prediction import Modality
from model.training.settings import TrainingSettings

FULL: Final = "full"
UNALIGNED: Final = "no consistency loss"
NO_LOSS: Final[Mapping[str, Any]] = {"consistency.kl_weight": 0.0, "consistency.mass_weight": 0.0}


class SwitchMissing(ValueError):
    """The settings have no field that this arm would change."""


class UnknownArm(ValueError):
    """There is no arm of this name."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train; ``changes`` are values of TrainingSettings by dotted path."""

    name: str
    question: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    random_labels: bool = False  # outcomes of the training cases are shuffled
    amortised_head: bool = False  # a head's guesses stand where attention stands in other arms
    modalities: tuple[Modality, ...] = ()  # all there is in training and test; none: everything

    def identity(self) -> dict[str, Any]:
        """Return what a result depends on: not the question, nor what is as in every arm."""
        kept = {"name": self.name, "changes": dict(self.changes)}
        flags = ("random_labels", "amortised_head", "modalities")
        return kept | {flag: getattr(self, flag) for flag in flags if getattr(self, flag)}


def _dose(kl_weight: float) -> Arm:
    return Arm(
        f"lambda {kl_weight:g}",
        "dose-response: more of the loss, more agreement, at what cost?",
        {"consistency.kl_weight": kl_weight},
    )


DOSES: Final = (0.1, 0.3, 1.0, 3.0)  # lambda 0 is the arm without the loss
ARMS: Final[tuple[Arm, ...]] = (
    Arm(FULL, "everything as it ships"),
    Arm(UNALIGNED, "does the loss change anything?", NO_LOSS),
    Arm("no denoising", "kappa = 0: is a noisy teacher worse?", {"consistency.denoise": False}),
    Arm("no gate", "g = 1: must uninformative cases be let off?", {"consistency.gate": False}),
    Arm("no modality mass", "mu = 0: is the mass term of use?", {"consistency.mass_weight": 0.0}),
    Arm("placebo", "permuted targets: is it the targets?", {"consistency.permute_targets": True}),
    Arm("random labels", "is there agreement without any signal?", random_labels=True),
    *(_dose(weight) for weight in DOSES),
    Arm("nothing hidden", "no token and no modality dropout", {"whole_share": 1.0}),
    Arm("no token dropout", "modalities hidden whole only", {"token_dropout": False}),
    Arm(
        "no modality dropout",
        "tokens hidden one by one only",
        {"modality_rate": 0.0, "part_share": 0.0},
    ),
    Arm("hard labels", "is the ensemble's opinion of use?", {"soft_label_share": 0.0}),
    Arm("no bottleneck", "self-attention over all tokens", {"network.fusion": "self_attention"}),
    Arm("two readings", "must latents read the tokens twice?", {"network.blocks": 2}),
    Arm("structured only", "a network of its own", NO_LOSS, modalities=("structured",)),
    Arm("device only", "a network of its own", NO_LOSS, modalities=("device",)),
    Arm("amortised head", "can a head that changes nothing do it?", NO_LOSS, amortised_head=True),
)


def arms_named(names: Sequence[str]) -> tuple[Arm, ...]:
    """Return arms by name, in the order of ARMS; all of them for no names. Raises UnknownArm."""
    known = {arm.name for arm in ARMS}
    for name in names:
        if name not in known:
            raise UnknownArm(f"There is no arm '{name}'; the arms are: {', '.join(sorted(known))}.")
    return tuple(arm for arm in ARMS if not names or arm.name in names)


def settings_of_arm(settings: TrainingSettings, arm: Arm) -> TrainingSettings:
    """Return the settings with the arm's changes. Raises SwitchMissing."""
    for path, value in arm.changes.items():
        settings = _changed(settings, path.split("."), value, path)
    return settings


def _changed(node: Any, steps: Sequence[str], value: Any, path: str) -> Any:
    name, *rest = steps
    if not is_dataclass(node) or name not in {f.name for f in fields(node)}:
        raise SwitchMissing(f"the training settings have no switch '{path}'")
    inner = _changed(getattr(node, name), rest, value, path) if rest else value
    return replace(node, **{name: inner})  # type: ignore[type-var]
