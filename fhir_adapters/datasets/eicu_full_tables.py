"""Laboratory results and nurse charting of eICU-CRD, as structured Observations.

The full download has both tables; some copies of the demo have neither. Minutes count from unit
admission.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_adapters.datasets.chart_writer import BLOOD_PRESSURE_PANEL, ChartWriter
from fhir_adapters.datasets.eicu_measurements import InstantOf, as_percent, times_of
from fhir_adapters.datasets.eicu_tables import Row, number

LABORATORY = {
    "-bands": "band_neutrophils",
    "ALT (SGPT)": "alanine_aminotransferase",
    "AST (SGOT)": "aspartate_aminotransferase",
    "BNP": "natriuretic_peptide_b",
    "BUN": "blood_urea_nitrogen",
    "Base Excess": "base_excess",
    "CPK": "creatine_kinase",
    "CPK-MB": "creatine_kinase_mb",
    "CRP": "c_reactive_protein",
    "Carboxyhemoglobin": "carboxyhemoglobin",
    "FiO2": "fraction_inspired_oxygen",
    "HCO3": "bicarbonate",
    "HDL": "hdl_cholesterol",
    "Hct": "hematocrit",
    "Hgb": "hemoglobin",
    "LDH": "lactate_dehydrogenase",
    "LDL": "ldl_cholesterol",
    "MCH": "mean_corpuscular_hemoglobin",
    "MCHC": "mean_corpuscular_hemoglobin_concentration",
    "MCV": "mean_corpuscular_volume",
    "Methemoglobin": "methemoglobin",
    "O2 Sat (%)": "arterial_oxygen_saturation",
    "PT": "prothrombin_time",
    "PT - INR": "international_normalized_ratio",
    "PTT": "partial_thromboplastin_time",
    "RBC": "red_blood_cells",
    "RDW": "red_cell_distribution_width",
    "TSH": "thyrotropin",
    "WBC x 1000": "white_blood_cells",
    "albumin": "albumin",
    "alkaline phos.": "alkaline_phosphatase",
    "ammonia": "ammonia",
    "amylase": "amylase",
    "anion gap": "anion_gap",
    "bedside glucose": "glucose",
    "bicarbonate": "bicarbonate",
    "calcium": "calcium",
    "chloride": "chloride",
    "cortisol": "cortisol",
    "creatinine": "creatinine",
    "direct bilirubin": "direct_bilirubin",
    "ferritin": "ferritin",
    "fibrinogen": "fibrinogen",
    "glucose": "glucose",
    "ionized calcium": "ionized_calcium",
    "lactate": "lactate",
    "lipase": "lipase",
    "magnesium": "magnesium",
    "pH": "arterial_ph",
    "paCO2": "arterial_carbon_dioxide_pressure",
    "paO2": "arterial_oxygen_pressure",
    "phosphate": "phosphate",
    "platelets x 1000": "platelets",
    "potassium": "potassium",
    "serum osmolality": "osmolality",
    "sodium": "sodium",
    "total bilirubin": "bilirubin",
    "total cholesterol": "cholesterol",
    "total protein": "total_protein",
    "triglycerides": "triglycerides",
    "troponin - I": "troponin_i",
    "troponin - T": "troponin_t",
    "uric acid": "uric_acid",
}
# Milligrams per decilitre here, per litre in variables.csv: the unit is written with the value.
LABORATORY_UNITS = {"CRP": "mg/dL"}
# (celltypevallabel, celltypevalname) -> variable, unit where it is not the canonical one
NURSE_CHARTING = {
    ("Heart Rate", "Heart Rate"): ("heart_rate", None),
    ("Respiratory Rate", "Respiratory Rate"): ("respiratory_rate", None),
    ("O2 Saturation", "O2 Saturation"): ("oxygen_saturation", None),
    ("Temperature", "Temperature (C)"): ("body_temperature", None),
    ("Temperature", "Temperature (F)"): ("body_temperature", "[degF]"),
    ("Glasgow coma score", "GCS Total"): ("glasgow_coma_scale", None),
    ("Score (Glasgow Coma Scale)", "Value"): ("glasgow_coma_scale", None),
    ("Pain Score/Goal", "Pain Score"): ("pain_score", None),
    ("Invasive BP", "Invasive BP Systolic"): ("arterial_systolic_blood_pressure", None),
    ("Invasive BP", "Invasive BP Diastolic"): ("arterial_diastolic_blood_pressure", None),
    ("Invasive BP", "Invasive BP Mean"): ("arterial_mean_blood_pressure", None),
}
NURSE_CUFF = {
    "Non-Invasive BP Systolic": "systolic_blood_pressure",
    "Non-Invasive BP Diastolic": "diastolic_blood_pressure",
    "Non-Invasive BP Mean": "mean_blood_pressure",
}


def write_laboratory(writer: ChartWriter, rows: Iterable[Row], instant_of: InstantOf) -> None:
    """Add laboratory results; lactate and gases at the time of the result, as published."""
    for row in rows:
        name, value = row.cells["labname"], number(row.cells["labresult"])
        if value is None or name not in LABORATORY:
            continue
        value = as_percent(value) if name == "FiO2" else value
        effective, issued = times_of(row, instant_of)
        unit = LABORATORY_UNITS.get(name)
        writer.observe(LABORATORY[name], value, effective, unit=unit, issued=issued)


def write_nurse_charting(writer: ChartWriter, rows: Iterable[Row], instant_of: InstantOf) -> None:
    """Add charted vital signs; the cuff pressures of one minute become one panel."""
    cuff: dict[tuple[str, str | None], dict[str, float]] = {}
    for row in rows:
        name = row.cells["nursingchartcelltypevalname"]
        value = number(row.cells["nursingchartvalue"])
        if value is None:
            continue
        if name in NURSE_CUFF:
            cuff.setdefault(times_of(row, instant_of), {})[NURSE_CUFF[name]] = value
            continue
        variable = NURSE_CHARTING.get((row.cells["nursingchartcelltypevallabel"], name))
        if variable is not None:
            effective, issued = times_of(row, instant_of)
            writer.observe(variable[0], value, effective, unit=variable[1], issued=issued)
    for (effective, issued), values in cuff.items():
        writer.observe_panel(BLOOD_PRESSURE_PANEL, values, effective, issued=issued)
