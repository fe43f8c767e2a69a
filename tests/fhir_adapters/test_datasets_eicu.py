"""eICU-CRD as FHIR: a hand-made stay with known answers, and the demo where it lies."""

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhir_adapters.datasets.eicu import ADMISSION_DAY, read_eicu
from fhir_adapters.datasets.eicu_tables import missing_tables
from fhir_adapters.datasets.labelled import LabelledChart
from fhir_adapters.errors import DataSetError
from fhir_adapters.record_builder import build_record
from model.record import PatientRecord
from tests.fhir_adapters.eicu_world import (
    PATIENT,
    exam_row,
    intake_row,
    note_row,
    tables,
    write_tables,
)

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "eicu-crd-demo"
ADMISSION = ADMISSION_DAY.replace(hour=13, minute=30)


def read_one(directory: Path, content: dict, hours: float = 24) -> LabelledChart:
    (labelled,) = read_eicu(write_tables(directory, content), hours)
    return labelled


def record_of(directory: Path, content: dict, hours: float = 24) -> PatientRecord:
    labelled = read_one(directory, content, hours)
    return build_record(labelled.chart, labelled.prediction_time)


def values(record: PatientRecord, variable: str) -> list[tuple[int, float]]:
    """Return (minutes from admission, value) of a charted variable."""
    return [
        (round((m.time - ADMISSION).total_seconds() / 60), m.value)
        for m in record.measurements
        if m.variable == variable
    ]


def channel(record: PatientRecord, name: str) -> list[float]:
    return [v for s in record.device_series if s.channel == name for v in s.values.tolist()]


def note_texts(labelled: LabelledChart) -> dict[str, str]:
    texts: dict[str, str] = {}
    for resource in labelled.chart.resources:
        if resource["resourceType"] == "DocumentReference":
            text = base64.b64decode(resource["content"][0]["attachment"]["data"]).decode()
            note_type = resource["type"]["text"]
            texts[note_type] = "\n".join([*filter(None, [texts.get(note_type)]), text])
    return texts


def test_label_group_site_and_reference_score(tmp_path):
    labelled = read_one(tmp_path, tables())
    assert labelled.labels == {"in_hospital_death": 1}
    assert (labelled.group, labelled.site, labelled.stay_id) == ("002-1", "59", "11")
    assert labelled.reference_scores == {"apache_iva": 0.31}  # IV is -1: none
    assert labelled.prediction_time == datetime(2014, 7, 2, 13, 30, tzinfo=UTC)


def test_patient_and_stay(tmp_path):
    record = record_of(tmp_path, tables())
    assert record.demographics.sex == "female"
    assert int(record.demographics.age_years or 0) == 67
    assert record.stay is not None
    assert (record.stay.encounter_class, record.stay.unit_type) == ("IMP", "medical icu")
    assert values(record, "body_height") == [(0, 165)]


def test_over_89_is_90(tmp_path):
    content = tables()
    content["patient"][0]["age"] = "> 89"
    assert int(record_of(tmp_path, content).demographics.age_years or 0) == 90


def test_charted_values(tmp_path):
    record = record_of(tmp_path, tables())
    assert values(record, "urine_output") == [(60, 150)]
    assert values(record, "fraction_inspired_oxygen") == [(61, 45)]
    assert values(record, "lactate") == [(66, 4.1)]
    assert values(record, "c_reactive_protein") == [(66, 182)]  # mg/dL became mg/L
    assert values(record, "systolic_blood_pressure") == [(20, 92), (68, 94)]
    assert values(record, "heart_rate") == [(20, 112), (1440, 121)]
    ((minute, celsius), apache) = values(record, "body_temperature")
    assert (minute, celsius) == (68, pytest.approx(38.5))
    assert apache == (1440, 38.4)


def test_apache_values_count_from_24_hours(tmp_path):
    record = record_of(tmp_path, tables())
    assert values(record, "creatinine") == [(1440, 1.9)]
    assert values(record, "glasgow_coma_scale") == [(1440, 13)]
    assert values(record, "mechanical_ventilation") == [(61, 1), (1440, 1)]
    assert values(record, "white_blood_cells") == []  # -1 means missing


def test_apache_values_are_unknown_before_24_hours(tmp_path):
    assert values(record_of(tmp_path, tables(), hours=23), "creatinine") == []


def test_apache_coma_score_under_sedation_is_none(tmp_path):
    content = tables()
    content["apacheApsVar"][0]["meds"] = "1"
    assert values(record_of(tmp_path, content), "glasgow_coma_scale") == []


def test_apache_urine_is_a_daily_total(tmp_path):
    record = record_of(tmp_path, tables())
    assert values(record, "urine_output_24h") == [(1440, 1800)]


def test_counts_of_voids_are_no_volume(tmp_path):
    content = tables()
    content["intakeOutput"] = [intake_row("Urine Count", "3")]
    assert values(record_of(tmp_path, content), "urine_output") == []


def test_examined_coma_score_is_the_sum_of_its_parts(tmp_path):
    content = tables()
    parts = [("Eyes Score", "2"), ("Motor Score", "5"), ("Verbal Score", "3")]
    content["physicalExam"] += [
        exam_row(f"Neurologic/GCS/{part}/{score}", score) for part, score in parts
    ]
    assert values(record_of(tmp_path, content), "glasgow_coma_scale")[0] == (20, 10)


