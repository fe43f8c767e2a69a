"""Labels: what a good file gives, and the sentence for each fault."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cds_hooks.errors import LabelsUnusable
from cds_hooks.labels import read_labels
from cds_hooks.outcome_tasks import read_tasks

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
    labels = read_labels(labels_file(tmp_path, GOOD)).by_patient
    (first,) = labels["p1"]
    assert (first.line, first.encounter_id) == (2, "e1")
    assert first.outcomes == {"in_hospital_death": 1}
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


SEVERAL = """patient_id,prediction_time,outcome_in_hospital_death,outcome_long_stay
p1,2026-03-04T08:00:00Z,1,
p2,2026-03-04T08:00:00Z,,0
"""


def test_a_column_for_each_task_and_an_empty_cell_is_not_known(tmp_path: Path) -> None:
    labels = read_labels(labels_file(tmp_path, SEVERAL))
    assert [task.display for task in labels.tasks] == ["in-hospital death", "long stay"]
    assert labels.tasks[1].no_event == "no long stay"
    assert labels.by_patient["p1"][0].outcomes == {"in_hospital_death": 1}
    assert labels.by_patient["p2"][0].outcomes == {"long_stay": 0}


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        (",,0", ",,", "labels.csv, line 3: no outcome is known; leave the row out."),
        (",,0", ",,no", "labels.csv, line 3, column outcome_long_stay: expected 0, 1, or nothing "
         "if not known."),
        ("outcome_long_stay", "long_stay", "labels.csv, line 1: column 4 has an unknown name"),
    ],
)  # fmt: skip
def test_faults_of_several_tasks(tmp_path: Path, right: str, wrong: str, sentence: str) -> None:
    assert faults(tmp_path, SEVERAL.replace(right, wrong)).startswith(sentence)


TASK_FILE = """[[tasks]]
name = "long_stay"
display = "a stay of more than 7 days"
event = "longer"
no_event = "not longer"
column = "los7"
"""


def tasks_file(folder: Path, text: str) -> Path:
    path = folder / "tasks.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_task_file_gives_words_and_columns(tmp_path: Path) -> None:
    tasks = read_tasks(tasks_file(tmp_path, TASK_FILE))
    labels = read_labels(
        labels_file(tmp_path, "patient_id,prediction_time,los7\np,2026-03-04T08:00:00Z,1\n"), tasks
    )
    assert labels.tasks == tasks
    assert labels.by_patient["p"][0].outcomes == {"long_stay": 1}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "tasks must be set"),
        ("tasks = []", "expected 1 to 8 [[tasks]], found 0"),
        (TASK_FILE.replace("long_stay", "Long stay"), "tasks[0].name: expected small letters"),
        (TASK_FILE.replace("a stay", "a stay" * 20), "display and horizon together have 1 to 60"),
        (TASK_FILE.replace('"longer"', '""'), "tasks[0].event: expected 1 to 40 characters"),
        (TASK_FILE + TASK_FILE, "2 tasks are named long_stay"),
        (TASK_FILE.replace("event =", "happens =", 1), "tasks[0].happens: no such setting"),
        ("[[tasks]", "not TOML"),
    ],
)
def test_faults_of_a_task_file(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(LabelsUnusable) as caught:
        read_tasks(tasks_file(tmp_path, text))
    assert sentence in str(caught.value)


LONG = "outcome_" + "a" * 45


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ([f"outcome_{name}" for name in "abcdefghi"], "labels.csv, line 1: expected 1 to 8"),
        ([LONG, "outcome_b"], "labels.csv, line 1: tasks[0].event: expected 1 to 40"),
    ],
)
def test_tasks_of_columns_keep_to_the_bounds_of_a_task_file(
    tmp_path: Path, columns: list[str], sentence: str
) -> None:
    """A card states every task in words that fit: the columns' own words are no exception."""
    text = ",".join(["patient_id", "prediction_time", *columns]) + "\n"
    text += ",".join(["p1", "2026-03-04T08:00:00Z", *("1" for _ in columns)]) + "\n"
    assert faults(tmp_path, text).startswith(sentence)
