"""Labels: what a good file gives, and the sentence for each fault."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cds_hooks.errors import LabelsUnusable
from cds_hooks.labels import read_labels

GOOD = """patient_id,encounter_id,prediction_time,outcome,group,site
p1,e1,2026-03-04T08:00:00+01:00,1,family-1,north
p2,,2026-03-04T08:00:00Z,0,,
p2,,2026-03-05T08:00:00Z,0,,
"""


def labels_file(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text.encode("utf-8"))
    return path


def faults(folder: Path, text: str) -> str:
    with pytest.raises(LabelsUnusable) as caught:
        read_labels(labels_file(folder, text))
    return str(caught.value).replace(f"{folder}/", "")


def test_a_good_file_is_read_by_patient(tmp_path: Path) -> None:
    labels = read_labels(labels_file(tmp_path, GOOD))
    (first,) = labels["p1"]
    assert (first.line, first.encounter_id, first.outcome) == (2, "e1", 1)
    assert first.prediction_time == datetime(2026, 3, 4, 7, tzinfo=UTC)
    assert (first.group, first.site) == ("family-1", "north")
    assert [label.group for label in labels["p2"]] == ["p2", "p2"]
    assert len({label.stay_id for label in labels["p2"]}) == 2


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD + "\n\n",
        GOOD.replace("p1,e1", "Patient/p1,Encounter/e1"),
        GOOD.replace("p1,e1", ' p1 ,"e1"'),
    ],
    ids=["byte order mark", "Windows lines", "empty lines", "references", "blanks and quotes"],
)
def test_what_spreadsheets_do_is_understood(tmp_path: Path, text: str) -> None:
    assert read_labels(labels_file(tmp_path, text)) == read_labels(labels_file(tmp_path, GOOD))


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ("1,family", "2,family", "labels.csv, line 2, column outcome: expected 0 or 1."),
        ("1,family", "yes,family", "labels.csv, line 2, column outcome: expected 0 or 1."),
        ("T08:00:00Z,0,,\np2", "T08:00:00,0,,\np2",
         "labels.csv, line 3, column prediction_time: expected a time with its offset, such as "
         "2026-11-23T07:40:00+01:00."),
        ("p1,e1", "Anna Maier,e1",
         "labels.csv, line 2, column patient_id: expected the id of a Patient."),
        ("p1,e1", ",e1", "labels.csv, line 2, column patient_id: expected the id of a Patient."),
        ("p1,e1", "p1,e 1",
         "labels.csv, line 2, column encounter_id: expected the id of an Encounter, or nothing."),
        ("2026-03-05", "2026-03-04",
         "labels.csv, line 4: line 3 is about the same patient, encounter and time."),
        ("05T08:00:00Z,0,,", "05T08:00:00Z,0,g,",
         "labels.csv, line 4, column group: line 3 puts the same patient in another group."),
        (",north", "", "labels.csv, line 2: 5 cells, and the first line has 6."),
        ("patient_id,", "patient,",
         "labels.csv, line 1: the columns patient_id are missing; expected patient_id, "
         "prediction_time, outcome and, if known, encounter_id, group, site."),
        (",site", ",hospital",
         "labels.csv, line 1: column 6 has an unknown name; expected patient_id, "
         "prediction_time, outcome and, if known, encounter_id, group, site."),
        (",site", ",group", "labels.csv, line 1: the column group stands there twice."),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_line_and_column(
    tmp_path: Path, right: str, wrong: str, sentence: str
) -> None:
    assert right in GOOD
    assert faults(tmp_path, GOOD.replace(right, wrong, 1)) == sentence


def test_no_value_of_a_wrong_cell_is_repeated(tmp_path: Path) -> None:
    assert "Maier" not in faults(tmp_path, GOOD.replace("1,family-1", "Maier,family-1"))


def test_all_faults_are_named_up_to_ten(tmp_path: Path) -> None:
    rows = "".join(f"p{n},,2026-03-04T08:00:00Z,x,,\n" for n in range(15))
    said = faults(tmp_path, GOOD.splitlines()[0] + "\n" + rows).splitlines()
    assert len(said) == 11
    assert said[-1] == "labels.csv has 5 more faults."


def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    assert "holds no row" in faults(tmp_path, GOOD.splitlines()[0])
    assert "are missing" in faults(tmp_path, "")
    path = tmp_path / "labels.csv"
    path.write_bytes(b"patient_id\xff\xfe")
    with pytest.raises(LabelsUnusable, match="is not a CSV file in UTF-8"):
        read_labels(path)
    with pytest.raises(LabelsUnusable, match="cannot be read: No such file"):
        read_labels(tmp_path / "nothing.csv")
