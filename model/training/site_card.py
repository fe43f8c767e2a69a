"""MODEL_CARD.md of a checkpoint that a site trained on its own export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.checkpoint import ModelInfo
from model.tokens import TokenConfig

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
