"""The checkpoint of a site that trained on its own export, and its MODEL_CARD.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from model.checkpoint import ModelInfo, load_checkpoint, save_checkpoint
from model.tokens import TokenConfig
from model.training.cohort import Cohort
from model.training.export import WEIGHTS
from model.training.loop import Trained
from model.training.metrics import auroc
from model.training.predict import predict_logits
from model.training.settings import TrainingSettings
from model.training.shipping import TRAINING, Release, ship

CARD = """# Model card: {name} {version}

Estimates the probability of **{task}**. Trained by a site on its own FHIR Bulk Data export, with
its own labels.

## What it is not
- Not a medical device, not approved by any authority, not validated on patients in use.
- Not evaluated: the figure below is of the tuning patients, who stopped the training and fitted
  the calibration. Measure it on patients of a later time before anybody sees an estimate.
- Not causal: an attribution says what moved the model, not what would help the patient.

## Data
| part | rows | with the outcome |
|---|---|---|
| training | {training_rows:,} | {training_events:,} |
| tuning | {tuning_rows:,} | {tuning_events:,} |

The groups of training and tuning are apart. Base rate: {base_rate:.1%}. The vocabulary holds what
at least a hundredth of the patients had: {variables} structured variables, {channels} device
channels, {note_types} note types.

## How it was trained
{epochs} epochs, seed {seed}, sentence encoder {encoder}. AUROC of the tuning patients:
{auroc:.3f} (optimistic, see above).
"""


def site_card(
    info: ModelInfo, tokens: TokenConfig, training: Mapping[str, Any], auroc: float
) -> str:
    """Return the card; ``training`` is what training.json holds."""
    (trained,) = training["training_stays"].values()
    (tuned,) = training["tuning_stays"].values()
    return CARD.format(
        name=info.name,
        version=info.version,
        task=info.tasks[0].display,
        training_rows=trained["stays"],
        training_events=trained["events"],
        tuning_rows=tuned["stays"],
        tuning_events=tuned["events"],
        base_rate=info.tasks[0].base_rate,
        variables=len(tokens.variables),
        channels=len(tokens.channels),
        note_types=len(tokens.note_types),
        epochs=len(training["history"]),
        seed=training["settings"]["seed"],
        encoder=info.sentence_encoder.partition(" ")[0],
        auroc=auroc,
    )


def ship_with_card(
    folder: Path,
    draft: Path,
    trained: Trained,
    training: Cohort,
    tuning: Cohort,
    settings: TrainingSettings,
    release: Release,
) -> None:
    """Write the checkpoint; ``folder`` appears whole, by way of ``draft``.

    Raises CalibrationError where the logits say nothing about the tuning cases.
    """
    ship(draft, trained, training, tuning, settings, release)
    checkpoint = load_checkpoint(draft)
    kept = {name: (draft / name).read_bytes() for name in (WEIGHTS, TRAINING)}
    task = settings.network.tasks[0]
    figure = auroc(tuning.labels(task), predict_logits(trained.network, tuning.tokens())[:, 0])
    card = site_card(checkpoint.info, checkpoint.tokens, json.loads(kept[TRAINING]), figure)
    save_checkpoint(folder, replace(checkpoint, model_card=card), kept)
