"""Streams of the sample patients' wearables as SampledData, with the flaws that wearables have.

A wrist device follows the patient's physiology from minute to minute, with a daily rhythm, and
loses it: it is taken off to charge, single readings fail, and movement fakes a fast pulse and a
low saturation for some minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from fhir_adapters.datasets.chart_writer import UCUM, ChartWriter, instant
from fhir_adapters.datasets.sample_physiology import Floats, Physiology
from fhir_adapters.datasets.variable_coding import variable_codings

PERIOD_MS = 60_000
SAMPLES_PER_OBSERVATION = 360  # six hours
FAILED_READINGS = 0.015
GLUCOSE_PERIOD_MINUTES = 5
GLUCOSE_SENSOR_LIMITS = (40, 400)  # mg/dL; beyond them the sensor says LO and HI


@dataclass(frozen=True, slots=True)
class Stream:
    """One channel by minute, NaN where the device has no reading; ``factor`` is its resolution."""

    values: Floats
    factor: float


def write_wearable(
    writer: ChartWriter, physiology: Physiology, admission: datetime, random: np.random.Generator
) -> None:
    """Add the wrist device and what it recorded."""
    device = writer.device("wearable", "wrist wearable")
    worn = _worn(len(physiology.minutes), random)
    for channel, stream in _streams(physiology, random).items():
        lost = ~worn | (random.random(len(worn)) < FAILED_READINGS)
        values = np.where(lost, np.nan, stream.values)
        for first in range(0, len(values), SAMPLES_PER_OBSERVATION):
            chunk = values[first : first + SAMPLES_PER_OBSERVATION]
            if np.isfinite(chunk).any():
                start = admission + timedelta(minutes=first)
                data = {
                    "period": PERIOD_MS,
                    "factor": stream.factor,
                    "data": _samples(chunk, stream.factor),
                }
                last = start + timedelta(minutes=len(chunk) - 1)
                _write_samples(writer, channel, (start, last), data, device)


def write_glucose_sensor(
    writer: ChartWriter, physiology: Physiology, admission: datetime, random: np.random.Generator
) -> None:
    """Add a glucose sensor with a reading every five minutes; HI readings become ``U``."""
    device = writer.device("glucose-sensor", "continuous glucose monitor")
    low, high = GLUCOSE_SENSOR_LIMITS
    truth = physiology.values["glucose"][::GLUCOSE_PERIOD_MINUTES]
    noise = _drifting(len(truth), sd=9, memory=0.9, random=random)
    readings = np.round(truth + noise)
    texts = ["U" if r > high else "L" if r < low else f"{r:.0f}" for r in readings]
    for first in range(0, len(texts), SAMPLES_PER_OBSERVATION // GLUCOSE_PERIOD_MINUTES):
        chunk = texts[first : first + SAMPLES_PER_OBSERVATION // GLUCOSE_PERIOD_MINUTES]
        start = admission + timedelta(minutes=first * GLUCOSE_PERIOD_MINUTES)
        data = {
            "period": GLUCOSE_PERIOD_MINUTES * PERIOD_MS,
            "factor": 1.0,
            "lowerLimit": low,
            "upperLimit": high,
            "data": " ".join(chunk),
        }
        last = start + timedelta(minutes=(len(chunk) - 1) * GLUCOSE_PERIOD_MINUTES)
        _write_samples(writer, "glucose", (start, last), data, device)


def _streams(physiology: Physiology, random: np.random.Generator) -> Mapping[str, Stream]:
    count = len(physiology.minutes)
    moving = random.random(count) < 0.35 * physiology.activity
    steps = np.where(moving, random.poisson(38 * physiology.activity + 1), 0)
    shaken = _bursts(count, random, per_day=6 + 10 * float(physiology.activity.mean()))
    values = physiology.values
    pulse = values["heart_rate"] + _drifting(count, sd=2.5, memory=0.85, random=random)
    pulse = pulse + shaken * random.uniform(18, 45, count)
    saturation = values["oxygen_saturation"] + _drifting(count, 0.7, 0.9, random)
    saturation = saturation - shaken * random.uniform(4, 11, count)
    breathing = values["respiratory_rate"] + _drifting(count, 1.1, 0.8, random)
    # The skin is warm in fever and sleep, cold when the circulation centralises.
    skin = (
        33.0
        + 0.5 * (values["body_temperature"] - 36.8)
        - 0.5 * (values["lactate"] - 1) * (values["lactate"] > 2)
        - 0.6 * physiology.activity
        + _drifting(count, 0.15, 0.98, random)
    )
    return {
        "heart_rate": Stream(pulse, 1.0),
        "oxygen_saturation": Stream(np.minimum(saturation, 100), 1.0),
        "respiratory_rate": Stream(breathing, 1.0),
        "skin_temperature": Stream(skin, 0.1),
        "step_count": Stream(steps.astype(np.float64), 1.0),
    }


def _drifting(
    count: int, sd: float, memory: float, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return noise that drifts: an autoregressive process of order 1 with this sd."""
    shocks = random.standard_normal(count) * sd * np.sqrt(1 - memory**2)
    noise = np.empty(count)
    value = float(random.standard_normal()) * sd
    for index, shock in enumerate(shocks):
        value = memory * value + shock
        noise[index] = value
    return noise


def _worn(count: int, random: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return when the device was on: off about once a day for charging or washing."""
    worn = np.ones(count, dtype=bool)
    for _ in range(1 + count // 1440):
        start = int(random.integers(0, count))
        worn[start : start + int(random.integers(25, 90))] = False
    return worn


def _bursts(count: int, random: np.random.Generator, per_day: float) -> npt.NDArray[np.bool_]:
    """Return the minutes in which movement spoils the optical signals."""
    shaken = np.zeros(count, dtype=bool)
    for _ in range(int(random.poisson(per_day * count / 1440))):
        start = int(random.integers(0, count))
        shaken[start : start + int(random.integers(1, 5))] = True
    return shaken


def _samples(values: Floats, factor: float) -> str:
    return " ".join("E" if np.isnan(v) else str(round(v / factor)) for v in values)


def _write_samples(
    writer: ChartWriter,
    channel: str,
    first_and_last: tuple[datetime, datetime],
    data: dict[str, Any],
    device: dict[str, str],
) -> None:
    unit = variable_codings()[channel].unit
    origin = {"value": 0, "unit": unit, "system": UCUM, "code": unit}
    start, end = map(instant, first_and_last)
    samples = {"origin": origin, "dimensions": 1, **data}
    writer.observe_samples(channel, samples, start=start, end=end, device=device)
