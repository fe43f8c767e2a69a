"""Notes, reports, diagnoses and orders of the sample patients as FHIR resources."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from fhir_adapters.codes import LOINC
from fhir_adapters.datasets.chart_writer import instant, loinc_type
from fhir_adapters.datasets.sample_case import Diagnosis, NoteKind, Order, SampleCase, SampleNote

Resource = dict[str, Any]

NOTE_TYPES: Mapping[NoteKind, Resource] = {
    "history_and_physical": loinc_type("34117-2", "History and physical note"),
    "progress": loinc_type("11506-3", "Progress note"),
    "nursing": loinc_type("34746-8", "Nurse note"),
    "consult": loinc_type("11488-4", "Consultation note"),
    "emergency": loinc_type("34111-5", "Emergency department note"),
    "procedure": loinc_type("28570-0", "Procedure note"),
    "operative": loinc_type("11504-8", "Surgical operation note"),
    "social_work": {"text": "Social work note"},
}
REPORT_TYPES: Mapping[NoteKind, Resource] = {
    "chest_x_ray": loinc_type("30745-4", "Chest X-ray study"),
    "head_ct": loinc_type("30799-1", "CT head without contrast"),
    "echocardiography": loinc_type("42148-7", "Heart ultrasound study"),
    "endoscopy": loinc_type("18751-8", "Endoscopy study"),
}
# HL7 v2 table 0074: radiology, cardiac ultrasound, other.
REPORT_SECTIONS: Mapping[NoteKind, str] = {
    "chest_x_ray": "RAD",
    "head_ct": "RAD",
    "echocardiography": "CUS",
    "endoscopy": "OTH",
}
DIAGNOSTIC_SERVICE = "http://terminology.hl7.org/CodeSystem/v2-0074"
CLINICAL_NOTE = {
    "coding": [
        {
            "system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
            "code": "clinical-note",
            "display": "Clinical Note",
        }
    ]
}
ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
CONDITION_CODES = "http://terminology.hl7.org/CodeSystem/condition-"


class SampleDocuments:
    """Makes the resources of one case; ids are the patient's with a word and a number."""

    def __init__(self, case: SampleCase, patient_id: str, admission: datetime) -> None:
        self._case = case
        self._patient_id = patient_id
        self._admission = admission
        self._subject = {"reference": f"Patient/{patient_id}"}
        self._encounter = {"reference": f"Encounter/{patient_id}-stay"}

    def note(self, number: int, note: SampleNote, text: str) -> list[Resource]:
        """Return a DocumentReference, with its Binary, or a DiagnosticReport."""
        if note.kind in REPORT_TYPES:
            return [self._report(number, note, text)]
        attachment = {
            "contentType": "text/html" if note.form == "html" else "text/plain; charset=utf-8",
            "creation": self._time(note.hours),
        }
        data = as_html(text) if note.form == "html" else text
        document: Resource = {
            "resourceType": "DocumentReference",
            "id": f"{self._patient_id}-note-{number}",
            "status": "current",
            "docStatus": "final",
            "type": NOTE_TYPES[note.kind],
            "category": [CLINICAL_NOTE],
            "subject": self._subject,
            "date": self._time(note.hours),
            "content": [{"attachment": attachment}],
            "context": {"encounter": [self._encounter]},
        }
        if note.form != "binary":
            attachment["data"] = _base64(data)
            return [document]
        binary = {
            "resourceType": "Binary",
            "id": f"{self._patient_id}-text-{number}",
            "contentType": "text/plain",
            "securityContext": self._subject,
            "data": _base64(data),
        }
        attachment["url"] = f"Binary/{binary['id']}"
        return [binary, document]

    def _report(self, number: int, note: SampleNote, text: str) -> Resource:
        impression = text.rpartition("IMPRESSION:")[2].strip()
        return {
            "resourceType": "DiagnosticReport",
            "id": f"{self._patient_id}-report-{number}",
            "status": "final",
            "category": [_coded(DIAGNOSTIC_SERVICE, REPORT_SECTIONS[note.kind])],
            "code": REPORT_TYPES[note.kind],
            "subject": self._subject,
            "encounter": self._encounter,
            "effectiveDateTime": self._time(note.hours - 0.3),
            "issued": self._time(note.hours),
            "conclusion": impression,
            "presentedForm": [
                {"contentType": "text/plain; charset=utf-8", "data": _base64(text)},
            ],
        }

    def condition(self, number: int, diagnosis: Diagnosis) -> Resource:
        """Return a Condition of this stay or of the problem list."""
        category = "encounter-diagnosis" if diagnosis.acute else "problem-list-item"
        return {
            "resourceType": "Condition",
            "id": f"{self._patient_id}-condition-{number}",
            "clinicalStatus": _coded(f"{CONDITION_CODES}clinical", "active"),
            "verificationStatus": _coded(f"{CONDITION_CODES}ver-status", "confirmed"),
            "category": [_coded(f"{CONDITION_CODES}category", category)],
            "code": {
                "coding": [
                    {"system": ICD_10_CM, "code": diagnosis.icd10, "display": diagnosis.display}
                ],
                "text": diagnosis.display,
            },
            "subject": self._subject,
            "encounter": self._encounter,
            "recordedDate": self._time(2),
        }

    def medication(self, number: int, text: str) -> Resource:
        """Return an active MedicationRequest."""
        return {
            "resourceType": "MedicationRequest",
            "id": f"{self._patient_id}-medication-{number}",
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": {"text": text},
            "subject": self._subject,
            "encounter": self._encounter,
            "authoredOn": self._time(3),
        }

    def order(self, number: int, order: Order) -> Resource:
        """Return an active ServiceRequest."""
        return {
            "resourceType": "ServiceRequest",
            "id": f"{self._patient_id}-order-{number}",
            "status": "active",
            "intent": "order",
            "code": {
                "coding": [{"system": LOINC, "code": order.loinc}],
                "text": order.display,
            },
            "subject": self._subject,
            "encounter": self._encounter,
            "authoredOn": self._time(order.hours),
        }

    def _time(self, hours: float) -> str:
        return instant(self._admission + timedelta(hours=hours))


def as_html(text: str) -> str:
    """Return a note as a small web page: headings, and a paragraph for every other line."""
    lines = [line for line in text.splitlines() if line]
    body = "".join(
        f"<h3>{html.escape(line.rstrip(':'))}</h3>"
        if line.endswith(":") and line.isupper()
        else f"<p>{html.escape(line)}</p>"
        for line in lines
    )
    return f"<!DOCTYPE html><html><head><title>Note</title></head><body>{body}</body></html>"


def _coded(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
