"""One prediction before the first request, so that no clinician waits for a cold start."""

from __future__ import annotations

import ctypes
import gc
from datetime import UTC, datetime, timedelta

import numpy as np

from model.record import (
    Demographics,
    DeviceSeries,
    Measurement,
    Note,
    PatientRecord,
    Sentence,
    Stay,
)

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h


def settle_memory() -> None:
    """Take what lives as long as the process out of the garbage collector's sight.

    A chart of 10,000 Observations is some 200,000 objects: while it is parsed, the collector goes
    through all that it knows several times, and modules, tables and the model are most of it.
    """
    gc.collect()
    gc.freeze()


def share_arenas() -> None:
    """Let threads share two arenas of glibc's malloc, before the first of them is started.

    Each thread that works beside others would get an arena of its own and keep what a chart left
    in it. Other C libraries have no arenas.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 2)


def warm_up_record() -> PatientRecord:
    """An invented inpatient with all three modalities, so that every part of the model runs."""
    now = datetime(2026, 1, 2, 12, tzinfo=UTC)
    times_s = now.timestamp() - np.arange(600.0)[::-1] * 60
    values = {
        "lactate": (1.4, "mmol/L"),
        "creatinine": (1.0, "mg/dL"),
        "sodium": (140.0, "mmol/L"),
        "potassium": (4.1, "mmol/L"),
        "glucose": (110.0, "mg/dL"),
        "platelets": (220.0, "10*3/uL"),
        "white_blood_cells": (8.0, "10*3/uL"),
        "heart_rate": (82.0, "/min"),
    }
    return PatientRecord(
        demographics=Demographics("Patient/warm-up", 60.0, "female"),
        prediction_time=now,
        measurements=tuple(
            Measurement(name, value, unit, now - timedelta(hours=2), f"Observation/{name}")
            for name, (value, unit) in values.items()
        ),
        notes=(
            Note(
                "Progress note",
                now - timedelta(hours=3),
                (Sentence("Resting comfortably."), Sentence("Denies chest pain.", negated=True)),
                "DocumentReference/warm-up",
            ),
        ),
        device_series=(
            DeviceSeries(
                "heart_rate",
                "/min",
                times_s,
                np.full(600, 80, np.float32),
                ("Observation/series",),
                np.zeros(600, np.int32),
            ),
        ),
        stay=Stay("Encounter/warm-up", "IMP", "", now - timedelta(days=1)),
    )
