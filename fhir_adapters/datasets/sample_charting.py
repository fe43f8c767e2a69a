"""Charts what nurses and the laboratory of a sample patient would have charted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from fhir_adapters.datasets.chart_writer import BLOOD_PRESSURE_PANEL, UCUM, ChartWriter, instant
from fhir_adapters.datasets.sample_case import LabDraw, Panel, SampleCase
from fhir_adapters.datasets.sample_physiology import Physiology

RESULT_AFTER_HOURS = 0.6  # from drawing the blood to its result
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"

PANELS: Mapping[Panel, tuple[str, ...]] = {
    "blood_count": ("white_blood_cells", "hemoglobin", "hematocrit", "platelets"),
    "metabolic": (
        "sodium",
        "potassium",
        "chloride",
        "bicarbonate",
        "blood_urea_nitrogen",
        "creatinine",
        "glucose",
        "magnesium",
    ),
    "gas": ("arterial_ph", "arterial_carbon_dioxide_pressure", "arterial_oxygen_pressure"),
    "lactate": ("lactate",),
    "inflammation": ("c_reactive_protein", "procalcitonin"),
    "cardiac": ("troponin_i", "nt_pro_bnp"),
    "coagulation": ("international_normalized_ratio",),
    "liver": ("albumin", "bilirubin"),
}
DECIMALS = {
    "albumin": 1,
    "arterial_ph": 2,
    "bilirubin": 1,
    "body_temperature": 1,
    "creatinine": 2,
    "hematocrit": 1,
    "hemoglobin": 1,
    "international_normalized_ratio": 1,
    "lactate": 1,
    "magnesium": 1,
    "potassium": 1,
    "procalcitonin": 2,
    "troponin_i": 3,
    "white_blood_cells": 1,
}
# Noise of one reading: of vital signs in their unit, of laboratory values as a share.
VITAL_SD = {
    "heart_rate": 2.0,
    "respiratory_rate": 1.0,
    "oxygen_saturation": 0.6,
    "body_temperature": 0.1,
    "systolic_blood_pressure": 3.0,
    "diastolic_blood_pressure": 2.0,
    "mean_blood_pressure": 2.0,
}
LABORATORY_CV = 0.015
PRECISE = {"arterial_ph": 0.0006, "sodium": 0.005, "chloride": 0.006}
REFERENCE_RANGES = {
    "albumin": (3.5, 5.0),
    "arterial_carbon_dioxide_pressure": (35, 45),
    "arterial_oxygen_pressure": (75, 100),
    "arterial_ph": (7.35, 7.45),
    "bicarbonate": (22, 29),
    "bilirubin": (0.2, 1.2),
    "blood_urea_nitrogen": (7, 20),
    "c_reactive_protein": (0, 5),
    "chloride": (98, 107),
    "creatinine": (0.6, 1.3),
    "glucose": (70, 140),
    "hematocrit": (36, 48),
    "hemoglobin": (12, 17),
    "international_normalized_ratio": (0.9, 1.2),
    "lactate": (0.5, 2.0),
    "magnesium": (1.7, 2.4),
    "nt_pro_bnp": (0, 300),
    "platelets": (150, 400),
    "potassium": (3.5, 5.1),
    "procalcitonin": (0, 0.1),
    "sodium": (135, 145),
    "troponin_i": (0, 0.04),
    "white_blood_cells": (4.0, 11.0),
}
# (factor, offset, decimals) from the canonical unit to one that a site may use instead.
OTHER_UNITS = {
    ("body_temperature", "[degF]"): (1.8, 32.0, 1),
    ("creatinine", "umol/L"): (88.42, 0.0, 0),
    ("glucose", "mmol/L"): (1 / 18.016, 0.0, 1),
    ("hemoglobin", "g/L"): (10.0, 0.0, 0),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A charted number as a note would quote it, and from when it could be quoted."""

    known_hours: float
    variable: str
    shown: str


