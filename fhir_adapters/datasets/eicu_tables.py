"""The tables of eICU-CRD as they lie in a folder: which are there, and their rows by stay."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

from fhir_adapters.errors import DataSetError

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

    effective: int  # when it was true of the patient; for a text, when it was there to read
    cells: Mapping[str, str]
    entered: int | None = None  # when it was entered, where that was later


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
        columns = (effective,) if entered is None else (effective, entered)
        rows: dict[str, list[Row]] = {}
        for stay, minutes, cells in self._rows_of(table, stays, columns):
            known = max(minutes)
            if known <= last_minute:
                later = known if known > minutes[0] else None
                rows.setdefault(stay, []).append(Row(minutes[0], cells, later))
        return _in_time_order(rows)

    def by_stay_when_entered(
        self, table: str, stays: Set[str], *, columns: tuple[str, ...], last_minute: float
    ) -> dict[str, list[Row]]:
        """Return rows dated by the latest of their time columns: that is when a text was there."""
        rows: dict[str, list[Row]] = {}
        for stay, minutes, cells in self._rows_of(table, stays, columns):
            if max(minutes) <= last_minute:
                rows.setdefault(stay, []).append(Row(max(minutes), cells))
        return _in_time_order(rows)

    def _rows_of(
        self, table: str, stays: Set[str], time_columns: tuple[str, ...]
    ) -> Iterator[tuple[str, list[int], Mapping[str, str]]]:
        """Yield stay, times and cells of the chosen stays' rows; a missing table has none."""
        path = self.files.get(table.lower())
        if path is None:
            return
        with _open_text(path) as lines:
            reader = csv.reader(lines)
            header = next(reader, [])
            stay_at = _position(table, header, "patientunitstayid")
            times_at = [_position(table, header, column) for column in time_columns]
            for line in reader:
                if len(line) != len(header):
                    raise DataSetError(
                        f"table {table}, line {reader.line_num}: {len(line)} cells where the "
                        f"header has {len(header)}"
                    )
                if line[stay_at] in stays:
                    minutes = [int(line[at]) for at in times_at]
                    yield line[stay_at], minutes, dict(zip(header, line, strict=True))


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


def _in_time_order(rows: dict[str, list[Row]]) -> dict[str, list[Row]]:
    for of_stay in rows.values():
        of_stay.sort(key=lambda row: row.effective)
    return rows


def _position(table: str, header: list[str], column: str) -> int:
    try:
        return header.index(column)
    except ValueError as exc:
        raise DataSetError(f"table {table} has no column {column}") from exc


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            yield lines
    else:
        with path.open(encoding="utf-8", newline="") as lines:
            yield lines
