"""PhysioNet 2012 as FHIR: a hand-made set with known answers, and the real one where it lies."""

import io
import tarfile
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhir_adapters.codes import variable_for
from fhir_adapters.datasets.labelled import LabelledChart
from fhir_adapters.datasets.physionet2012 import ADMISSION, read_physionet2012
from fhir_adapters.errors import DataSetError

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "physionet2012"
HEADER = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death"
STAY = """Time,Parameter,Value
00:00,RecordID,7
00:00,Age,54
00:00,Gender,0
00:00,Height,-1
00:00,ICUType,4
00:00,Weight,80.5
00:07,HR,73
00:07,NIDiasABP,65
00:07,NIMAP,92.33
00:07,NISysABP,147
01:30,FiO2,0.45
01:30,MechVent,1
02:00,MAP,81
02:00,SysABP,120
02:00,SysABP,121
02:05,pH,7.31
02:06,SaO2,96
47:59,Lactate,2.2
"""


def write_set(directory: Path, stay: str = STAY, outcome: str = "7,6,-1,5,-1,1") -> Path:
    (directory / "Outcomes-a.txt").write_text(f"{HEADER}\n{outcome}\n", encoding="ascii")
    with tarfile.open(directory / "set-a.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("set-a/7.txt")
        member.size = len(stay)
        archive.addfile(member, io.BytesIO(stay.encode("ascii")))
    return directory


def read_one(directory: Path, hours: float = 48) -> LabelledChart:
    (labelled,) = read_physionet2012(directory, prediction_hours=hours)
    return labelled


def of_type(labelled: LabelledChart, resource_type: str) -> list[dict]:
    return [r for r in labelled.chart.resources if r["resourceType"] == resource_type]


def texts(labelled: LabelledChart) -> dict[str, dict]:
    return {r["code"]["text"]: r for r in of_type(labelled, "Observation")}


def test_labels_scores_and_times(tmp_path):
    labelled = read_one(write_set(tmp_path))
    assert labelled.labels == {"in_hospital_death": 1}
    assert labelled.reference_scores == {"saps_i": 6.0}  # SOFA -1 means none
    assert labelled.prediction_time == ADMISSION + timedelta(hours=48)
    assert (labelled.stay_id, labelled.group) == ("7", "7")


def test_patient_and_encounter(tmp_path):
    labelled = read_one(write_set(tmp_path))
    (patient,) = of_type(labelled, "Patient")
    (encounter,) = of_type(labelled, "Encounter")
    born = datetime.fromisoformat(patient["birthDate"] + "T00:00:00+00:00")
    assert int((ADMISSION - born).days / 365.25) == 54
    assert patient["gender"] == "female"
    assert encounter["class"]["code"] == "IMP"
    assert encounter["serviceType"]["text"] == "surgical intensive care unit"
    assert "end" not in encounter["period"]


def test_charted_values_have_canonical_units_and_no_device(tmp_path):
    observations = texts(read_one(write_set(tmp_path)))
    fio2 = observations["Fraction of inspired oxygen"]
    assert (fio2["valueQuantity"]["value"], fio2["valueQuantity"]["code"]) == (45.0, "%")
    assert observations["Lactate"]["effectiveDateTime"] == "2012-01-02T23:59:00Z"
    assert observations["Mechanical ventilation"]["valueBoolean"] is True
    named = variable_for(observations["Arterial oxygen saturation"]["code"]["coding"])
    assert named is not None
    assert named.name == "arterial_oxygen_saturation"
    assert "Body height" not in observations  # -1 means missing
    assert not any("device" in observations[name] for name in ("Lactate", "Body weight"))


def test_monitor_values_reference_the_monitor(tmp_path):
    labelled = read_one(write_set(tmp_path))
    (device,) = of_type(labelled, "Device")
    heart_rate = texts(labelled)["Heart rate"]
    assert heart_rate["device"]["reference"] == f"Device/{device['id']}"


def test_pressures_of_one_minute_share_a_panel(tmp_path):
    panels = [r for r in of_type(read_one(write_set(tmp_path)), "Observation") if "component" in r]
    values = [
        {c["code"]["coding"][-1]["code"]: c["valueQuantity"]["value"] for c in panel["component"]}
        for panel in panels
    ]
    assert values == [
        {"8480-6": 147, "8462-4": 65, "8478-0": 92.33},
        {"76214-6": 81, "76215-3": 120},
        {"76215-3": 121},  # charted twice in one minute
    ]
    assert all("device" in panel for panel in panels)


def test_rows_after_the_prediction_time_are_not_written(tmp_path):
    labelled = read_one(write_set(tmp_path), hours=2)
    names = texts(labelled)
    assert "Mechanical ventilation" in names
    assert "Arterial pH" not in names
    assert labelled.prediction_time == ADMISSION + timedelta(hours=2)


def test_resources_are_valid_r4(tmp_path):
    for resource in read_one(write_set(tmp_path)).chart.resources:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)


@pytest.mark.parametrize(
    ("stay", "message"),
    [
        ("RecordID,7\n", "stay 7: the file does not begin with Time,Parameter,Value"),
        (STAY + "03:00,Mood,1\n", "physionet2012-7: parameter 'Mood' is not published"),
    ],
)
def test_unpublished_forms_are_refused(tmp_path, stay, message):
    with pytest.raises(DataSetError, match=message):
        read_one(write_set(tmp_path, stay))


def test_a_stay_without_outcome_is_refused(tmp_path):
    with pytest.raises(DataSetError, match=r"set-a/7\.txt"):
        read_one(write_set(tmp_path, outcome="8,6,1,5,-1,1"))


def test_prediction_beyond_the_data_is_refused(tmp_path):
    with pytest.raises(DataSetError, match="prediction at 72 h"):
        read_one(write_set(tmp_path), hours=72)


def test_a_set_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        next(read_physionet2012(tmp_path))


@pytest.mark.skipif(not REAL.is_dir(), reason="the PhysioNet 2012 data set is not beside the repo")
def test_real_stays_are_valid_r4():
    kinds: Counter[str] = Counter()
    stays = read_physionet2012(REAL)
    for _ in range(20):
        for resource in next(stays).chart.resources[::10]:
            get_fhir_model_class(resource["resourceType"]).model_validate(resource)
            kinds[resource["resourceType"]] += 1
    assert kinds["Observation"] > 200


def test_a_damaged_archive_is_one_sentence(tmp_path: Path) -> None:
    write_set(tmp_path)
    archive = tmp_path / "set-a.tar.gz"
    whole = archive.read_bytes()
    for content in (whole[: len(whole) // 2], b"no archive", whole[:40] + b"\0" * 40 + whole[80:]):
        archive.write_bytes(content)
        with pytest.raises(DataSetError, match=r"set-a\.tar\.gz: not a whole archive"):
            list(read_physionet2012(tmp_path))
