"""A small world that works: a vocabulary, a chart of all three modalities, and a checkpoint.

Each test takes it and breaks one thing. The network is random: what is checked here is how it is
run and explained, not how well it predicts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import torch

from model.applicability import ApplicabilityRules, fit_applicability
from model.calibration import Calibration, ConformalSets, LogitMap, Thresholds
from model.checkpoint import ModelInfo, TaskSpec
from model.record import (
    Demographics,
    DeviceSeries,
    Measurement,
    Note,
    PatientRecord,
    Sentence,
    Stay,
)
from model.tokens import EMBEDDING_WIDTH, Floats, TokenArrays, TokenConfig, VariableSpec, tokenize
from model.training.export import export_checkpoint
from model.training.network import FusionNetwork, NetworkConfig, fit_scales

NOW = datetime(2026, 3, 4, 8, 0, tzinfo=UTC)
TASK = "in_hospital_death"

CONFIG = TokenConfig(
    variables=(
        VariableSpec("heart_rate", "Heart rate", "/min", "cardiovascular"),
        VariableSpec("lactate", "Lactate", "mmol/L", "metabolic"),
        VariableSpec("creatinine", "Creatinine", "mg/dL", "renal"),
        VariableSpec("platelets", "Platelets", "10*3/uL", "hematological"),
        VariableSpec("bilirubin", "Bilirubin", "mg/dL", "hepatic"),
        VariableSpec("glucose", "Glucose", "mg/dL", "metabolic"),
        VariableSpec("age_years", "Age", "a", "general"),
        VariableSpec("sex", "Sex", "", "general"),
        VariableSpec("unit_type", "Unit", "", "general"),
    ),
    channels=(
        VariableSpec("heart_rate", "Heart rate", "/min", "cardiovascular"),
        VariableSpec("respiratory_rate", "Respiratory rate", "/min", "respiratory"),
    ),
    note_types=("Progress note", "Nursing note"),
    unit_types=("medical icu", "surgical icu"),
)


# Mean and spread of the random population; chart() is one of it.
USUAL = {
    "heart_rate": (95.0, 15.0),
    "lactate": (2.5, 1.2),
    "creatinine": (1.4, 0.4),
    "platelets": (220.0, 60.0),
    "bilirubin": (1.0, 0.3),
    "glucose": (140.0, 30.0),
}


MEANS = {"heart_rate": 85.0, "respiratory_rate": 22.0}  # of the device channels


class HashEncoder:
    """A sentence encoder without meaning: the same text has the same unit vector."""

    identity = "hash encoder of the tests"
    width = EMBEDDING_WIDTH

    def encode(self, sentences: Sequence[str]) -> Floats:
        """Return (n, 384)."""
        rows = np.zeros((len(sentences), EMBEDDING_WIDTH), np.float32)
        for row, text in zip(rows, sentences, strict=True):
            seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
            row[:] = np.random.default_rng(seed).normal(size=EMBEDDING_WIDTH)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def embed(sentences: Sequence[str]) -> Floats:
    """Embed with the hash encoder."""
    return HashEncoder().encode(sentences)


def hours_ago(hours: float) -> datetime:
    """Return a time before NOW."""
    return NOW - timedelta(hours=hours)


def measurement(variable: str, value: float, hours: float, number: int = 0) -> Measurement:
    """Return one value of ``hours`` ago."""
    return Measurement(variable, value, "", hours_ago(hours), f"Observation/{variable}-{number}")


def measurements(values: dict[str, list[tuple[float, float]]]) -> tuple[Measurement, ...]:
    """Return values {variable: [(hours ago, value)]}, sorted by time."""
    rows = [
        measurement(variable, value, hours, number)
        for variable, pairs in values.items()
        for number, (hours, value) in enumerate(pairs)
    ]
    return tuple(sorted(rows, key=lambda m: m.time))


def series(
    channel: str, hours: float = 24, period_s: float = 60.0, seed: int = 0, mean: float = 85.0
) -> DeviceSeries:
    """Return a series of the last hours, one sample a period, ending at NOW."""
    count = int(hours * 3600 / period_s)
    times = NOW.timestamp() - np.arange(count)[::-1] * period_s
    values = mean + np.random.default_rng(seed).normal(0, 4, count).astype(np.float32)
    index = np.zeros(count, np.int32)
    return DeviceSeries(
        channel, "/min", times, values.astype(np.float32), ("Observation/d1",), index,
        device="Device/1", period_s=period_s,
    )  # fmt: skip


def note(hours: float, *texts: str, note_type: str = "Progress note", number: int = 1) -> Note:
    """Return a note of plain sentences."""
    sentences = tuple(Sentence(text, section="Assessment") for text in texts)
    return Note(note_type, hours_ago(hours), sentences, f"DocumentReference/{number}")


def chart(**changes: object) -> PatientRecord:
    """Return a complete record; ``changes`` replace fields."""
    fields = {
        "demographics": Demographics("Patient/1", 71.0, "female"),
        "prediction_time": NOW,
        "measurements": measurements(
            {
                "heart_rate": [(20, 88), (8, 104), (1, 118)],
                "lactate": [(10, 2.1), (2, 4.4)],
                "creatinine": [(12, 1.4)],
                "bilirubin": [(12, 0.9)],
                "glucose": [(12, 130), (3, 150)],
            }
        ),
        "notes": (
            note(30, "Admitted with fever.", "No chest pain.", number=1),
            note(5, "Hypotensive overnight.", "Started on noradrenaline.", "Plan: CT.", number=2),
        ),
        "device_series": (
            series("heart_rate"),
            series("respiratory_rate", hours=10, seed=1, mean=22.0),
        ),
        "stay": Stay("Encounter/1", "IMP", "medical icu"),
    }
    return PatientRecord(**{**fields, **changes})  # type: ignore[arg-type]


def random_chart(seed: int) -> PatientRecord:
    """Return one of a population, in which modalities and variables come and go."""
    rng = np.random.default_rng(seed)
    values = {
        name: [
            (float(h), float(rng.normal(*usual))) for h in rng.uniform(0, 47, rng.integers(1, 5))
        ]
        for name, usual in USUAL.items()
        if rng.random() < 0.8
    }
    channels = [spec.name for spec in CONFIG.channels if rng.random() < 0.7]
    return chart(
        demographics=Demographics("Patient/1", float(rng.uniform(18, 90)), "male"),
        measurements=measurements(values),
        notes=tuple(
            note(20 - k, f"Finding {rng.integers(50)}.", "Stable.") for k in range(rng.integers(3))
        ),
        device_series=tuple(
            series(c, float(rng.uniform(4, 40)), 600.0, seed, mean=float(rng.normal(MEANS[c], 8)))
            for c in channels
        ),
    )


def population(count: int = 60) -> list[TokenArrays]:
    """Return the tokens of random charts."""
    return [tokenize(random_chart(seed), CONFIG, embed) for seed in range(count)]


def random_network(
    records: Sequence[TokenArrays],
    config: NetworkConfig | None = None,
    *,
    seed: int = 0,
    spread: float = 0.06,
) -> FusionNetwork:
    """Return a network in which every path matters; a larger spread is less linear."""
    torch.manual_seed(seed)
    config = config or NetworkConfig(tasks=(TASK,))
    network = FusionNetwork(CONFIG, config)
    network.set_scales(fit_scales(records, CONFIG, config.bins))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * spread)
    return network.eval()


def write_checkpoint(
    folder: Path, network: FusionNetwork, applicability: ApplicabilityRules
) -> Path:
    """Export a complete checkpoint for the hash encoder."""
    tasks = tuple(
        TaskSpec(name, name.replace("_", " "), 0.12, "survives", "dies")
        for name in network.config.tasks
    )
    info = ModelInfo("meam-risk", "0.0.1", "Random weights.", tasks, HashEncoder.identity)
    sets = ConformalSets(0.1, Thresholds(0.5, 0.9))
    export_checkpoint(
        folder,
        network,
        CONFIG,
        info,
        calibration={t.name: Calibration(LogitMap(8.0, -0.5)) for t in tasks},
        conformal={t.name: sets for t in tasks},
        applicability=applicability,
        model_card="# Random weights\n",
    )
    return folder


def rules(records: Sequence[TokenArrays]) -> ApplicabilityRules:
    """Fit the applicability rules of the small world."""
    return fit_applicability(records, CONFIG)
