"""What came of predictions: a CSV file that a site writes, and which prediction a row is about.

One row for one stay: ``patient_id``, ``time`` (when the outcome was known: death or discharge) and
``outcome``, 0 or 1; or for one prediction: ``prediction_id`` (the uuid of its card, or its hook
instance) and ``outcome``. A model with several tasks has a column ``outcome_<task>`` for each, and
an empty cell where an outcome is not known. Every fault is named by line and column, without the
value.
"""

from __future__ import annotations

import csv
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cds_hooks.errors import LabelsUnusable
from cds_hooks.labels import time_of, told

_ID = re.compile(r"[A-Za-z0-9\-._]{1,256}")
_COLUMN = "outcome"
_PREFIX = "outcome_"
_OUTCOMES = {"0": 0, "1": 1}
FIRST_TASK = ""  # the column "outcome" is about the task that stands first in a prediction


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row."""

    line: int
    name: str  # of a patient or of a prediction
    time: datetime | None  # UTC
    by_task: Mapping[str, int]  # tasks whose outcome is not known are absent


@dataclass(slots=True)
class Outcomes:
    """A file: the rows of each patient by time, or the row of each prediction."""

    by_patient: bool
    tasks: tuple[str, ...]
    rows: dict[str, list[Outcome]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return sum(map(len, self.rows.values()))

    def after(self, patient: str, at: datetime) -> Outcome | None:
        """The outcome of the stay in which a prediction was made: the next one known."""
        rows = self.rows.get(patient, [])
        place = bisect_left([row.time for row in rows], at)  # type: ignore[type-var]  # all have one
        return rows[place] if place < len(rows) else None


def read_outcomes(path: Path) -> Outcomes:
    """Return the rows of a file. Raises LabelsUnusable, which names every fault it found."""
    faults: list[str] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = _read(csv.reader(file, strict=True), faults)
    except OSError as exc:
        raise LabelsUnusable(f"{path} cannot be read: {exc.strerror}.") from exc
    except (UnicodeDecodeError, csv.Error) as exc:
        raise LabelsUnusable(f"{path} is not a CSV file in UTF-8: {exc}.") from exc
    if faults or found is None:
        raise LabelsUnusable(told(path, faults))
    if not found.rows:
        raise LabelsUnusable(f"{path} holds no row.")
    for rows in found.rows.values():
        rows.sort(key=lambda row: row.time or datetime.min)  # noqa: DTZ901  # all or none has one
    return found


def _read(reader: Iterator[list[str]], faults: list[str]) -> Outcomes | None:
    names = [name.strip() for name in next(reader, [])]
    faults += _header_faults(names)
    if faults:
        return None
    found = Outcomes("patient_id" in names, tuple(_tasks(names)))
    seen: dict[tuple[str, datetime | None], int] = {}
    for cells in reader:
        line = reader.line_num  # type: ignore[attr-defined]  # of csv's readers
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(names):
            faults.append(f"line {line}: {len(cells)} cells, and the first line has {len(names)}.")
            continue
        row = _row(line, dict(zip(names, map(str.strip, cells), strict=True)), found, faults)
        if row is None:
            continue
        first = seen.setdefault((row.name, row.time), line)
        if first != line:
            faults.append(f"line {line}: line {first} is about the same stay or prediction.")
        found.rows.setdefault(row.name, []).append(row)
    return found


def _tasks(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if name == _COLUMN:
            yield FIRST_TASK
        elif name.startswith(_PREFIX):
            yield name.removeprefix(_PREFIX)


def _header_faults(names: Sequence[str]) -> Iterator[str]:
    keys = [name for name in ("patient_id", "prediction_id") if name in names]
    expected = (
        "expected patient_id, time and outcome, or prediction_id and outcome"
        " (or outcome_<task> for each of several tasks)"
    )
    if len(keys) != 1 or not list(_tasks(names)):
        yield f"line 1: columns are missing or too many; {expected}."
        return
    if keys == ["patient_id"] and "time" not in names:
        yield f"line 1: the column time is missing; {expected}."
    for position, name in enumerate(names, start=1):
        if name not in (*keys, "time", _COLUMN) and not name.startswith(_PREFIX):
            yield f"line 1: column {position} has an unknown name; {expected}."
        elif names.index(name) != position - 1:
            yield f"line 1: the column {name} stands there twice."


def _row(line: int, cells: Mapping[str, str], found: Outcomes, faults: list[str]) -> Outcome | None:
    before = len(faults)

    def fault(column: str, expected: str) -> None:
        faults.append(f"line {line}, column {column}: expected {expected}.")

    key = "patient_id" if found.by_patient else "prediction_id"
    name = cells[key].removeprefix("Patient/")
    if not _ID.fullmatch(name):
        fault(key, "the id of a Patient" if found.by_patient else "a card's uuid or hookInstance")
    time = time_of(cells.get("time", ""))
    if time is None and (found.by_patient or cells.get("time")):
        fault("time", "a time with its offset, such as 2026-11-23T07:40:00+01:00")
    known: dict[str, int] = {}
    for task in found.tasks:
        column = f"{_PREFIX}{task}" if task else _COLUMN
        cell = cells[column]
        if cell in _OUTCOMES:
            known[task] = _OUTCOMES[cell]
        elif cell or len(found.tasks) == 1:
            fault(column, "0 or 1" if len(found.tasks) == 1 else "0, 1, or nothing if not known")
    if len(faults) == before and not known:
        faults.append(f"line {line}: no outcome is known; leave the row out.")
    if len(faults) > before:
        return None
    return Outcome(line, name, time if found.by_patient else None, known)
