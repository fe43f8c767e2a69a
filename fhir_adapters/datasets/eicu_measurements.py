"""Values of an eICU-CRD stay as Observations: one function a table.

Device Observations are what a monitor sent (vitalPeriodic, vitalAperiodic) or a ventilator
showed (respiratoryCharting); the rest is structured. Minutes count from unit admission.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from fhir_adapters.datasets.chart_writer import (
    ARTERIAL_PRESSURE_PANEL,
    BLOOD_PRESSURE_PANEL,
    ChartWriter,
)
from fhir_adapters.datasets.eicu_tables import Row, number

InstantOf = Callable[[int], str]  # minutes from unit admission -> FHIR time
Device = dict[str, str]
APACHE_MINUTE = 24 * 60  # day-1 values have no time of day: known at 24 h, not before

APACHE = {
    "albumin": "albumin",
    "bilirubin": "bilirubin",
    "bun": "blood_urea_nitrogen",
    "creatinine": "creatinine",
    "fio2": "fraction_inspired_oxygen",
    "glucose": "glucose",
    "heartrate": "heart_rate",
    "hematocrit": "hematocrit",
    "meanbp": "mean_blood_pressure",
    "pao2": "arterial_oxygen_pressure",
    "pco2": "arterial_carbon_dioxide_pressure",
    "ph": "arterial_ph",
    "respiratoryrate": "respiratory_rate",
    "sodium": "sodium",
    "temperature": "body_temperature",
    "urine": "urine_output_24h",
    "wbc": "white_blood_cells",
}
EXAM = {
    "HR Current": "heart_rate",
    "Resp Current": "respiratory_rate",
    "O2 Sat% Current": "oxygen_saturation",
    "FiO2%": "fraction_inspired_oxygen",
    "Temp Current": "body_temperature",
    "CVP": "central_venous_pressure",
    "PEEP": "positive_end_expiratory_pressure",
}
EXAM_PRESSURES = {
    "BP (systolic) Current": "systolic_blood_pressure",
    "BP (diastolic) Current": "diastolic_blood_pressure",
}
GCS_PARTS = ("Eyes Score", "Motor Score", "Verbal Score")
CUFF = {
    "noninvasivesystolic": "systolic_blood_pressure",
    "noninvasivediastolic": "diastolic_blood_pressure",
    "noninvasivemean": "mean_blood_pressure",
}
ARTERIAL_LINE = {
    "systemicsystolic": "arterial_systolic_blood_pressure",
    "systemicdiastolic": "arterial_diastolic_blood_pressure",
    "systemicmean": "arterial_mean_blood_pressure",
}
MONITOR = {
    "heartrate": "heart_rate",
    "respiration": "respiratory_rate",
    "sao2": "oxygen_saturation",  # the monitor's pulse oximetry, whatever the column is called
    "temperature": "body_temperature",
    "cvp": "central_venous_pressure",
    "etco2": "end_tidal_carbon_dioxide",
    "icp": "intracranial_pressure",
    "pamean": "pulmonary_artery_mean_pressure",
}
VENTILATOR = {
    "RR (patient)": "respiratory_rate",
    "Total RR": "respiratory_rate",
    "f Total": "respiratory_rate",
    "Resp Rate Total": "respiratory_rate",
    "SaO2": "oxygen_saturation",
    "NIV Pt/Vent SpO2_5": "oxygen_saturation",
    "Adult Con Pt/Vent SpO2": "oxygen_saturation",
    "PEEP": "positive_end_expiratory_pressure",
    "PEEP/CPAP": "positive_end_expiratory_pressure",
    "Peak Insp. Pressure": "peak_airway_pressure",
    "Mean Airway Pressure": "mean_airway_pressure",
    "Exhaled TV (patient)": "tidal_volume",
    "Exhaled TV (machine)": "tidal_volume",
    "Tidal Volume, Delivered": "tidal_volume",
    "ETCO2": "end_tidal_carbon_dioxide",
}
OXYGEN_SETTINGS = frozenset(
    {
        "FiO2",
        "FIO2 (%)",
        "O2 Percentage",
        "Set Fraction of Inspired Oxygen (FIO2)",
    }
)
OXYGEN_FLOWS = frozenset({"LPM O2", "Oxygen Flow Rate"})
# A set tidal volume exists on a ventilator only; non-invasive support has none.
VENTILATOR_SETTINGS = frozenset(
    {"Tidal Volume (set)", "Set Vt (Servo,LTV)", "Adult Con Setting Set Vt"}
)
_URINE = re.compile(r"urine|urinary|urethral|foley|\bvoid(?:ed)?\b|indwelling catheter", re.I)
_NOT_A_VOLUME = re.compile(r"count|occurrence|unmeasured|stool|removed", re.I)


def write_patient_values(
    writer: ChartWriter, patient: Mapping[str, str], instant_of: InstantOf
) -> None:
    """Add height and weight at admission; 0 stands for unknown here."""
    for column, variable in (
        ("admissionheight", "body_height"),
        ("admissionweight", "body_weight"),
    ):
        value = number(patient[column])
        if value:
            writer.observe(variable, value, instant_of(0))


def write_apache(writer: ChartWriter, cells: Mapping[str, str], instant_of: InstantOf) -> None:
    """Add the APACHE day-1 values (the worst of the first 24 h) as known at 24 h."""
    effective = instant_of(APACHE_MINUTE)
    for column, variable in APACHE.items():
        value = number(cells[column])
        if value is not None:
            writer.observe(variable, value, effective)
    scores = [number(cells[part]) for part in ("eyes", "motor", "verbal")]
    if cells["meds"] == "0" and all(score is not None and score > 0 for score in scores):
        total = sum(score for score in scores if score is not None)
        writer.observe("glasgow_coma_scale", total, effective)
    if cells["vent"] in ("0", "1"):
        writer.observe_flag("mechanical_ventilation", cells["vent"] == "1", effective)


def write_exam(writer: ChartWriter, rows: Iterable[Row], instant_of: InstantOf) -> None:
    """Add the current vital signs, weight and coma score of each physical examination."""
    exams: dict[int, list[Mapping[str, str]]] = {}
    for row in rows:
        exams.setdefault(row.effective, []).append(row.cells)
    for minute, cells in exams.items():
        _write_one_exam(writer, cells, instant_of(minute))


def _write_one_exam(writer: ChartWriter, rows: list[Mapping[str, str]], effective: str) -> None:
    pressures: dict[str, float] = {}
    for cells in rows:
        name, value = cells["physicalexamvalue"], number(cells["physicalexamtext"])
        if value is None:
            continue
        if name in EXAM:
            writer.observe(EXAM[name], value, effective)
        elif name in EXAM_PRESSURES:
            pressures[EXAM_PRESSURES[name]] = value
        elif cells["physicalexampath"].endswith("Weight (kg)/Current"):
            writer.observe("body_weight", value, effective)
    if pressures:
        writer.observe_panel(BLOOD_PRESSURE_PANEL, pressures, effective)
    score = _coma_score(rows)
    if score is not None:
        writer.observe("glasgow_coma_scale", score, effective)


def _coma_score(rows: list[Mapping[str, str]]) -> float | None:
    """Return the total; ``None`` where drugs made it unscorable or a part is missing."""
    parts: dict[str, float] = {}
    total = None
    for cells in rows:
        _, found, branch = cells["physicalexampath"].partition("/Neurologic/GCS/")
        if branch == "Score/unable to score due to meds":
            return None
        value = number(cells["physicalexamtext"])
        if not found or value is None:
            continue
        if branch.partition("/")[0] in GCS_PARTS:
            parts[branch.partition("/")[0]] = value
        elif "/" not in branch:
            total = value
    return total if len(parts) < len(GCS_PARTS) else sum(parts.values())


def write_intake_output(writer: ChartWriter, rows: Iterable[Row], instant_of: InstantOf) -> None:
    """Add urine volumes and body weights."""
    for row in rows:
        value = number(row.cells["cellvaluenumeric"])
        path, label = row.cells["cellpath"], row.cells["celllabel"]
        if value is None:
            continue
        effective, issued = times_of(row, instant_of)
        if label == "Bodyweight (kg)":
            writer.observe("body_weight", value, effective, issued=issued)
        elif "|Output (ml)|" in path and _URINE.search(label) and not _NOT_A_VOLUME.search(label):
            writer.observe("urine_output", value, effective, issued=issued)


def write_respiratory(
    writer: ChartWriter, rows: Iterable[Row], instant_of: InstantOf, ventilator: Device
) -> None:
    """Add the respiratory flow sheet: readings of the device, and what was set on it."""
    for row in rows:
        label, value = row.cells["respchartvaluelabel"], number(row.cells["respchartvalue"])
        if value is None:
            continue
        effective, issued = times_of(row, instant_of)
        if label in VENTILATOR:
            writer.observe(VENTILATOR[label], value, effective, ventilator, issued=issued)
        elif label in OXYGEN_SETTINGS:
            percent = as_percent(value)
            writer.observe("fraction_inspired_oxygen", percent, effective, issued=issued)
        elif label in OXYGEN_FLOWS:
            writer.observe("oxygen_flow_rate", value, effective, issued=issued)
        elif label in VENTILATOR_SETTINGS and value > 0:
            writer.observe_flag("mechanical_ventilation", True, effective, issued=issued)


def write_monitor(
    writer: ChartWriter,
    aperiodic: Iterable[Row],
    periodic: Iterable[Row],
    instant_of: InstantOf,
    monitor: Device,
) -> None:
    """Add what the bedside monitor stored."""
    for row in aperiodic:
        effective, cuff = instant_of(row.effective), _numbers(row.cells, CUFF)
        if cuff:
            writer.observe_panel(BLOOD_PRESSURE_PANEL, cuff, effective, monitor)
        output = number(row.cells["cardiacoutput"])
        if output:  # 0 while nothing measures it
            writer.observe("cardiac_output", output, effective, monitor)
    for row in periodic:
        effective = instant_of(row.effective)
        for variable, value in _numbers(row.cells, MONITOR).items():
            writer.observe(variable, value, effective, monitor)
        line = _numbers(row.cells, ARTERIAL_LINE)
        if line:
            writer.observe_panel(ARTERIAL_PRESSURE_PANEL, line, effective, monitor)


def times_of(row: Row, instant_of: InstantOf) -> tuple[str, str | None]:
    """Return effective and issued time; ``None`` where it was entered at once."""
    issued = None if row.entered is None else instant_of(row.entered)
    return instant_of(row.effective), issued


def as_percent(oxygen: float) -> float:
    """Return a share of oxygen in percent; it is charted both as 0.4 and as 40."""
    return round(oxygen * 100, 4) if 0 < oxygen <= 1 else oxygen


def _numbers(cells: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, float]:
    found = {variable: number(cells[column]) for column, variable in variables.items()}
    return {variable: value for variable, value in found.items() if value is not None}
