"""A chart that works, for the tests of reading: each test breaks or adds one thing.

It is shaped as EHRs send it: panel codes before the vital sign's own, a blood pressure panel,
a laboratory result with an interpretation, a wearable's SampledData.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from fhir_adapters.chart import Chart
from fhir_adapters.record_builder import build_record
from model.record import PatientRecord

LOINC = "http://loinc.org"
MDC = "urn:iso:std:iso:11073:10101"
UCUM = "http://unitsofmeasure.org"
PREDICTION_TIME = datetime(2026, 3, 2, 12, tzinfo=UTC)
NINE = "2026-03-02T09:00:00Z"
ME = {"reference": "Patient/p1"}

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [{"system": "urn:oid:1.2.3", "value": "MRN-7"}],
    "gender": "female",
    "birthDate": "1956-03-02",
}


def quantity(value: Any, unit: str) -> dict[str, Any]:
    """Return a Quantity in a UCUM unit."""
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def concept(*codes: str, system: str = LOINC) -> dict[str, Any]:
    """Return a CodeableConcept."""
    return {"coding": [{"system": system, "code": code} for code in codes]}


def observation(
    identity: str = "o1",
    code: str | dict[str, Any] = "8867-4",
    value: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Return a heart rate of 80 at nine; ``changes`` replace elements, ``None`` removes one.

    ``code`` is a LOINC code or a whole CodeableConcept.
    """
    resource: dict[str, Any] = {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "code": concept(code) if isinstance(code, str) else code,
        "subject": ME,
        "effectiveDateTime": NINE,
        "valueQuantity": value if value is not None else quantity(80, "/min"),
    }
    resource.update(changes)
    return {name: element for name, element in resource.items() if element is not None}


def valued(
    element: str, value: Any, code: str | dict[str, Any] = "8867-4", **changes: Any
) -> dict[str, Any]:
    """Return an Observation whose value is another element than valueQuantity."""
    return observation(code=code, **{"valueQuantity": None, element: value, **changes})


def sampled(data: str = "80 81 82", *, code: str = "8867-4", **changes: Any) -> dict[str, Any]:
    """Return a SampledData Observation at 1 Hz from nine on; ``changes`` are of the SampledData."""
    samples = {"origin": quantity(0, "/min"), "period": 1000, "dimensions": 1, "data": data}
    samples.update(changes)
    samples = {name: element for name, element in samples.items() if element is not None}
    return valued("valueSampledData", samples, code=code, identity="s1")


BLOOD_PRESSURE: dict[str, Any] = {
    **observation("bp", valueQuantity=None),
    "code": concept("55284-4", "85354-9", "8716-3"),
    "component": [
        {"code": concept("8480-6"), "valueQuantity": quantity(120, "mm[Hg]")},
        {"code": concept("8462-4"), "valueQuantity": quantity(70, "mm[Hg]")},
    ],
}
LACTATE = observation(
    "lab", "2524-7", quantity(4.1, "mmol/L"), interpretation=[concept("HH", system="urn:x")]
)
ENCOUNTER: dict[str, Any] = {
    "resourceType": "Encounter",
    "id": "e1",
    "status": "in-progress",
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
    "subject": ME,
    "period": {"start": "2026-03-01T08:00:00Z"},
    "serviceType": {"text": "Medical intensive care unit"},
}


def chart(*resources: Any, **changes: Any) -> Chart:
    """Return a chart of the patient with copies of the resources."""
    return Chart("p1", (deepcopy(PATIENT), *deepcopy(resources)), **changes)


def read(*resources: Any, **changes: Any) -> PatientRecord:
    """Build the record of the patient with these resources."""
    return build_record(chart(*resources, **changes), PREDICTION_TIME)


def values(record: PatientRecord) -> list[tuple[str, float]]:
    """Return variable and value of all measurements."""
    return [(m.variable, m.value) for m in record.measurements]


def left_out(record: PatientRecord) -> list[tuple[str, str]]:
    """Return reason and sentence of all that was left out."""
    return [(line.reason, line.sentence) for line in record.report.left_out]
