"""The patient as FHIRPath conditions see it: a few R4 resources under short names.

``%lactate`` is an Observation with the last value of the last 48 hours in the variable's canonical
unit, and nothing where there is none; its components are the course. Weight and height last longer.
``%heart_rate_charted`` and ``%heart_rate_monitored`` are the two ways to measure the same.
``%age_years``, ``%patient``, ``%encounter`` and ``%risk`` (a RiskAssessment) complete the picture.
docs/next-steps.md explains them to those who write conditions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from fhir_adapters.codes import VARIABLE_SYSTEM, load_variables
from model.prediction import Prediction
from model.record import DeviceSeries, PatientRecord

PatientData = Mapping[str, Any]  # a resource, or [] where there is nothing

WINDOW = timedelta(hours=48)
_MONITORED_WINDOW = timedelta(hours=1)  # a monitor's value is the median of its last hour
_LASTING = frozenset({"body_weight", "body_height"})
_COURSE = "urn:meam:course"
CHARTED, MONITORED = "_charted", "_monitored"


@dataclass(frozen=True, slots=True)
class Course:
    """Values of one variable in the window, sorted by time."""

    values: tuple[float, ...]
    last: datetime


def names() -> frozenset[str]:
    """All names that a condition may use."""
    variables = load_variables()
    both = [name for name, variable in variables.items() if variable.modality == "both"]
    return frozenset(
        {
            *variables,
            *(name + way for name in both for way in (CHARTED, MONITORED)),
            *("age_years", "patient", "encounter", "risk"),
        }
    )


def nobody() -> dict[str, Any]:
    """A patient of whom nothing is known: every name, and nothing under it."""
    return {name: [] for name in names()}


def patient_data(record: PatientRecord, prediction: Prediction) -> PatientData:
    """Return what conditions may ask, by name."""
    data = nobody()
    charted = _charted(record)
    monitored = {one.channel: found for one in record.device_series if (found := _of(one, record))}
    for name in {*charted, *monitored} & set(load_variables()):
        ways = {CHARTED: charted.get(name), MONITORED: monitored.get(name)}
        held = [course for course in ways.values() if course]
        data[name] = observation(name, max(held, key=lambda one: one.last), record)
        for way, course in ways.items():
            if course and name + way in data:
                data[name + way] = observation(name, course, record)
    person = record.demographics
    data["patient"] = {"resourceType": "Patient", "gender": person.sex}
    if person.age_years is not None:
        course = Course((float(person.age_years),), record.prediction_time)
        data["age_years"] = observation("age_years", course, record, unit="a")
    if record.stay is not None:
        data["encounter"] = _encounter(record)
    data["risk"] = _risk(prediction)
    return data


def observation(
    name: str, course: Course, record: PatientRecord, unit: str | None = None
) -> dict[str, Any]:
    """Return the last value as an Observation, with its course as components."""
    unit = load_variables()[name].unit if unit is None else unit
    hours = (record.prediction_time - course.last) / timedelta(hours=1)
    components = [
        _component("hours before", round(hours, 3), "h"),
        _component("minimum", min(course.values), unit),
        _component("maximum", max(course.values), unit),
    ]
    if len(course.values) > 1:
        components.append(_component("previous", course.values[-2], unit))
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": VARIABLE_SYSTEM, "code": name}]},
        "subject": {"reference": record.demographics.source},
        "effectiveDateTime": course.last.isoformat(),
        "valueQuantity": _quantity(course.values[-1], unit),
        "component": components,
    }


def _charted(record: PatientRecord) -> dict[str, Course]:
    since = record.prediction_time - WINDOW
    values: dict[str, list[float]] = {}
    last: dict[str, datetime] = {}
    for one in record.measurements:  # sorted by time
        if one.time >= since or one.variable in _LASTING:
            values.setdefault(one.variable, []).append(one.value)
            last[one.variable] = one.time
    return {name: Course(tuple(found), last[name]) for name, found in values.items()}


def _of(series: DeviceSeries, record: PatientRecord) -> Course | None:
    """Reduce a series to hourly medians, counted back from its last point."""
    since_s = (record.prediction_time - WINDOW).timestamp()
    recent = series.times_s >= since_s
    times_s, values = series.times_s[recent], series.values[recent]
    if not len(times_s):
        return None
    hours = ((times_s[-1] - times_s) // _MONITORED_WINDOW.total_seconds()).astype(int)
    medians = [float(np.median(values[hours == hour])) for hour in sorted(set(hours.tolist()))]
    last = datetime.fromtimestamp(float(times_s[-1]), UTC)
    return Course(tuple(round(one, 3) for one in reversed(medians)), last)


def _component(text: str, value: float, unit: str) -> dict[str, Any]:
    coding = {"system": _COURSE, "code": text.replace(" ", "-")}
    return {"code": {"coding": [coding], "text": text}, "valueQuantity": _quantity(value, unit)}


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {
        "value": value,
        "unit": unit,
        "system": "http://unitsofmeasure.org",
        "code": unit,
    }


def _encounter(record: PatientRecord) -> dict[str, Any]:
    stay = record.stay
    assert stay is not None  # noqa: S101  # the caller looked
    encounter: dict[str, Any] = {
        "resourceType": "Encounter",
        "status": "in-progress",
        "class": {"code": stay.encounter_class or "unknown"},
    }
    if stay.unit_type:
        encounter["type"] = [{"text": stay.unit_type}]
    if stay.start is not None:
        encounter["period"] = {"start": stay.start.isoformat()}
    return encounter


def _risk(prediction: Prediction) -> dict[str, Any]:
    return {
        "resourceType": "RiskAssessment",
        "status": "final",
        "prediction": list(_outcomes(prediction)),
    }


def _outcomes(prediction: Prediction) -> Iterable[dict[str, Any]]:
    for task in prediction.tasks:
        yield {
            "outcome": {"text": task.display},
            "probabilityDecimal": 100 * task.probability,  # R4: a percentage
            "qualitativeRisk": {"coding": [{"code": task.risk_group}]},
        }