class Charting:
    """Adds charted values to a writer and remembers them for the notes."""

    def __init__(
        self,
        case: SampleCase,
        physiology: Physiology,
        writer: ChartWriter,
        admission: datetime,
        random: np.random.Generator,
    ) -> None:
        self._case = case
        self._physiology = physiology
        self._writer = writer
        self._admission = admission
        self._random = random
        self.facts: list[Fact] = []

    def chart_all(self) -> None:
        """Chart the whole stay."""
        self._observe("body_height", self._case.baseline.height_cm, 0.3)
        self._observe("body_weight", self._case.baseline.weight_kg, 0.3)
        self._chart_vitals()
        self._every(4, self._chart_four_hourly)
        self._every(self._case.vitals_every_hours, self._chart_urine, first=1)
        for hours, ventilated in self._case.ventilated:
            self._writer.observe_flag("mechanical_ventilation", ventilated, self._time(hours))
        for draw in self._case.draws:
            self._chart_draw(draw)
        self.facts.sort(key=lambda fact: fact.known_hours)

    def _every(self, hours: float, chart: Callable[[float], None], first: float = 0.1) -> None:
        for at in np.arange(first, self._case.hours, hours):
            chart(float(at) + float(self._random.uniform(0, 0.08)))

    def _chart_vitals(self) -> None:
        self._every(self._case.vitals_every_hours, self._chart_vital_signs)
        # A last set shortly before now, as a nurse would have it before a round.
        self._chart_vital_signs(self._case.hours - 0.2)

    def _chart_vital_signs(self, hours: float) -> None:
        for variable in ("heart_rate", "respiratory_rate", "oxygen_saturation"):
            highest = 100.0 if variable == "oxygen_saturation" else np.inf
            self._observe(variable, min(self._reading(variable, hours), highest), hours)
        pressures = {
            variable: round(self._reading(variable, hours))
            for variable in (
                "systolic_blood_pressure",
                "diastolic_blood_pressure",
                "mean_blood_pressure",
            )
        }
        self._writer.observe_panel(BLOOD_PRESSURE_PANEL, pressures, self._time(hours))
        for variable, value in pressures.items():
            self.facts.append(Fact(hours, variable, str(value)))
        oxygen = self._physiology.at("fraction_inspired_oxygen", hours)
        if oxygen > 21.5:
            self._observe("fraction_inspired_oxygen", round(oxygen), hours)

    def _chart_four_hourly(self, hours: float) -> None:
        self._observe("body_temperature", self._reading("body_temperature", hours), hours)
        coma_score = round(self._physiology.at("glasgow_coma_scale", hours))
        self._observe("glasgow_coma_scale", coma_score, hours)

    def _chart_urine(self, hours: float) -> None:
        """Chart what has collected since the last time."""
        since = hours - self._case.vitals_every_hours
        minutes = np.arange(max(since, 0) * 60, hours * 60)
        per_hour = np.interp(
            minutes, self._physiology.minutes, self._physiology.values["urine_output"]
        )
        volume = float(per_hour.sum()) / 60 * float(self._random.lognormal(0, 0.12))
        self._observe("urine_output", round(volume / 5) * 5, hours)

    def _chart_draw(self, draw: LabDraw) -> None:
        result_hours = draw.hours + RESULT_AFTER_HOURS
        if result_hours > self._case.hours:
            return
        for variable in [name for panel in draw.panels for name in PANELS[panel]]:
            true = self._physiology.at(variable, draw.hours)
            cv = PRECISE.get(variable, LABORATORY_CV)
            measured = true * (1 + cv * float(self._random.standard_normal()))
            self._observe(variable, max(measured, 0), draw.hours, result_hours)
            if variable in REFERENCE_RANGES:
                self._flag(variable, measured)

    def _reading(self, variable: str, hours: float) -> float:
        noise = VITAL_SD[variable] * float(self._random.standard_normal())
        return self._physiology.at(variable, hours) + noise

    def _observe(
        self, variable: str, value: float, hours: float, result_hours: float | None = None
    ) -> None:
        value, unit, decimals = self._as_charted(variable, value)
        shown = f"{value:.{decimals}f}"
        number = float(shown) if decimals else int(shown)
        issued = None if result_hours is None else self._time(result_hours)
        self._writer.observe(variable, number, self._time(hours), unit=unit, issued=issued)
        self.facts.append(Fact(result_hours or hours, variable, shown))

    def _as_charted(self, variable: str, value: float) -> tuple[float, str | None, int]:
        unit = self._case.units.get(variable)
        if unit is None:
            return value, None, DECIMALS.get(variable, 0)
        factor, offset, decimals = OTHER_UNITS[variable, unit]
        return value * factor + offset, unit, decimals

    def _flag(self, variable: str, measured: float) -> None:
        """Add the laboratory's reference range and flag to the Observation just written."""
        resource = self._writer.resources[-1]
        low, high = REFERENCE_RANGES[variable]
        code = "L" if measured < low else "H" if measured > high else "N"
        resource["interpretation"] = [{"coding": [{"system": INTERPRETATION, "code": code}]}]
        resource["referenceRange"] = [
            {"low": self._bound(variable, low), "high": self._bound(variable, high)}
        ]

    def _bound(self, variable: str, bound: float) -> dict[str, Any]:
        value, unit, decimals = self._as_charted(variable, bound)
        unit = unit or self._writer.resources[-1]["valueQuantity"]["unit"]
        return {"value": round(value, max(decimals, 1)), "unit": unit, "system": UCUM, "code": unit}

    def _time(self, hours: float) -> str:
        return instant(self._admission + timedelta(hours=hours))


class QuotedFacts(Mapping[str, str]):
    """What a note written at a time may quote: ``lactate`` the latest, ``first_lactate`` the first.

    Raises KeyError for what was not in the chart yet.
    """

    def __init__(self, facts: list[Fact], hours: float) -> None:
        self._shown: dict[str, str] = {}
        for fact in facts:
            if fact.known_hours <= hours:
                self._shown.setdefault(f"first_{fact.variable}", fact.shown)
                self._shown[fact.variable] = fact.shown

    def __getitem__(self, name: str) -> str:
        return self._shown[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shown)

    def __len__(self) -> int:
        return len(self._shown)
