"""Physiology of the sample patients: what is wrong drives everything that is measured.

A course states drivers of illness over time (0 = absent, 1 = severe). All variables follow from
them together, so that a chart is coherent: vasoplegia lowers the pressure, raises heart rate and
lactate and cuts the urine; bicarbonate falls with lactate, breathing follows, and pH is
Henderson-Hasselbalch of the two. The coefficients are plausible textbook magnitudes, fitted to no
data. One value a minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Keyframes = tuple[tuple[float, float], ...]  # (hours after admission, severity 0..1 or value)

DRIVERS = (
    "inflammation",
    "vasoplegia",
    "hypovolaemia",
    "pump_failure",
    "congestion",
    "lung_injury",
    "hypercapnia",
    "ketoacidosis",
    "renal_injury",
    "encephalopathy",
    "stress",  # pain, fear, agitation
    "blood_loss",
    "diuresis",  # by drugs
)
MINUTES_PER_HOUR = 60
SMOOTHING_MINUTES = 45  # illness does not turn at a keyframe
NORMAL_TEMPERATURE_CEL = 36.8
AIR_FRACTION = 0.21


@dataclass(frozen=True, slots=True)
class Baseline:
    """The patient in usual health."""

    weight_kg: float
    height_cm: float
    heart_rate: float = 74
    mean_bp: float = 90
    pulse_pressure: float = 46
    respiratory_rate: float = 15
    oxygen_saturation: float = 97
    creatinine: float = 0.9
    urea_nitrogen: float = 15
    hemoglobin: float = 13.6
    white_cells: float = 7.2
    platelets: float = 240
    sodium: float = 139.5
    potassium: float = 4.1
    glucose: float = 104
    bicarbonate: float = 24.5
    carbon_dioxide: float = 40
    nt_pro_bnp: float = 120
    troponin_i: float = 0.01
    beta_blockade: float = 0.0  # 0..1, share of the heart's answer that is blocked
    albumin: float = 3.9
    bilirubin: float = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class Physiology:
    """All variables by minute; names as in variables.csv."""

    minutes: Floats  # (n,) since admission
    values: Mapping[str, Floats]  # (n,) each
    activity: Floats  # (n,) 0..1, how much the patient moves

    def at(self, variable: str, hours: float) -> float:
        """Return the true value at a time after admission."""
        return float(np.interp(hours * MINUTES_PER_HOUR, self.minutes, self.values[variable]))


def simulate(
    baseline: Baseline,
    course: Mapping[str, Keyframes],
    *,
    hours: float,
    admission_hour_of_day: float,
    oxygen: Keyframes = ((0, AIR_FRACTION),),
    mobility: Keyframes = ((0, 0.1),),
) -> Physiology:
    """Return the course by minute. Raises ValueError for a driver that does not exist."""
    unknown = sorted(set(course) - set(DRIVERS))
    if unknown:
        raise ValueError(f"no such drivers: {', '.join(unknown)}")
    minutes = np.arange(int(hours * MINUTES_PER_HOUR) + 1, dtype=np.float64)
    drivers = {name: _curve(course.get(name, ((0, 0.0),)), minutes) for name in DRIVERS}
    fraction = np.interp(minutes / MINUTES_PER_HOUR, *_columns(oxygen))
    hour_of_day = (admission_hour_of_day + minutes / MINUTES_PER_HOUR) % 24
    values = _variables(baseline, drivers, fraction, hour_of_day)
    values["fraction_inspired_oxygen"] = fraction * 100
    awake = 1 / (1 + np.exp(-(np.minimum(hour_of_day - 6.5, 22.5 - hour_of_day)) * 2))
    activity = _curve(mobility, minutes) * awake
    values["heart_rate"] = values["heart_rate"] + 12 * activity
    return Physiology(minutes, values, activity)


def _variables(
    base: Baseline, driver: Mapping[str, Floats], fraction: Floats, hour_of_day: Floats
) -> dict[str, Floats]:
    daily = np.cos((hour_of_day - 16.5) / 24 * 2 * np.pi)  # highest in the late afternoon
    temperature = NORMAL_TEMPERATURE_CEL + 2.1 * driver["inflammation"] + 0.25 * daily
    low_flow = np.minimum(
        0.8 * driver["vasoplegia"] + 0.9 * driver["hypovolaemia"] + 0.8 * driver["pump_failure"],
        1.3,
    )
    shunt = driver["lung_injury"] + 0.75 * driver["congestion"]
    values = _circulation(base, driver, temperature, low_flow, shunt, daily)
    values.update(_gas_exchange(base, driver, fraction, low_flow, shunt))
    values.update(_kidney(base, driver, low_flow))
    values.update(_blood(base, driver))
    lactate = values["lactate"]
    values["respiratory_rate"] = (
        base.respiratory_rate
        + 11 * shunt
        + 12 * driver["ketoacidosis"]
        + 4 * driver["inflammation"]
        + 4 * driver["stress"]
        + 0.8 * (lactate - 1)
    )
    values["body_temperature"] = temperature
    values["glasgow_coma_scale"] = np.round(15 - 6 * driver["encephalopathy"])
    gap = 10 + (lactate - 1) + 14 * driver["ketoacidosis"] + 2 * driver["renal_injury"]
    values["chloride"] = values["sodium"] - values["bicarbonate"] - gap
    return values


def _circulation(
    base: Baseline,
    driver: Mapping[str, Floats],
    temperature: Floats,
    low_flow: Floats,
    shunt: Floats,
    daily: Floats,
) -> dict[str, Floats]:
    answer = (
        9 * (temperature - NORMAL_TEMPERATURE_CEL)
        + 36 * low_flow
        + 14 * shunt
        + 16 * driver["stress"]
        + 14 * driver["ketoacidosis"]
    )
    mean = (
        base.mean_bp
        - 38 * driver["vasoplegia"]
        - 28 * driver["hypovolaemia"]
        - 12 * driver["pump_failure"]
        + 14 * driver["stress"]
        + 3 * daily
    )
    narrowing = np.minimum(driver["hypovolaemia"] + driver["pump_failure"], 1)
    pulse = base.pulse_pressure * (1 - 0.35 * narrowing + 0.1 * driver["vasoplegia"])
    return {
        "heart_rate": base.heart_rate + (1 - 0.5 * base.beta_blockade) * answer + 3 * daily,
        "mean_blood_pressure": mean,
        "systolic_blood_pressure": mean + pulse * 2 / 3,
        "diastolic_blood_pressure": mean - pulse / 3,
        "lactate": _lagged(1.0 + 5.2 * low_flow**1.5, lag_hours=2),
        "nt_pro_bnp": _lagged(base.nt_pro_bnp * (1 + 5 * driver["congestion"]), lag_hours=8),
        "troponin_i": np.full_like(low_flow, base.troponin_i),
    }


def _gas_exchange(
    base: Baseline, driver: Mapping[str, Floats], fraction: Floats, low_flow: Floats, shunt: Floats
) -> dict[str, Floats]:
    help_by_oxygen = np.sqrt(np.maximum(fraction - AIR_FRACTION, 0) / (1 - AIR_FRACTION))
    saturation = base.oxygen_saturation - 18 * shunt + (22 * shunt + 3) * help_by_oxygen
    saturation = np.clip(saturation, 60, 99)
    lactate = _lagged(1.0 + 5.2 * low_flow**1.5, lag_hours=2)
    bicarbonate = (
        base.bicarbonate
        - 16 * driver["ketoacidosis"]
        - 0.9 * (lactate - 1)
        - 3 * driver["renal_injury"]
    )
    lack = base.bicarbonate - bicarbonate
    carbon_dioxide = base.carbon_dioxide - 1.15 * lack + 24 * driver["hypercapnia"]
    carbon_dioxide = carbon_dioxide - 5 * shunt * (driver["hypercapnia"] < 0.1)
    carbon_dioxide = np.maximum(carbon_dioxide, 12)
    return {
        "oxygen_saturation": saturation,
        "bicarbonate": bicarbonate,
        "arterial_carbon_dioxide_pressure": carbon_dioxide,
        "arterial_ph": 6.1 + np.log10(bicarbonate / (0.0307 * carbon_dioxide)),
        "arterial_oxygen_pressure": oxygen_pressure(saturation),
    }


def oxygen_pressure(saturation_percent: Floats) -> Floats:
    """Return the oxygen pressure in mm[Hg] of a saturation, by Severinghaus' curve."""
    pressure = np.linspace(20, 160, 1401)
    saturation = 100 / (23400 / (pressure**3 + 150 * pressure) + 1)
    return np.interp(saturation_percent, saturation, pressure)


