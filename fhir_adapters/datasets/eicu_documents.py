"""The notes of an eICU-CRD stay as DocumentReferences, one a type and time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from fhir_adapters.datasets import eicu_sentences as say
from fhir_adapters.datasets.chart_writer import ChartWriter, loinc_type
from fhir_adapters.datasets.eicu_leakage import CARE_PLAN_GROUPS, leaks
from fhir_adapters.datasets.eicu_tables import EicuTables, Row

ADMISSION_NOTE = loinc_type("34117-2", "History and physical note")
PROGRESS_NOTE = loinc_type("11506-3", "Progress note")
CONSULT_NOTE = loinc_type("11488-4", "Consultation note")
PROCEDURE_NOTE = loinc_type("28570-0", "Procedure note")
NURSE_NOTE = loinc_type("34746-8", "Nurse note")
PLAN_OF_CARE = loinc_type("18776-5", "Plan of care note")
PAST_HISTORY = loinc_type("11348-0", "History of past illness")
PROBLEM_LIST = loinc_type("11450-4", "Problem list")
ADMISSION_DIAGNOSIS = loinc_type("46241-6", "Hospital admission diagnosis")
PHYSICAL_FINDINGS = loinc_type("29545-1", "Physical findings")
TREATMENTS = {"text": "Treatment list"}

_NOTE_TYPES = {
    "Admission": ADMISSION_NOTE,
    "Re-Admission": ADMISSION_NOTE,
    "Comprehensive Progress": PROGRESS_NOTE,
    "Brief Progress": PROGRESS_NOTE,
    "Daily Progress": PROGRESS_NOTE,
    "Initial Consultation/Other": CONSULT_NOTE,
    "Follow-up Consultation/Other": CONSULT_NOTE,
}
# Reminders to the nurse ("protect heels"), the same for every patient at risk.
_NURSING_REMINDERS = frozenset({"Intervention"})
# Of the risk scores for falls and pressure sores only the result is a statement.
_SCORE_RESULTS = {"Morse Fall Risk": "Fall Risk", "Braden Scale": "Pressure Sore Risk"}


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table whose rows are sentences."""

    name: str
    time_columns: tuple[str, ...]
    note_type: Callable[[Mapping[str, str]], Mapping[str, Any]]
    sentence: Callable[[Mapping[str, str]], str]


TEXT_TABLES = (
    TextTable(
        "admissionDx",
        ("admitdxenteredoffset",),
        lambda _: ADMISSION_DIAGNOSIS,
        say.admission_diagnosis,
    ),
    TextTable(
        "note",
        ("noteoffset", "noteenteredoffset"),
        lambda cells: _NOTE_TYPES.get(cells["notetype"], PROCEDURE_NOTE),
        say.note,
    ),
    TextTable("diagnosis", ("diagnosisoffset",), lambda _: PROBLEM_LIST, say.diagnosis),
    TextTable(
        "pastHistory",
        ("pasthistoryoffset", "pasthistoryenteredoffset"),
        lambda _: PAST_HISTORY,
        say.past_history,
    ),
    TextTable("carePlanGeneral", ("cplitemoffset",), lambda _: PLAN_OF_CARE, say.care_plan),
    TextTable("treatment", ("treatmentoffset",), lambda _: TREATMENTS, say.treatment),
    TextTable(
        "physicalExam", ("physicalexamoffset",), lambda _: PHYSICAL_FINDINGS, say.physical_exam
    ),
)


@dataclass(frozen=True, slots=True)
class EicuDocuments:
    """The text rows of all chosen stays."""

    rows: Mapping[str, Mapping[str, list[Row]]]  # table -> stay -> rows
    nursing: Mapping[str, list[Row]]

    @classmethod
    def read(cls, tables: EicuTables, stays: Set[str], last_minute: float) -> EicuDocuments:
        """Read what had been written down by ``last_minute``."""
        rows = {
            table.name: tables.by_stay_when_entered(
                table.name, stays, columns=table.time_columns, last_minute=last_minute
            )
            for table in TEXT_TABLES
        }
        nursing = tables.by_stay_when_entered(
            "nurseAssessment",
            stays,
            columns=("nurseassessoffset", "nurseassessentryoffset"),
            last_minute=last_minute,
        )
        return cls(rows, nursing)

    def write(self, writer: ChartWriter, stay: str, instant_of: Callable[[int], str]) -> None:
        """Add the stay's notes; ``instant_of`` turns minutes from admission into a FHIR time."""
        for table in TEXT_TABLES:
            notes: dict[tuple[int, str], list[str]] = {}
            types: dict[str, Mapping[str, Any]] = {}
            for row in self.rows[table.name].get(stay, ()):
                text = _sentence_of(table, row.cells)
                if text:
                    note_type = table.note_type(row.cells)
                    types[note_type["text"]] = note_type
                    notes.setdefault((row.effective, note_type["text"]), []).append(text)
            for (minute, type_text), sentences in notes.items():
                text = "\n".join(dict.fromkeys(sentences))
                writer.document(types[type_text], text, instant_of(minute))
        for minute, sentences in _nursing_notes(self.nursing.get(stay, [])):
            writer.document(NURSE_NOTE, "\n".join(sentences), instant_of(minute))


def _sentence_of(table: TextTable, cells: Mapping[str, str]) -> str:
    if table.name == "carePlanGeneral" and cells["cplgroup"] not in CARE_PLAN_GROUPS:
        return ""
    text = table.sentence(cells)
    return "" if leaks(text) else text


def _nursing_notes(rows: list[Row]) -> Iterator[tuple[int, list[str]]]:
    """Yield (minute, sentences) of each assessment."""
    assessments: dict[int, dict[tuple[str, str], list[str]]] = {}
    for row in rows:
        label, attribute = row.cells["celllabel"], row.cells["cellattribute"]
        value = row.cells["cellattributevalue"]
        is_item = attribute != _SCORE_RESULTS.get(label, attribute)
        if label in _NURSING_REMINDERS or is_item or not value:
            continue
        assessments.setdefault(row.effective, {}).setdefault((label, attribute), []).append(value)
    for minute, attributes in assessments.items():
        sentences = [say.nurse_assessment(*key, values) for key, values in attributes.items()]
        kept = [sentence for sentence in sentences if sentence and not leaks(sentence)]
        if kept:
            yield minute, kept
