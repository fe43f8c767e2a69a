"""The checkpoint of a site that trained on its own export, and its MODEL_CARD.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from model.checkpoint import ModelInfo, save_checkpoint
from model.predictor import load_predictor
from model.tokens import TokenConfig
from model.training.card_answers import site_answers
from model.training.cohort import Cohort
from model.training.export import WEIGHTS
from model.training.loop import Trained
from model.training.settings import TrainingSettings
from model.training.shipping import TRAINING, Release, ship
from model.training.source_attributes import attribute_section

CARD = """# Model card: {name} {version}

Estimates the probability of {tasks}. Trained by a site on its own FHIR Bulk Data export, with
its own labels.

## What it is not
- Not a medical device, not approved by any authority, not validated on patients in use.
- Not evaluated: the figures below are of the tuning patients, who stopped the training and
  fitted the calibration. Measure it on patients of a later time (`meam evaluate --bulk`) before
  anybody sees an estimate.
- Not causal: an attribution says what moved the model, not what would help the patient.

## Data
| task | part | rows with a known outcome | with the event |
|---|---|---|---|
{counts}

The groups of training and tuning are apart. Base rate: {base_rates}. The vocabulary holds what
at least a hundredth of the patients had: {variables} structured variables, {channels} device
channels, {note_types} note types.

## How it was trained
{epochs} epochs, seed {seed}, sentence encoder {encoder}. On the tuning patients (optimistic, see
above):

| task | AUROC | AUPRC | Brier |
|---|---|---|---|
{figures}

Each task has a calibration and conformal sets of its own. {alignment} Which task is explained is
a setting of the service.
"""

ALIGNED = "Attention was aligned with the\nexplanation of the first task."
NOT_ALIGNED = "Attention was not aligned with\nexplanations: the consistency loss was off."


def site_card(info: ModelInfo, tokens: TokenConfig, training: Mapping[str, Any]) -> str:
    """Return the card; ``training`` is what training.json holds."""
    named = {task.outcome: training["tasks"][task.name] for task in info.tasks}
    card = CARD.format(
        name=info.name,
        version=info.version,
        tasks=" and of ".join(f"**{name}**" for name in named),
        counts="\n".join(
            f"| {name} | {part} | {rows['stays']:,} | {rows['events']:,} |"
            for name, task in named.items()
            for part in ("training", "tuning")
            for rows in task[part].values()
        ),
        base_rates=", ".join(f"{task.outcome} {task.base_rate:.1%}" for task in info.tasks),
        figures="\n".join(_figure_line(name, task) for name, task in named.items()),
        variables=len(tokens.variables),
        channels=len(tokens.channels),
        note_types=len(tokens.note_types),
        epochs=len(training["history"]),
        seed=training["settings"]["seed"],
        encoder=info.sentence_encoder.partition(" ")[0],
        alignment=ALIGNED if _taught(training) else NOT_ALIGNED,
    )
    answers = site_answers({"version": info.version}, named)
    return f"{card}\n{attribute_section(answers)}"


def _taught(training: Mapping[str, Any]) -> bool:
    """Whether any epoch had the consistency loss."""
    return any(epoch["kl_weight"] > 0 for epoch in training["history"])


def _figure_line(name: str, task: Mapping[str, Any]) -> str:
    cells = [f"{task['tuning_figures'][key]:.3f}" for key in ("auroc", "auprc", "brier")]
    return f"| {name} | {' | '.join(cells)} |"


def ship_with_card(
    folder: Path,
    draft: Path,
    trained: Trained,
    training: Cohort,
    tuning: Cohort,
    settings: TrainingSettings,
    release: Release,
) -> None:
    """Write the checkpoint; ``folder`` appears whole, by way of ``draft``, which has to load.

    Raises CalibrationError where the logits say nothing about the tuning cases, and ModelError
    where the service could not load the result.
    """
    ship(draft, trained, training, tuning, settings, replace(release, encoder=None))
    checkpoint = load_predictor(draft, encoder_path=release.encoder).checkpoint
    kept = {name: (draft / name).read_bytes() for name in (WEIGHTS, TRAINING)}
    card = site_card(checkpoint.info, checkpoint.tokens, json.loads(kept[TRAINING]))
    save_checkpoint(folder, replace(checkpoint, model_card=card), kept, encoder=release.encoder)
