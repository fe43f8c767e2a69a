"""The training loop: one network, token dropout, the consistency loss, averaged weights.

All randomness of an epoch comes from the seed and the epoch's number, so that a run that was
killed and resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.training.averaging import WeightAverage
from model.training.cohort import Cohort
from model.training.dropping import drop_tokens
from model.training.ensemble import soft_labels
from model.training.epoch_rows import draw_view, epoch_rows, views_by_stay
from model.training.losses import LossCounts, LossTerms, training_loss
from model.training.metrics import auroc
from model.training.network import (
    FusionNetwork,
    collate,
    fit_scales,
)
from model.training.predict import predict_logits
from model.training.settings import TrainingSettings
from model.training.state import (
    OnFresh,
    TrainingState,
    earlier_state,
    fingerprint,
    save_state,
)
from model.training.teaching import Lesson, taught_counts, teach
from model.training.team import ALONE, Team


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What one epoch did; losses are means over batches."""

    epoch: int
    cross_entropy: float
    divergence: float
    mass: float
    kl_weight: float
    tuning_auroc: float | None
    seconds: float
    teaching_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """Averaged weights and how they came about."""

    network: FusionNetwork
    history: tuple[EpochReport, ...]
    stopped_early: bool
    distilled: tuple[str, ...] = ()  # tasks whose labels were softened by the ensemble


OnEpoch = Callable[[EpochReport], None]
OnStep = Callable[[int, int], None]  # steps done, steps in all


def train_network(
    cohort: Cohort,
    tuning: Cohort | None,
    settings: TrainingSettings,
    *,
    state_folder: Path | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    on_fresh: OnFresh | None = None,
    team: Team = ALONE,
) -> Trained:
    """Train on a cohort of views; each epoch sees every stay once, in one of its views.

    With ``state_folder`` the state is written after each epoch and taken up again if the folder
    holds one of the same settings and data; where it is of others, ``on_fresh`` is told. Every
    process of a ``team`` calls this.
    """
    run = _Run(cohort, tuning, settings, on_step, team)
    if state_folder is not None:
        identity = fingerprint(cohort, tuning, settings)
        run.restore(earlier_state(state_folder, identity, on_fresh))
    while not run.finished:
        with _same_sums():
            report = run.one_epoch()
        team.require_same(run.network)
        if state_folder is not None and team.leads:
            save_state(state_folder, identity, run.state())
        if on_epoch is not None:
            on_epoch(report)
    return Trained(
        run.average.network, tuple(run.history), run.stopped_early, distilled=run.distilled
    )


@contextmanager
def _same_sums() -> Iterator[None]:
    """Let torch add up in one order: by default threads race to add gradients of shared rows.

    It costs no time here, and without it the same seed gives weights that differ by 1e-5.
    """
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


