"""Writes the rows of a data set as FHIR R4 resources of one patient."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fhir_adapters.chart import Chart
from fhir_adapters.codes import LOINC
from fhir_adapters.datasets.variable_coding import variable_codings

UCUM = "http://unitsofmeasure.org"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"

BLOOD_PRESSURE_PANEL = {
    "coding": [
        {
            "system": LOINC,
            "code": "85354-9",
            "display": "Blood pressure panel with all children optional",
        }
    ],
    "text": "Blood pressure",
}
# LOINC 85354-9 asks for 8480-6 and 8462-4 as components, which would call an arterial line's
# pressures cuff pressures.
ARTERIAL_PRESSURE_PANEL = {"text": "Arterial blood pressure"}


class ChartWriter:
    """Collects the resources of one patient and one encounter.

    Ids are numbered within the chart and begin with the patient's, so that charts of one data
    set can share a server. Parts that repeat (codes, references) are the same objects in many
    resources: a consumer must not change them in place.
    """

    def __init__(self, patient_id: str, encounter_id: str) -> None:
        self.patient_id = patient_id
        self.encounter_id = encounter_id
        self.resources: list[dict[str, Any]] = []
        self._subject = {"reference": f"Patient/{patient_id}"}
        self._encounter = {"reference": f"Encounter/{encounter_id}"}
        self._codings = variable_codings()

    def patient(self, *, gender: str, birth_date: str | None = None) -> None:
        """Add the Patient; ``birth_date`` as YYYY, YYYY-MM or YYYY-MM-DD."""
        resource = {"resourceType": "Patient", "id": self.patient_id, "gender": gender}
        if birth_date is not None:
            resource["birthDate"] = birth_date
        self.resources.append(resource)

    def encounter(self, *, start: str, unit_type: str = "", encounter_class: str = "IMP") -> None:
        """Add the Encounter, still in progress: its end would tell the outcome."""
        resource: dict[str, Any] = {
            "resourceType": "Encounter",
            "id": self.encounter_id,
            "status": "in-progress",
            "class": {"system": ACT_CODE, "code": encounter_class},
            "subject": self._subject,
            "period": {"start": start},
        }
        if unit_type:
            resource["serviceType"] = {"text": unit_type}
        self.resources.append(resource)

    def device(self, name: str, display: str) -> dict[str, str]:
        """Add a Device and return the reference that its Observations carry."""
        device_id = f"{self.patient_id}-{name}"
        self.resources.append(
            {
                "resourceType": "Device",
                "id": device_id,
                "status": "active",
                "type": {"text": display},
                "patient": self._subject,
            }
        )
        return {"reference": f"Device/{device_id}", "display": display}

    def observe(
        self,
        variable: str,
        value: float,
        effective: str,
        device: dict[str, str] | None = None,
        *,
        unit: str | None = None,
        issued: str | None = None,
    ) -> None:
        """Add one value, in the variable's canonical unit unless ``unit`` (UCUM) names another.

        ``issued``: when it became available, where that was later than ``effective``.
        """
        coding = self._codings[variable]
        code = coding.code if device is None else coding.device_code
        resource = self._observation(code, coding.category, effective, device)
        resource["valueQuantity"] = _quantity(value, unit or coding.unit)
        if issued is not None:
            resource["issued"] = issued
        self.resources.append(resource)

    def observe_flag(
        self, variable: str, value: bool, effective: str, *, issued: str | None = None
    ) -> None:
        """Add a yes or no."""
        coding = self._codings[variable]
        resource = self._observation(coding.code, coding.category, effective, None)
        resource["valueBoolean"] = value
        if issued is not None:
            resource["issued"] = issued
        self.resources.append(resource)

    def observe_panel(
        self,
        panel: dict[str, Any],
        values: Mapping[str, float],
        effective: str,
        device: dict[str, str] | None = None,
        *,
        issued: str | None = None,
    ) -> None:
        """Add values that were taken together as components of one Observation."""
        codings = self._codings
        category = codings[next(iter(values))].category
        resource = self._observation(panel, category, effective, device)
        resource["component"] = [
            {
                "code": codings[variable].code if device is None else codings[variable].device_code,
                "valueQuantity": _quantity(value, codings[variable].unit),
            }
            for variable, value in values.items()
        ]
        if issued is not None:
            resource["issued"] = issued
        self.resources.append(resource)

    def observe_samples(
        self,
        variable: str,
        samples: Mapping[str, Any],
        *,
        start: str,
        end: str,
        device: dict[str, str],
    ) -> None:
        """Add SampledData of one channel."""
        coding = self._codings[variable]
        resource = self._observation(coding.device_code, coding.category, start, device)
        del resource["effectiveDateTime"]
        resource["effectivePeriod"] = {"start": start, "end": end}
        resource["valueSampledData"] = dict(samples)
        self.resources.append(resource)

    def document(self, note_type: Mapping[str, Any], text: str, date: str) -> None:
        """Add a note as a DocumentReference with its text inside."""
        data = base64.b64encode(text.encode()).decode("ascii")
        attachment = {"contentType": "text/plain; charset=utf-8", "data": data}
        self.resources.append(
            {
                "resourceType": "DocumentReference",
                "id": self._next_id(),
                "status": "current",
                "docStatus": "final",
                "type": note_type,
                "subject": self._subject,
                "date": date,
                "content": [{"attachment": attachment}],
                "context": {"encounter": [self._encounter]},
            }
        )

    def chart(self) -> Chart:
        """Return all that was added."""
        return Chart(self.patient_id, tuple(self.resources), encounter_id=self.encounter_id)

    def _next_id(self) -> str:
        return f"{self.patient_id}-{len(self.resources)}"

    def _observation(
        self,
        code: dict[str, Any],
        category: list[dict[str, Any]],
        effective: str,
        device: dict[str, str] | None,
    ) -> dict[str, Any]:
        resource: dict[str, Any] = {
            "resourceType": "Observation",
            "id": f"{self.patient_id}-{len(self.resources)}",
            "status": "final",
            "category": category,
            "code": code,
            "subject": self._subject,
            "encounter": self._encounter,
            "effectiveDateTime": effective,
        }
        if device is not None:
            resource["device"] = device
        return resource


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def instant(time: datetime) -> str:
    """Return the FHIR text of a time, in UTC with whole seconds."""
    utc = time.astimezone(UTC).replace(tzinfo=None, microsecond=0)
    return utc.isoformat() + "Z"


def birth_date(admission: datetime, age_years: int) -> str:
    """Return a birth date that makes the patient ``age_years`` old at admission.

    Half a year is added, because data sets state completed years: the true age is on average
    half a year more.
    """
    months = admission.year * 12 + admission.month - 1 - 12 * age_years - 6
    return f"{months // 12:04d}-{months % 12 + 1:02d}-01"


def loinc_type(code: str, display: str) -> dict[str, Any]:
    """Return a document type."""
    return {"coding": [{"system": LOINC, "code": code, "display": display}], "text": display}
