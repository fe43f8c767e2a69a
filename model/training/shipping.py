"""From a trained network and its tuning cases to a checkpoint folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.applicability import fit_applicability
from model.calibration import Calibration
from model.checkpoint import ModelInfo, TaskSpec
from model.training.availability import cases_by_pattern
from model.training.cohort import Cohort
from model.training.export import export_checkpoint
from model.training.fit_calibration import PATTERN_CASES, fit_calibration, fit_conformal
from model.training.loop import Trained
from model.training.metrics import auprc, auroc, brier
from model.training.settings import TrainingSettings

Floats = npt.NDArray[np.float64]

MODEL_NAME = "meam-risk"
ALPHA = 0.1  # conformal sets hold the outcome of 9 in 10 patients of either kind
IN_HOSPITAL_DEATH = TaskSpec("in_hospital_death", "in-hospital death", 0.0, "survives", "dies")
EVALUATION, TRAINING = "evaluation.json", "training.json"
NOT_EVALUATED = (
    "# Model card: meam-risk\n\n"
    "These weights have not been evaluated yet. `meam evaluate` measures them and writes this "
    "card; until then they are for development only.\n"
)


@dataclass(frozen=True, slots=True)
class Release:
    """What config.json says beside the tasks."""

    version: str
    trained_on: str  # one sentence for the card
    sentence_encoder: str
    tasks: tuple[TaskSpec, ...] = (IN_HOSPITAL_DEATH,)  # words; base rates are those of training
    encoder: Path | None = None  # folder of an exported encoder, to travel with the checkpoint


def ship(
    folder: Path,
    trained: Trained,
    training: Cohort,
    tuning: Cohort,
    settings: TrainingSettings,
    release: Release,
) -> None:
    """Calibrate on the tuning cases and write the checkpoint folder."""
    tasks = settings.network.tasks
    cases = cases_by_pattern(trained.network, tuning.tokens(), enough=PATTERN_CASES)
    calibration, conformal, figures = {}, {}, {}
    for place, task in enumerate(tasks):
        outcomes = tuning.labels(task)[cases.rows]
        known = np.isfinite(outcomes)
        column, patterns = cases.logits[known, place], cases.patterns[known]
        fitted = fit_calibration(outcomes[known], column, patterns)
        probabilities = calibrated(fitted, column, patterns)
        calibration[task] = fitted
        conformal[task] = fit_conformal(outcomes[known], probabilities, patterns, alpha=ALPHA)
        natural = np.arange(len(cases.rows))[known] < len(tuning)  # these come first
        figures[task] = _figures(outcomes[known][natural], probabilities[natural])
    export_checkpoint(
        folder,
        trained.network,
        training.config,
        ModelInfo(
            name=MODEL_NAME,
            version=release.version,
            trained_on=release.trained_on,
            tasks=tuple(_task(task, training, release) for task in tasks),
            sentence_encoder=release.sentence_encoder,
        ),
        calibration=calibration,
        conformal=conformal,
        applicability=fit_applicability(training.tokens(), training.config),
        model_card=NOT_EVALUATED,
        more={TRAINING: _record(trained, training, tuning, settings, figures)},
        encoder=release.encoder,
    )


def calibrated(
    calibration: Calibration,
    logits: Floats,
    patterns: npt.NDArray[np.str_],
) -> Floats:
    """Return calibrated probabilities (n,) of one task."""
    pairs = zip(logits.tolist(), patterns.tolist(), strict=True)
    return np.array([calibration.probability(logit, pattern) for logit, pattern in pairs])


def _task(task: str, training: Cohort, release: Release) -> TaskSpec:
    (spec,) = (spec for spec in release.tasks if spec.name == task)
    return replace(spec, base_rate=base_rate(training, task))


def base_rate(cohort: Cohort, task: str) -> float:
    """Return the share of events among stays, each counted once."""
    by_stay = {
        (case.facts.data_set, case.facts.stay_id): case.facts.labels.get(task, np.nan)
        for case in cohort.cases
    }
    return float(np.nanmean(list(by_stay.values())))


def _figures(outcomes: Floats, probabilities: Floats) -> dict[str, float]:
    """Measure one task on the tuning cases: optimistic, since they stopped and calibrated it."""
    if len(set(outcomes.tolist())) < 2:
        return {}
    metrics = {"auroc": auroc, "auprc": auprc, "brier": brier}
    return {name: round(metric(outcomes, probabilities), 4) for name, metric in metrics.items()}


def _record(
    trained: Trained,
    training: Cohort,
    tuning: Cohort,
    settings: TrainingSettings,
    figures: Mapping[str, Mapping[str, float]],
) -> bytes:
    """Say how the weights came about: settings, history, and which stays tuned them."""
    tasks = settings.network.tasks
    document = {
        "settings": settings.to_json(),
        "history": [asdict(report) for report in trained.history],
        "stopped_early": trained.stopped_early,
        "softened_tasks": list(trained.distilled),
        "training_stays": _counts(training, settings.network.tasks[0]),
        "tuning_stays": _counts(tuning, settings.network.tasks[0]),
        "tasks": {
            task: {
                "training": _counts(training, task),
                "tuning": _counts(tuning, task),
                "tuning_figures": figures[task],
            }
            for task in tasks
        },
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def _counts(cohort: Cohort, task: str) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for data_set in sorted({case.facts.data_set for case in cohort.cases}):
        outcomes = {
            case.facts.stay_id: case.facts.labels[task]
            for case in cohort.of(data_set).cases
            if task in case.facts.labels
        }
        counts[data_set] = {"stays": len(outcomes), "events": int(sum(outcomes.values()))}
    return counts
