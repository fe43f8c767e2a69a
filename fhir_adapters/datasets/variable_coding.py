"""How the variables of variables.csv are coded where a chart is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fhir_adapters.codes import LOINC, MDC, VARIABLE_SYSTEM, Variable, load_variables

OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"

_VITAL_SIGNS = {
    "heart_rate",
    "respiratory_rate",
    "oxygen_saturation",
    "body_temperature",
    "systolic_blood_pressure",
    "diastolic_blood_pressure",
    "mean_blood_pressure",
    "arterial_systolic_blood_pressure",
    "arterial_diastolic_blood_pressure",
    "arterial_mean_blood_pressure",
    "body_weight",
    "body_height",
    "skin_temperature",
    "core_temperature",
}
_OTHER_CATEGORIES = {
    "glasgow_coma_scale": "survey",
    "pain_score": "survey",
    "urine_output": "exam",
    "fluid_intake": "exam",
    "fraction_inspired_oxygen": "therapy",
    "mechanical_ventilation": "therapy",
    "rr_interval": "procedure",
    "heart_rate_variability": "procedure",
    "blood_volume_pulse": "procedure",
    "electrodermal_activity": "procedure",
    "step_count": "activity",
    "activity_level": "activity",
    "sleep_duration": "activity",
}


@dataclass(frozen=True, slots=True)
class VariableCoding:
    """How one variable of variables.csv is written; the dicts are shared and never changed."""

    code: dict[str, Any]  # CodeableConcept
    device_code: dict[str, Any]  # the same with the 11073 code that devices send
    unit: str  # UCUM
    category: list[dict[str, Any]]


@cache
def variable_codings() -> Mapping[str, VariableCoding]:
    """Codings of all variables by name."""
    return {name: _variable_coding(variable) for name, variable in load_variables().items()}


def _variable_coding(variable: Variable) -> VariableCoding:
    loinc = [{"system": LOINC, "code": code} for code in variable.loinc[:1]]
    mdc = [{"system": MDC, "code": code} for code in variable.mdc[:1]]
    local = [{"system": VARIABLE_SYSTEM, "code": variable.name, "display": variable.display}]
    return VariableCoding(
        code={"coding": loinc or local, "text": variable.display},
        device_code={"coding": [*mdc, *loinc] or local, "text": variable.display},
        unit=variable.unit,
        category=[_category(variable.name)],
    )


def _category(variable: str) -> dict[str, Any]:
    code = "vital-signs" if variable in _VITAL_SIGNS else _OTHER_CATEGORIES.get(variable)
    return {"coding": [{"system": OBSERVATION_CATEGORY, "code": code or "laboratory"}]}