def _kidney(base: Baseline, driver: Mapping[str, Floats], low_flow: Floats) -> dict[str, Floats]:
    renal, ketones = driver["renal_injury"], driver["ketoacidosis"]
    share = np.maximum(1 - 0.55 * renal - 0.45 * low_flow, 0.06)
    urine = base.weight_kg * share + 170 * driver["diuresis"] + 160 * ketones
    glucose = _lagged(
        base.glucose + 45 * driver["inflammation"] + 15 * driver["stress"] + 370 * ketones,
        lag_hours=0.5,
    )
    urea = base.urea_nitrogen * (1 + 1.8 * renal) + 26 * driver["blood_loss"]
    return {
        "urine_output": urine,  # mL in the hour before
        "creatinine": _lagged(base.creatinine * (1 + 2.1 * renal), lag_hours=7),
        "blood_urea_nitrogen": _lagged(urea + 9 * driver["hypovolaemia"], lag_hours=5),
        "potassium": base.potassium + 0.8 * renal + 1.1 * ketones - 0.5 * driver["diuresis"],
        "glucose": glucose,
        "sodium": base.sodium - 1.6 * (glucose - 100) / 100 + 2 * driver["hypovolaemia"],
    }


def _blood(base: Baseline, driver: Mapping[str, Floats]) -> dict[str, Floats]:
    inflammation = driver["inflammation"]
    hemoglobin = _lagged(base.hemoglobin - 6.4 * driver["blood_loss"], lag_hours=3)
    return {
        "hemoglobin": hemoglobin,
        "hematocrit": 2.95 * hemoglobin,
        "white_blood_cells": _lagged(base.white_cells + 12 * inflammation, lag_hours=4)
        + 5 * driver["ketoacidosis"],
        "platelets": _lagged(
            base.platelets * (1 - 0.65 * driver["vasoplegia"] - 0.2 * driver["blood_loss"]),
            lag_hours=18,
        ),
        "c_reactive_protein": _lagged(4 + 230 * inflammation**1.5, lag_hours=10),
        "procalcitonin": _lagged(0.05 + 14 * inflammation**2.5, lag_hours=8),
        "international_normalized_ratio": _lagged(
            1.05 + 0.5 * driver["vasoplegia"] + 0.2 * driver["blood_loss"], lag_hours=12
        ),
        "bilirubin": _lagged(base.bilirubin * (1 + 2 * driver["vasoplegia"]), lag_hours=16),
        "albumin": _lagged(base.albumin - 1.0 * inflammation, lag_hours=20),
        "magnesium": 2.0 - 0.4 * driver["diuresis"] - 0.3 * driver["ketoacidosis"],
    }


def _curve(keyframes: Keyframes, minutes: Floats) -> Floats:
    """Interpolate between keyframes and round off their corners."""
    width = SMOOTHING_MINUTES
    padded = np.arange(minutes[0] - width, minutes[-1] + width + 1)
    sharp = np.interp(padded / MINUTES_PER_HOUR, *_columns(keyframes))
    kernel = np.ones(2 * width + 1) / (2 * width + 1)
    return np.convolve(sharp, kernel, mode="valid")


def _columns(keyframes: Keyframes) -> tuple[list[float], list[float]]:
    return [hour for hour, _ in keyframes], [value for _, value in keyframes]


def _lagged(target: Floats, lag_hours: float) -> Floats:
    """Follow a target as a first-order process does; it starts where the target starts."""
    share = 1 - np.exp(-1 / (lag_hours * MINUTES_PER_HOUR))
    followed = np.empty_like(target)
    value = target[0]
    for minute, goal in enumerate(target):
        value += share * (goal - value)
        followed[minute] = value
    return followed
