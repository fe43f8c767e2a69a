"""The tables of eICU-CRD as they lie in a folder: which are there, and their rows by stay."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

from fhir_adapters.datasets.labelled import DataSetError

# Tables that a full download has and that read_eicu uses.
USED_TABLES = (
    "admissionDx",
    "apacheApsVar",
    "apachePatientResult",
    "carePlanGeneral",
    "diagnosis",
    "intakeOutput",
    "lab",
    "note",
    "nurseAssessment",
    "nurseCharting",
    "pastHistory",
    "patient",
    "physicalExam",
    "respiratoryCharting",
    "treatment",
    "vitalAperiodic",
    "vitalPeriodic",
)


class Row(NamedTuple):
    """One row of a table; times in minutes from unit admission."""

    effective: int  # when it was true of the patient
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EicuTables:
    """The folder of a download; table files are ``name.csv.gz`` or ``name.csv`` in any case."""

    files: Mapping[str, Path]  # lower-case table name -> file

    @classmethod
    def in_directory(cls, directory: Path) -> EicuTables:
        """List the table files. Raises FileNotFoundError where the patient table is missing."""
        files = {
            path.name.lower().removesuffix(".gz").removesuffix(".csv"): path
            for path in sorted(directory.iterdir())
            if path.name.lower().endswith((".csv", ".csv.gz"))
        }
        if "patient" not in files:
            raise FileNotFoundError(f"no patient table of eICU-CRD in {directory.name}")
        return cls(files)

    def missing(self) -> tuple[str, ...]:
        """Return the names of used tables that are not in the folder."""
        return tuple(name for name in USED_TABLES if name.lower() not in self.files)

    def read(self, table: str) -> Iterator[Mapping[str, str]]:
        """Yield the rows of a table, none where the table is missing (see ``missing``)."""
        path = self.files.get(table.lower())
        if path is None:
            return
        with _open_text(path) as lines:
            yield from csv.DictReader(lines)

    def by_stay(
        self,
        table: str,
        stays: Set[str],
        *,
        effective: str,
        entered: str | None = None,
        last_minute: float,
    ) -> dict[str, list[Row]]:
        """Return rows that were known at ``last_minute``, in time order, by stay.

        A row is known from its effective or its entered time, whichever is later.
        """
        rows: dict[str, list[Row]] = {}
        for cells in self.read(table):
            stay = _cell(table, cells, "patientunitstayid")
            if stay not in stays:
                continue
            minute = int(_cell(table, cells, effective))
            known = minute if entered is None else max(minute, int(_cell(table, cells, entered)))
            if known <= last_minute:
                rows.setdefault(stay, []).append(Row(minute, cells))
        for of_stay in rows.values():
            of_stay.sort(key=lambda row: row.effective)
        return rows

    def by_stay_when_entered(
        self, table: str, stays: Set[str], *, columns: tuple[str, ...], last_minute: float
    ) -> dict[str, list[Row]]:
        """Return rows dated by the latest of their time columns: that is when a text was there."""
        rows: dict[str, list[Row]] = {}
        for cells in self.read(table):
            stay = _cell(table, cells, "patientunitstayid")
            if stay not in stays:
                continue
            minute = max(int(_cell(table, cells, column)) for column in columns)
            if minute <= last_minute:
                rows.setdefault(stay, []).append(Row(minute, cells))
        for of_stay in rows.values():
            of_stay.sort(key=lambda row: row.effective)
        return rows


def missing_tables(directory: Path) -> tuple[str, ...]:
    """Return the tables that ``read_eicu`` would use and that are not in ``directory``."""
    return EicuTables.in_directory(directory).missing()


def number(text: str | None) -> float | None:
    """Return the number that a cell holds; ``None`` for empty, words and -1 (eICU's missing)."""
    if not text:
        return None
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        return None
    return None if value == -1 else value


def _cell(table: str, cells: Mapping[str, str], column: str) -> str:
    try:
        return cells[column]
    except KeyError as exc:
        raise DataSetError(f"table {table} has no column {column}") from exc


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            yield lines
    else:
        with path.open(encoding="utf-8", newline="") as lines:
            yield lines
