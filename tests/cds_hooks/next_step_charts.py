"""For each shipped step, charts for which it is offered and charts for which it is not.

A chart names the values of each variable, the last one first, an hour or more apart; ``_`` names
are about the patient: class and unit of the stay, age, and the risk group.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from model.prediction import Applicability, Prediction, TaskPrediction
from model.record import Demographics, DeviceSeries, Measurement, PatientRecord, Stay
from tests.cds_hooks.world import NOW

Chart = dict[str, Any]

INFLAMED: Chart = {"body_temperature": 38.9, "heart_rate": 112, "white_blood_cells": 17.0}
CALM: Chart = {"body_temperature": 36.8, "heart_rate": 74, "white_blood_cells": 7.0}

CASES: dict[str, tuple[Chart, Chart]] = {  # offered, not offered
    "sepsis-lactate": (INFLAMED, {**INFLAMED, "lactate": 1.1}),
    "sepsis-blood-cultures": (INFLAMED, CALM),
    "sepsis-antimicrobial-review": (INFLAMED, {"heart_rate": 112, "respiratory_rate": 26}),
    "sepsis-fluid-review": ({**INFLAMED, "lactate": 4.0}, {**INFLAMED, "lactate": 3.9}),
    "repeat-lactate": ({"lactate": [2.4, 3.0]}, {"lactate": [2.0, 3.0]}),
    "map-target-review": (
        {"arterial_mean_blood_pressure": 61, "lactate": 2.6},
        {"arterial_mean_blood_pressure": 61, "lactate": 1.6},
    ),
    "oxygen-target-review": (
        {"oxygen_saturation": 99, "fraction_inspired_oxygen": 40},
        {"oxygen_saturation": 99},
    ),
    "arterial-blood-gas": (
        {"oxygen_saturation": 91},
        {"oxygen_saturation": 91, "arterial_carbon_dioxide_pressure": 44},
    ),
    "fluid-balance-review": (
        {"urine_output_24h": 900, "body_weight": 80},
        {"urine_output_24h": 1000, "body_weight": 80},
    ),
    "renal-dosing-review": ({"creatinine": [1.4, 1.0]}, {"creatinine": [1.2, 1.0]}),
    "vte-assessment": ({"_class": "IMP"}, {"_class": "AMB"}),
    "glucose-high-review": ({"glucose": [210, 190]}, {"glucose": [210, 150]}),
    "glucose-low-review": ({"glucose": 62}, {"glucose": 75}),
    "delirium-screen": ({"glasgow_coma_scale": 13}, {"glasgow_coma_scale": 15}),
    "early-warning-escalation": ({"news2_score": 6}, {"news2_score": 3, "heart_rate": 100}),
    "goals-of-care": (
        {"_unit": "medical icu", "_group": "high"},
        {"_unit": "medical icu", "_group": "uncertain"},
    ),
    "ecg-electrode-check": (
        {"heart_rate": 70, "_monitor": 140.0},
        {"heart_rate": 70, "_monitor": 82.0},
    ),
    "hyperkalaemia-ecg": ({"potassium": 6.1}, {"potassium": 5.6}),
    "hypokalaemia-magnesium": ({"potassium": 2.8}, {"potassium": 2.8, "magnesium": 1.9}),
    "hyponatraemia-workup": ({"sodium": 121}, {"sodium": 127}),
    "transfusion-threshold-review": ({"hemoglobin": 6.4}, {"hemoglobin": 7.2}),
    "lung-protective-review": (
        {"mechanical_ventilation": 1, "oxygenation_ratio": 180},
        {"oxygenation_ratio": 180},
    ),
}


def record_of(chart: Chart) -> PatientRecord:
    measurements = [
        Measurement(name, float(value), "1", _hours(2 + n), f"Observation/{name}-{n}")
        for name, values in chart.items()
        if not name.startswith("_")
        for n, value in enumerate(values if isinstance(values, list) else [values])
    ]
    series = ()
    if "_monitor" in chart:
        times_s = np.array([_hours(h).timestamp() for h in (1.5, 1.25, 1.0)])
        values = np.full(3, chart["_monitor"], np.float32)
        index = np.zeros(3, np.int32)
        series = (
            DeviceSeries("heart_rate", "/min", times_s, values, ("Observation/monitor",), index),
        )
    return PatientRecord(
        Demographics("Patient/pat-1", 71.0, "female"),
        NOW,
        tuple(sorted(measurements, key=lambda one: one.time)),
        device_series=series,
        stay=Stay("Encounter/enc-1", chart.get("_class", "IMP"), chart.get("_unit", "")),
    )


def prediction_of(chart: Chart, probability: float = 0.7) -> Prediction:
    task = TaskPrediction(
        "in_hospital_death",
        "in-hospital death",
        probability,
        0.14,
        chart.get("_group", "high"),
        ("dies",),
        0.9,
    )
    return Prediction((task,), Applicability(True), "test", "1", "Trained on nothing.", NOW)


def _hours(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)