class _Run:
    """A training under way."""

    def __init__(
        self,
        cohort: Cohort,
        tuning: Cohort | None,
        settings: TrainingSettings,
        on_step: OnStep | None,
        team: Team = ALONE,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.cohort, self.tuning, self.settings, self.on_step = cohort, tuning, settings, on_step
        self.team = team
        self.outcomes, self.distilled = team.of_leader(lambda: _outcomes(cohort, settings))
        self.stays = views_by_stay(cohort.cases)
        self.network = FusionNetwork(cohort.config, settings.network)
        self.network.set_scales(fit_scales(cohort.tokens(), cohort.config, settings.network.bins))
        _set_base_rate(self.network, self.outcomes)
        self.average = WeightAverage(self.network, settings.average_decay)
        self.optimizer = _optimizer(self.network, settings)
        self.lessons: dict[int, Lesson] = {}
        self.history: list[EpochReport] = []
        self.stopped_early = False

    @property
    def finished(self) -> bool:
        return self.stopped_early or len(self.history) >= self.settings.epochs

    @property
    def steps_an_epoch(self) -> int:
        return math.ceil(len(self.stays) / self.settings.batch_size)

    def one_epoch(self) -> EpochReport:
        started = perf_counter()
        epoch = len(self.history)
        seed = self.settings.seed * 100_003 + epoch
        self.team.seed_dropout(seed)  # inside the network
        rows = epoch_rows(self.stays, self.cohort, self.settings, np.random.default_rng(seed))
        teaching_seconds = self.refresh_lessons(epoch, seed)
        before = None if self.tuning is None else self.average_weights()
        kl_weight = self.settings.consistency.weight_at(epoch, self.settings.epochs)
        terms = self.learn(rows, epoch, kl_weight, torch.Generator().manual_seed(seed))
        report = EpochReport(
            epoch=epoch,
            cross_entropy=sum(self.team.gathered(_mean(terms, "cross_entropy"))),
            divergence=sum(self.team.gathered(_mean(terms, "divergence"))),
            mass=sum(self.team.gathered(_mean(terms, "mass"))),
            kl_weight=kl_weight,
            tuning_auroc=self.tuning_auroc(),
            seconds=perf_counter() - started,
            teaching_seconds=teaching_seconds,
        )
        if before is not None and self.fell_too_far(report):
            self.average.network.load_state_dict(before)
            self.stopped_early = True
        self.history.append(report)
        return report

    def refresh_lessons(self, epoch: int, seed: int) -> float:
        started = perf_counter()
        consistency = self.settings.consistency
        if consistency.teaches_at(epoch, self.settings.epochs):
            generator = np.random.default_rng(seed + 1)
            count = min(
                consistency.row_cap,
                max(1, round(consistency.row_share * len(self.stays))),
                len(self.stays),
            )
            stays = generator.choice(len(self.stays), count, replace=False)
            chosen = [
                draw_view(self.stays[stay], self.cohort, self.settings, generator) for stay in stays
            ]
            self.lessons = teach(
                self.average.network, self.cohort, chosen, consistency, seed, self.team
            )
        return perf_counter() - started

    def learn(
        self,
        rows: npt.NDArray[np.int64],
        epoch: int,
        kl_weight: float,
        generator: torch.Generator,
    ) -> list[LossTerms]:
        self.network.train()
        mass_weight = self.settings.consistency.mass_weight if kl_weight > 0 else 0.0
        rows = self.with_taught_views(rows)
        terms = []
        for step, start in enumerate(range(0, len(rows), self.settings.batch_size)):
            chosen = rows[start : start + self.settings.batch_size]
            done = epoch * self.steps_an_epoch + step
            self.set_learning_rate(done)
            terms.append(self.step(chosen, kl_weight, mass_weight, generator))
            if self.on_step is not None:
                self.on_step(done + 1, self.settings.epochs * self.steps_an_epoch)
        return terms

    def with_taught_views(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Show a taught stay in the view that was explained: the target holds for that one."""
        if not self.lessons:
            return rows
        stay_of = {row: stay for stay, views in enumerate(self.stays) for row in views}
        taught = {stay_of[row]: row for row in self.lessons}
        return np.array([taught.get(stay_of[int(row)], int(row)) for row in rows])

    def step(
        self,
        rows: npt.NDArray[np.int64],
        kl_weight: float,
        mass_weight: float,
        generator: torch.Generator,
    ) -> LossTerms:
        everyone = [self.cohort.cases[row].tokens for row in rows]
        own = self.team.share_of_batch(len(rows))
        batch = collate(everyone[own], padded_like=everyone)
        dropped = drop_tokens(
            batch.modality,
            len(rows),
            whole_share=self.settings.whole_share,
            part_share=self.settings.part_share,
            modality_rate=self.settings.modality_rate,
            token_dropout=self.settings.token_dropout,
            generator=generator,
        )
        memory = self.network.encode(batch)
        output = self.network.fuse(memory, memory.present & dropped.keep[own])
        target, gate = self.targets(rows[own], memory.present)
        terms = training_loss(
            output.logits,
            torch.from_numpy(self.outcomes[rows[own]]).to(output.logits.dtype),
            attention=output.attention,
            present=memory.present,
            modality=memory.modality.expand(len(batch), -1),
            target=target,
            gate=gate,
            whole=dropped.whole[own],
            kl_weight=kl_weight,
            mass_weight=mass_weight,
            counts=self.counts(rows, dropped.whole),
        )
        self.optimizer.zero_grad(set_to_none=True)
        terms.total.backward()
        self.team.add_up_gradients(self.network)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.gradient_norm)
        self.optimizer.step()
        self.average.update(self.network)
        return terms

    def targets(self, rows: npt.NDArray[np.int64], present: Tensor) -> tuple[Tensor, Tensor]:
        """Lay out the targets of a batch: p (B, N), g (B,); zero where a row is not taught."""
        target = torch.zeros(present.shape)
        gate = torch.zeros(len(rows))
        for place, row in enumerate(rows):
            lesson = self.lessons.get(int(row))
            if lesson is not None:
                target[place, present[place]] = torch.from_numpy(lesson.target)
                gate[place] = lesson.gate
        return target, gate

    def counts(self, rows: npt.NDArray[np.int64], whole: Tensor) -> LossCounts | None:
        """Return what the loss of a whole batch is divided by where this process has a part."""
        if self.team.size == 1:
            return None
        counts = taught_counts([self.lessons.get(row) for row in rows.tolist()], whole)
        labels = int(np.isfinite(self.outcomes[rows]).sum())
        return LossCounts(labels, *counts).times(self.team.copies(len(rows)))

    def set_learning_rate(self, step: int) -> None:
        """Rise linearly, then follow a half cosine to a tenth."""
        total = self.settings.epochs * self.steps_an_epoch
        rise = min(1.0, (step + 1) / self.settings.warm_up_steps)
        fall = 0.55 + 0.45 * math.cos(math.pi * step / total)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * rise * fall

    def tuning_auroc(self) -> float | None:
        """Return the mean over tasks, each on the cases whose outcome is known."""
        if self.tuning is None:
            return None
        tokens = self.tuning.tokens()
        part = predict_logits(self.average.network, tokens[self.team.share(len(tokens))])
        logits = np.concatenate(self.team.gathered(part))
        found = []
        for place, task in enumerate(self.settings.network.tasks):
            outcomes = self.tuning.labels(task)
            known = np.isfinite(outcomes)
            found.append(auroc(outcomes[known], logits[known, place]))
        return float(np.mean(found))

    def fell_too_far(self, report: EpochReport) -> bool:
        """Whether discrimination is lower than before the consistency loss by more than it may.

        The comparison is with the last epoch without it: an earlier peak is overfitting's affair.
        """
        free = [e.tuning_auroc for e in self.history if e.kl_weight == 0 and e.tuning_auroc]
        if report.kl_weight == 0 or not free or report.tuning_auroc is None:
            return False
        return report.tuning_auroc < free[-1] - self.settings.auroc_tolerance

    def average_weights(self) -> dict[str, Tensor]:
        return {k: v.clone() for k, v in self.average.network.state_dict().items()}

    def state(self) -> TrainingState:
        return TrainingState(
            network=self.network.state_dict(),
            average=self.average.network.state_dict(),
            average_steps=self.average.steps,
            optimizer=self.optimizer.state_dict(),
            lessons=self.lessons,
            history=[asdict(report) for report in self.history],
            stopped_early=self.stopped_early,
        )

    def restore(self, state: TrainingState | None) -> None:
        if state is None:
            return
        self.network.load_state_dict(state.network)
        self.average.network.load_state_dict(state.average)
        self.average.steps = state.average_steps
        self.optimizer.load_state_dict(dict(state.optimizer))
        self.lessons = state.lessons
        self.history = [EpochReport(**report) for report in state.history]
        self.stopped_early = state.stopped_early


def _outcomes(
    cohort: Cohort, settings: TrainingSettings
) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
    """Return what each case is taught (n, tasks), NaN where unknown; and the softened tasks."""
    targets, distilled = [], []
    share = settings.soft_label_share
    for task in settings.network.tasks:
        labels = cohort.labels(task)
        soft = soft_labels(cohort, task) if share > 0 else None
        if soft is not None:
            labels = (1 - share) * labels + share * soft
            distilled.append(task)
        targets.append(labels)
    return np.stack(targets, axis=1), tuple(distilled)


def _set_base_rate(network: FusionNetwork, labels: npt.NDArray[np.float64]) -> None:
    """Start every head at its task's base rate, so that no epoch is spent on finding it."""
    rate = np.clip(np.nanmean(labels, axis=0), 0.01, 0.99)
    bias = network.get_parameter(f"head.{len(network.head) - 1}.bias")
    with torch.no_grad():
        bias.copy_(torch.from_numpy(np.log(rate / (1 - rate))))


def _optimizer(network: FusionNetwork, settings: TrainingSettings) -> torch.optim.AdamW:
    """Decay matrices; leave biases and norms alone."""
    decayed = [p for p in network.parameters() if p.dim() > 1]
    free = [p for p in network.parameters() if p.dim() <= 1]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": settings.weight_decay},
            {"params": free, "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
    )


def _mean(terms: Sequence[LossTerms], name: str) -> float:
    return float(np.mean([float(getattr(term, name)) for term in terms]))
