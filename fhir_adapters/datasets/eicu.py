"""eICU-CRD (Pollard et al. 2018; the demo is ODbL 1.0) as FHIR charts.

The cohort: adults who are still in the unit at the prediction time and whose hospital outcome is
known; of each hospitalisation the first such stay. In the demo, at 24 h, these are 1,496 stays
with 125 deaths. ``eicu_leakage`` says what is kept out. All tables are held in memory,
which suits the demo; the full data set needs a machine with a lot of it.

Not read: orders, medication and infusions, allergies, cultures, care-plan goals, nursing care.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import partial
from pathlib import Path

from fhir_adapters.datasets.chart_writer import ChartWriter, birth_date, instant
from fhir_adapters.datasets.eicu_documents import EicuDocuments
from fhir_adapters.datasets.eicu_full_tables import write_laboratory, write_nurse_charting
from fhir_adapters.datasets.eicu_measurements import (
    APACHE_MINUTE,
    InstantOf,
    write_apache,
    write_exam,
    write_intake_output,
    write_monitor,
    write_patient_values,
    write_respiratory,
)
from fhir_adapters.datasets.eicu_tables import EicuTables, Row, number
from fhir_adapters.datasets.labelled import LabelledChart

ADMISSION_DAY = datetime(2014, 7, 1, tzinfo=UTC)  # the data set gives the time of day only
ADULT_YEARS = 18
OVER_89_YEARS = 90

OUTCOMES = {"Alive": 0, "Expired": 1}
GENDERS = {"Female": "female", "Male": "male", "Other": "other"}


@dataclass(frozen=True, slots=True)
class _Values:
    """The rows with values of all chosen stays, by stay."""

    apache: Mapping[str, Mapping[str, str]]
    exam: Mapping[str, list[Row]]
    intake_output: Mapping[str, list[Row]]
    respiratory: Mapping[str, list[Row]]
    aperiodic: Mapping[str, list[Row]]
    periodic: Mapping[str, list[Row]]
    laboratory: Mapping[str, list[Row]]
    nursing: Mapping[str, list[Row]]


def read_eicu(directory: Path, prediction_hours: float = 24) -> Iterator[LabelledChart]:
    """Yield the cohort's stays in the patient table's order, with rows known at the prediction.

    Tables that are not in ``directory`` are left out: ``eicu_tables.missing_tables`` names them.
    Raises FileNotFoundError without a patient table and DataSetError for unpublished columns.
    """
    tables = EicuTables.in_directory(directory)
    last_minute = prediction_hours * 60
    patients = _cohort(tables, last_minute)
    stays = frozenset(patients)
    values = _read_values(tables, stays, last_minute)
    documents = EicuDocuments.read(tables, stays, last_minute)
    predictions = _apache_predictions(tables)
    for stay, patient in patients.items():
        admission = _admission(patient)
        writer = _write_stay(stay, patient, values, documents, last_minute)
        yield LabelledChart(
            chart=writer.chart(),
            prediction_time=admission + timedelta(hours=prediction_hours),
            labels={"in_hospital_death": OUTCOMES[patient["hospitaldischargestatus"]]},
            group=patient["uniquepid"],
            site=patient["hospitalid"],
            stay_id=stay,
            reference_scores=predictions.get(stay, {}),
        )


def _cohort(tables: EicuTables, last_minute: float) -> dict[str, Mapping[str, str]]:
    """Return the patient rows by stay: of each hospitalisation the first that qualifies."""
    first: dict[str, Mapping[str, str]] = {}
    for row in tables.read("patient"):
        if not _qualifies(row, last_minute):
            continue
        hospitalisation = row["patienthealthsystemstayid"]
        other = first.get(hospitalisation)
        if other is None or int(row["unitvisitnumber"]) < int(other["unitvisitnumber"]):
            first[hospitalisation] = row
    return {row["patientunitstayid"]: row for row in first.values()}


def _qualifies(row: Mapping[str, str], last_minute: float) -> bool:
    age = _age_years(row)
    return (
        age is not None
        and age >= ADULT_YEARS
        and row["hospitaldischargestatus"] in OUTCOMES
        and int(row["unitdischargeoffset"]) >= last_minute
    )


def _age_years(row: Mapping[str, str]) -> int | None:
    text = row["age"].strip()
    if text.startswith(">"):
        return OVER_89_YEARS
    return int(text) if text.isdigit() else None


def _admission(patient: Mapping[str, str]) -> datetime:
    return datetime.combine(ADMISSION_DAY, time.fromisoformat(patient["unitadmittime24"]), UTC)


def _read_values(tables: EicuTables, stays: Set[str], last_minute: float) -> _Values:
    read = partial(tables.by_stay, stays=stays, last_minute=last_minute)
    return _Values(
        apache={row["patientunitstayid"]: row for row in tables.read("apacheApsVar")},
        exam=read("physicalExam", effective="physicalexamoffset"),
        intake_output=read(
            "intakeOutput", effective="intakeoutputoffset", entered="intakeoutputentryoffset"
        ),
        respiratory=read(
            "respiratoryCharting", effective="respchartoffset", entered="respchartentryoffset"
        ),
        aperiodic=read("vitalAperiodic", effective="observationoffset"),
        periodic=read("vitalPeriodic", effective="observationoffset"),
        laboratory=read("lab", effective="labresultoffset", entered="labresultrevisedoffset"),
        nursing=read(
            "nurseCharting", effective="nursingchartoffset", entered="nursingchartentryoffset"
        ),
    )


def _apache_predictions(tables: EicuTables) -> dict[str, dict[str, float]]:
    """Return APACHE's predicted hospital mortality (0..1) by stay and version."""
    predictions: dict[str, dict[str, float]] = {}
    for row in tables.read("apachePatientResult"):
        predicted = number(row["predictedhospitalmortality"])
        if predicted is not None:
            name = f"apache_{row['apacheversion'].lower()}"
            predictions.setdefault(row["patientunitstayid"], {})[name] = predicted
    return predictions