def test_device_channels(tmp_path):
    record = record_of(tmp_path, tables())
    assert channel(record, "heart_rate") == [110]
    assert channel(record, "oxygen_saturation") == [93]
    assert channel(record, "respiratory_rate") == [24, 26]
    assert channel(record, "systolic_blood_pressure") == [95]
    assert channel(record, "mean_blood_pressure") == []  # absent is absent
    assert channel(record, "arterial_mean_blood_pressure") == [66]
    assert channel(record, "central_venous_pressure") == [11]
    assert channel(record, "positive_end_expiratory_pressure") == [8]


def test_notes(tmp_path):
    texts = note_texts(read_one(tmp_path, tables()))
    assert texts == {
        "Hospital admission diagnosis": "Admission diagnosis is Sepsis, pulmonary.",
        "Problem list": "Cardiovascular major diagnosis, septic shock.",
        "Treatment list": "Cardiovascular treatment, dopamine.",
        "History of past illness": "History of COPD severe.",
        "Plan of care note": "Plan of care for airway, Intubated/oral ETT.",
        "History and physical note": "Family history of CAD.",
        "Physical findings": "Constitutional exam, appearance, health status ill-appearing.",
        "Nurse note": "Neurologic orientation to person, to place.",
    }


def test_a_note_counts_from_when_it_was_entered(tmp_path):
    content = tables()
    content["note"] = [note_row("Surgery/Operative Status/Anesthesia/general", "general", 60, 1500)]
    directory = write_tables(tmp_path, content)
    (at_24_h,) = read_eicu(directory, 24)
    (at_26_h,) = read_eicu(directory, 26)
    assert "History and physical note" not in note_texts(at_24_h)
    assert note_texts(at_26_h)["History and physical note"] == "Surgery, anesthesia general."


def test_a_value_entered_later_is_issued_later(tmp_path):
    content = tables()
    content["intakeOutput"] = [intake_row("Urine", "80", 60, 1300)]
    labelled = read_one(tmp_path, content)
    earlier = build_record(labelled.chart, ADMISSION.replace(hour=20))
    assert values(earlier, "urine_output") == []
    assert values(build_record(labelled.chart, labelled.prediction_time), "urine_output")


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("age", "17"),
        ("age", ""),
        ("hospitaldischargestatus", ""),
        ("unitdischargeoffset", "1439"),
    ],
)
def test_stays_outside_the_cohort(tmp_path, column, cell):
    content = tables()
    content["patient"][0][column] = cell
    assert list(read_eicu(write_tables(tmp_path, content))) == []


def test_the_first_qualifying_stay_of_a_hospitalisation(tmp_path):
    content = tables()
    later = {**PATIENT, "patientunitstayid": "12", "unitvisitnumber": "2"}
    other = {**later, "patientunitstayid": "13", "patienthealthsystemstayid": "2"}
    content["patient"] = [later, PATIENT, other]
    stays = [labelled.stay_id for labelled in read_eicu(write_tables(tmp_path, content))]
    assert stays == ["11", "13"]


def test_discharge_fields_and_outcomes_are_not_in_the_chart(tmp_path):
    text = str(read_one(tmp_path, tables()).chart.resources)
    assert "Expired" not in text
    assert "Death" not in text
    assert "0.31" not in text
    assert "2014-07-03" not in text  # the day of discharge


def test_missing_tables_are_stated(tmp_path):
    content = tables()
    del content["lab"], content["vitalPeriodic"]
    assert missing_tables(write_tables(tmp_path, content)) == ("lab", "vitalPeriodic")


def test_a_folder_without_patient_table(tmp_path):
    with pytest.raises(FileNotFoundError, match="no patient table of eICU-CRD"):
        next(read_eicu(tmp_path))


def test_a_broken_line_is_refused(tmp_path):
    directory = write_tables(tmp_path, tables())
    lines = "patientunitstayid,diagnosisoffset,diagnosisstring,diagnosispriority\n11,40,shock\n"
    (directory / "diagnosis.csv.gz").unlink()
    (directory / "Diagnosis.csv").write_text(lines, encoding="utf-8")
    with pytest.raises(DataSetError, match="diagnosis, line 2: 3 cells where the header has 4"):
        next(read_eicu(directory))


def test_an_unpublished_column_is_refused(tmp_path):
    content = tables()
    content["diagnosis"] = [{"patientunitstayid": "11", "offset": "3"}]
    with pytest.raises(DataSetError, match="table diagnosis has no column diagnosisoffset"):
        read_one(tmp_path, content)


def test_resources_are_valid_r4(tmp_path):
    for resource in read_one(tmp_path, tables()).chart.resources:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)


@pytest.mark.skipif(not REAL.is_dir(), reason="the eICU demo is not beside the repository")
def test_the_demo_has_the_known_cohort_and_no_leaking_note():
    assert missing_tables(REAL) == ("lab", "nurseCharting", "vitalPeriodic")
    stays = deaths = scored = 0
    telling = ("palliat", "hospice", "comfort meas", "not resuscitate", "terminal", "mortality")
    for labelled in read_eicu(REAL):
        stays += 1
        deaths += int(labelled.labels["in_hospital_death"])
        scored += "apache_iva" in labelled.reference_scores
        notes = "\n".join(note_texts(labelled).values()).lower()
        assert not any(words in notes for words in telling), labelled.stay_id
        if stays % 100 == 0:
            for resource in labelled.chart.resources[::5]:
                get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    assert (stays, deaths, scored) == (1496, 125, 1210)
