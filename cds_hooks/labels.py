"""The outcomes of a site's patients: a CSV file that its data scientists write.

One row for one prediction: whom it is about, when it would have been made, and what came of it:
``outcome``, or a column for each of several tasks, where an empty cell is an outcome not known.
Every fault is named by line and column. Values are not repeated: in a shifted row they may be a
name.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cds_hooks.errors import LabelsUnusable
from cds_hooks.outcome_tasks import COLUMN, OutcomeTask, faults_of, tasks_of_columns

REQUIRED = ("patient_id", "prediction_time")
OPTIONAL = ("encounter_id", "group", "site")
_MOST_FAULTS = 10
_ID = re.compile(r"[A-Za-z0-9\-._]{1,256}")
_OUTCOMES = {"0": 0, "1": 1, "": None}


@dataclass(frozen=True, slots=True)
class Label:
    """One row. ``group`` holds rows together that must not be split: a patient, a family."""

    line: int
    patient_id: str
    encounter_id: str | None
    prediction_time: datetime  # UTC
    outcomes: Mapping[str, int]  # 0 or 1 by task; tasks whose outcome is not known are absent
    group: str
    site: str

    @property
    def stay_id(self) -> str:
        """Names this row among all: patient, encounter and moment."""
        return f"{self.patient_id}/{self.encounter_id or ''}/{self.prediction_time.isoformat()}"


@dataclass(slots=True)
class _Reading:
    """Labels so far, and the faults of the file as sentences."""

    tasks: tuple[OutcomeTask, ...]  # given, or () until the first line names them
    labels: dict[str, list[Label]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)  # first line of each stay
    groups: dict[str, tuple[str, int]] = field(default_factory=dict)  # by patient


@dataclass(frozen=True, slots=True)
class Labels:
    """A whole file."""

    tasks: tuple[OutcomeTask, ...]
    by_patient: Mapping[str, list[Label]]


def read_labels(path: Path, tasks: Sequence[OutcomeTask] = ()) -> Labels:
    """Return the rows of each patient. Raises LabelsUnusable, which names every fault it found.

    ``tasks`` name their columns; without them, every column of outcomes is a task.
    """
    reading = _Reading(tuple(tasks))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin with a BOM
            for label in _rows(csv.reader(file, strict=True), reading):
                _add(label, reading)
    except OSError as exc:
        raise LabelsUnusable(f"{path} cannot be read: {exc.strerror}.") from exc
    except (UnicodeDecodeError, csv.Error) as exc:
        raise LabelsUnusable(f"{path} is not a CSV file in UTF-8: {exc}.") from exc
    if reading.faults:
        raise LabelsUnusable(told(path, reading.faults))
    if not reading.labels:
        raise LabelsUnusable(f"{path} holds no row.")
    return Labels(reading.tasks, reading.labels)


def told(path: Path, faults: Sequence[str]) -> str:
    """The first faults of a file as sentences, and how many more there are."""
    shown = [f"{path}, {fault}" for fault in faults[:_MOST_FAULTS]]
    if len(faults) > _MOST_FAULTS:
        shown.append(f"{path} has {len(faults) - _MOST_FAULTS} more faults.")
    return "\n".join(shown)


def _rows(reader: Iterator[list[str]], reading: _Reading) -> Iterator[Label]:
    faults = reading.faults
    names = [name.strip() for name in next(reader, [])]
    named_by_file = not reading.tasks
    reading.tasks = reading.tasks or tasks_of_columns(names)
    wrong = list(_header_faults(names, [task.column for task in reading.tasks]))
    if named_by_file and reading.tasks and not wrong:
        wrong = [f"line 1: {fault}; word them with --tasks." for fault in faults_of(reading.tasks)]
    faults += wrong
    if wrong:
        return
    for cells in reader:
        line = reader.line_num  # type: ignore[attr-defined]  # of csv's readers
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(names):
            faults.append(f"line {line}: {len(cells)} cells, and the first line has {len(names)}.")
            continue
        by_name = dict(zip(names, map(str.strip, cells), strict=True))
        label = _label(line, by_name, reading.tasks, faults)
        if label is not None:
            yield label


def _header_faults(names: list[str], outcomes: list[str]) -> Iterator[str]:
    required = (*REQUIRED, *(outcomes or [COLUMN]))
    known = (*required, *OPTIONAL)
    expected = f"expected {', '.join(required)} and, if known, {', '.join(OPTIONAL)}"
    missing = [name for name in required if name not in names]
    if missing:
        yield f"line 1: the columns {', '.join(missing)} are missing; {expected}."
        return
    for position, name in enumerate(names, start=1):
        if name not in known:
            yield f"line 1: column {position} has an unknown name; {expected}."
        elif names.index(name) != position - 1:
            yield f"line 1: the column {name} stands there twice."


def _label(
    line: int, cells: dict[str, str], tasks: Sequence[OutcomeTask], faults: list[str]
) -> Label | None:
    before = len(faults)

    def fault(column: str, expected: str) -> None:
        faults.append(f"line {line}, column {column}: expected {expected}.")

    patient = cells["patient_id"].removeprefix("Patient/")
    encounter = cells.get("encounter_id", "").removeprefix("Encounter/")
    if not _ID.fullmatch(patient):
        fault("patient_id", "the id of a Patient")
    if encounter and not _ID.fullmatch(encounter):
        fault("encounter_id", "the id of an Encounter, or nothing")
    time = time_of(cells["prediction_time"])
    if time is None:
        fault("prediction_time", "a time with its offset, such as 2026-11-23T07:40:00+01:00")
    known = {}
    for task in tasks:
        if cells[task.column] not in _OUTCOMES or (len(tasks) == 1 and not cells[task.column]):
            fault(task.column, "0 or 1" if len(tasks) == 1 else "0, 1, or nothing if not known")
        elif (outcome := _OUTCOMES[cells[task.column]]) is not None:
            known[task.name] = outcome
    if len(faults) == before and not known:
        faults.append(f"line {line}: no outcome is known; leave the row out.")
    if len(faults) > before or time is None:
        return None
    group, site = cells.get("group", "") or patient, cells.get("site", "")
    return Label(line, patient, encounter or None, time, known, group, site)


def time_of(text: str) -> datetime | None:
    """A moment with its offset in UTC; None for anything else."""
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _add(label: Label, reading: _Reading) -> None:
    first = reading.lines.setdefault(label.stay_id, label.line)
    if first != label.line:
        reading.faults.append(
            f"line {label.line}: line {first} is about the same patient, encounter and time."
        )
        return
    group, line = reading.groups.setdefault(label.patient_id, (label.group, label.line))
    if group != label.group:
        reading.faults.append(
            f"line {label.line}, column group: line {line} puts the same patient in another group."
        )
        return
    reading.labels.setdefault(label.patient_id, []).append(label)