def _write_stay(
    stay: str,
    patient: Mapping[str, str],
    values: _Values,
    documents: EicuDocuments,
    last_minute: float,
) -> ChartWriter:
    admission = _admission(patient)
    instant_of = partial(_instant_after, admission)
    age = _age_years(patient)
    writer = ChartWriter(f"eicu-{stay}", f"eicu-{stay}-stay")
    writer.patient(
        gender=GENDERS.get(patient["gender"], "unknown"),
        birth_date=None if age is None else birth_date(admission, age),
    )
    writer.encounter(start=instant_of(0), unit_type=patient["unittype"])
    write_patient_values(writer, patient, instant_of)
    _write_values(writer, stay, values, instant_of, last_minute)
    documents.write(writer, stay, instant_of)
    return writer


def _write_values(
    writer: ChartWriter,
    stay: str,
    values: _Values,
    instant_of: InstantOf,
    last_minute: float,
) -> None:
    monitor = writer.device("monitor", "bedside monitor")
    ventilator = writer.device("ventilator", "ventilator or oxygen device")
    write_exam(writer, values.exam.get(stay, ()), instant_of)
    write_intake_output(writer, values.intake_output.get(stay, ()), instant_of)
    write_respiratory(writer, values.respiratory.get(stay, ()), instant_of, ventilator)
    write_laboratory(writer, values.laboratory.get(stay, ()), instant_of)
    write_nurse_charting(writer, values.nursing.get(stay, ()), instant_of)
    write_monitor(
        writer, values.aperiodic.get(stay, ()), values.periodic.get(stay, ()), instant_of, monitor
    )
    apache = values.apache.get(stay)
    if apache is not None and last_minute >= APACHE_MINUTE:
        write_apache(writer, apache, instant_of)


def _instant_after(admission: datetime, minute: int) -> str:
    return instant(admission + timedelta(minutes=minute))
