"""A hand-made eICU-CRD folder of one stay that works; each test changes one thing."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from pathlib import Path

PATIENT = {
    "patientunitstayid": "11",
    "patienthealthsystemstayid": "1",
    "gender": "Female",
    "age": "67",
    "hospitalid": "59",
    "admissionheight": "165",
    "admissionweight": "70.5",
    "hospitaldischargestatus": "Expired",
    "hospitaldischargelocation": "Death",
    "unittype": "MICU",
    "unitadmittime24": "13:30:00",
    "unitvisitnumber": "1",
    "unitdischargeoffset": "3000",
    "uniquepid": "002-1",
}
APACHE = {
    "patientunitstayid": "11",
    "intubated": "0",
    "vent": "1",
    "eyes": "3",
    "motor": "6",
    "verbal": "4",
    "meds": "0",
    "urine": "1800",
    "wbc": "-1",
    "temperature": "38.4",
    "respiratoryrate": "28",
    "sodium": "139",
    "heartrate": "121",
    "meanbp": "58",
    "ph": "-1",
    "hematocrit": "-1",
    "creatinine": "1.9",
    "albumin": "-1",
    "pao2": "-1",
    "pco2": "-1",
    "bun": "-1",
    "glucose": "-1",
    "bilirubin": "-1",
    "fio2": "-1",
}

Tables = dict[str, list[dict[str, str]]]


def tables() -> Tables:
    """Return the tables of a download that has all of those that are used."""
    return {
        "patient": [dict(PATIENT)],
        "apacheApsVar": [dict(APACHE)],
        "apachePatientResult": [
            _row(apacheversion="IVa", predictedhospitalmortality="0.31"),
            _row(apacheversion="IV", predictedhospitalmortality="-1"),
        ],
        "admissionDx": [
            _row(
                admitdxenteredoffset="12",
                admitdxpath="admission diagnosis|All Diagnosis|Non-operative|Diagnosis|"
                "Cardiovascular|Sepsis, pulmonary",
            )
        ],
        "diagnosis": [
            _row(
                diagnosisoffset="40",
                diagnosisstring="cardiovascular|shock / hypotension|septic shock",
                diagnosispriority="Major",
            )
        ],
        "treatment": [_row(treatmentoffset="41", treatmentstring="cardiovascular|shock|dopamine")],
        "pastHistory": [
            _row(
                pasthistoryoffset="5",
                pasthistoryenteredoffset="9",
                pasthistorypath="notes/Progress Notes/Past History/Organ Systems/Pulmonary/"
                "COPD/COPD - severe",
                pasthistoryvalue="COPD - severe",
            )
        ],
        "carePlanGeneral": [care_plan_row("Airway", "Intubated/oral ETT")],
        "note": [
            note_row("Social History / Family History/Family History/Family History/CAD/CAD", "CAD")
        ],
        "physicalExam": [
            exam_row("Vital Sign and Physiological Data/HR/HR Current", "HR Current", "112"),
            exam_row(
                "Vital Sign and Physiological Data/BP (systolic)/BP (systolic) Current",
                "BP (systolic) Current",
                "92",
            ),
            exam_row("Appearance/Health Status/ill-appearing", "ill-appearing"),
        ],
        "nurseAssessment": [
            _nursing("Neurologic", "Orientation", "to person"),
            _nursing("Neurologic", "Orientation", "to place"),
        ],
        "intakeOutput": [intake_row("Urine", "150")],
        "respiratoryCharting": [
            _respiratory("FiO2", "0.45"),
            _respiratory("Total RR", "24"),
            _respiratory("Tidal Volume (set)", "450"),
            _respiratory("PEEP", "8"),
        ],
        "vitalAperiodic": [
            _row(
                observationoffset="62",
                noninvasivesystolic="95",
                noninvasivediastolic="50",
                noninvasivemean="",
                cardiacoutput="",
            )
        ],
        "vitalPeriodic": [
            _row(
                observationoffset="65",
                heartrate="110",
                respiration="26",
                sao2="93",
                temperature="",
                systemicsystolic="98",
                systemicdiastolic="51",
                systemicmean="66",
                cvp="11",
                etco2="",
                icp="",
                pamean="",
            )
        ],
        "lab": [_lab("lactate", "4.1"), _lab("CRP", "18.2"), _lab("urinary sodium", "30")],
        "nurseCharting": [
            _charting("Temperature", "Temperature (F)", "101.3"),
            _charting("Non-Invasive BP", "Non-Invasive BP Systolic", "94"),
            _charting("Non-Invasive BP", "Non-Invasive BP Diastolic", "49"),
        ],
    }


def write_tables(directory: Path, content: Mapping[str, list[dict[str, str]]]) -> Path:
    """Write the tables as a download has them."""
    for name, rows in content.items():
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with gzip.open(directory / f"{name}.csv.gz", "wt", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, columns)
            writer.writeheader()
            writer.writerows(rows)
    return directory


def _row(**cells: str) -> dict[str, str]:
    return {"patientunitstayid": "11", **cells}


def note_row(path: str, value: str, offset: int = 30, entered: int = 35) -> dict[str, str]:
    return _row(
        noteoffset=str(offset),
        noteenteredoffset=str(entered),
        notetype="Admission",
        notepath=f"notes/Progress Notes/{path}",
        notevalue=value,
        notetext=value,
    )


def care_plan_row(group: str, value: str, offset: int = 50) -> dict[str, str]:
    return _row(cplitemoffset=str(offset), cplgroup=group, cplitemvalue=value)


def exam_row(branch: str, value: str, text: str | None = None) -> dict[str, str]:
    part = "" if branch.startswith("Neurologic/") else "Constitutional/"
    return _row(
        physicalexamoffset="20",
        physicalexampath=f"notes/Progress Notes/Physical Exam/Physical Exam/{part}{branch}",
        physicalexamvalue=value,
        physicalexamtext=value if text is None else text,
    )


def _nursing(label: str, attribute: str, value: str) -> dict[str, str]:
    return _row(
        nurseassessoffset="70",
        nurseassessentryoffset="75",
        celllabel=label,
        cellattribute=attribute,
        cellattributevalue=value,
    )


def intake_row(label: str, value: str, offset: int = 60, entered: int = 60) -> dict[str, str]:
    return _row(
        intakeoutputoffset=str(offset),
        intakeoutputentryoffset=str(entered),
        cellpath=f"flowsheet|Flowsheet Cell Labels|I&O|Output (ml)|{label}",
        celllabel=label,
        cellvaluenumeric=value,
    )


def _respiratory(label: str, value: str) -> dict[str, str]:
    return _row(
        respchartoffset="61",
        respchartentryoffset="61",
        respchartvaluelabel=label,
        respchartvalue=value,
    )


def _lab(name: str, value: str) -> dict[str, str]:
    return _row(labresultoffset="66", labresultrevisedoffset="90", labname=name, labresult=value)


def _charting(label: str, name: str, value: str) -> dict[str, str]:
    return _row(
        nursingchartoffset="68",
        nursingchartentryoffset="68",
        nursingchartcelltypevallabel=label,
        nursingchartcelltypevalname=name,
        nursingchartvalue=value,
    )
