"""The results of ``meam score`` as a Parquet table: a row for each patient and task.

It is made from the finished NDJSON files, which are what a run goes on from, some thousand rows at
a time. Who has no estimate has a row without one, with the reason. Needs the extra "score".
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cds_hooks.errors import CommandError, ResultsUnusable
from cds_hooks.growing_file import Json, read_resources
from cds_hooks.score_files import is_patient, reason_of
from cds_hooks.score_tally import kind_of_reason

if TYPE_CHECKING:
    import polars as pl

ROWS_A_GROUP = 20_000
Row = tuple[Any, ...]
COLUMNS = (
    "patient_id",
    "encounter_id",
    "prediction_time",
    "status",  # final, cancelled: not applicable, failed
    "outcome",
    "probability",  # 0 to 1, unlike probabilityDecimal, a percentage
    "risk_group",
    "reason",  # why there is no estimate
    "rationale",
    "model",
    "risk_assessment_id",
)


class ParquetUnavailable(CommandError):
    """The library that writes Parquet is not installed."""


def require_parquet() -> None:
    """Raise ParquetUnavailable before hours of work rather than after them."""
    if importlib.util.find_spec("polars") is None:
        raise ParquetUnavailable(
            "--parquet needs the extra \"score\": pip install -c constraints.txt '.[score]'"
        )


def write_parquet(path: Path, results: Path, left_out: Path, *, patients: int) -> None:
    """Write the table of two finished files; it appears whole or not at all.

    Raises ResultsUnusable, also if the files do not hold this number of patients.
    """
    import polars as pl
    from polars.io.plugins import register_io_source

    schema, found = _schema(), [0]

    def groups(
        columns: list[str] | None, _filter: pl.Expr | None, limit: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        group: list[Row] = []
        for rows in _by_patient(results, left_out):
            found[0] += 1
            group += rows
            if len(group) >= ROWS_A_GROUP:
                yield pl.DataFrame(group, schema=schema, orient="row")
                group = []
        yield pl.DataFrame(group, schema=schema, orient="row")

    unfinished = path.with_name(f"{path.name}.part")
    try:
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        table = register_io_source(groups, schema=schema)
        table.sink_parquet(unfinished, row_group_size=ROWS_A_GROUP, maintain_order=True)
        if found[0] != patients:
            raise ResultsUnusable(f"{results} and {left_out} were changed while they were read.")
        unfinished.replace(path)
    except OSError as exc:
        raise ResultsUnusable(f"{path} cannot be written: {exc.strerror}.") from exc


def _schema() -> pl.Schema:
    import polars as pl

    types = {"prediction_time": pl.Datetime("us", "UTC"), "probability": pl.Float64()}
    return pl.Schema({name: types.get(name, pl.String()) for name in COLUMNS})


def _by_patient(results: Path, left_out: Path) -> Iterator[list[Row]]:
    for line in read_resources(results):
        yield list(_of_assessment(line))
    for line in read_resources(left_out):
        if is_patient(line):
            about = line["issue"][0]["diagnostics"]
            yield [_row(patient_id=about, status="failed", reason=reason_of(line))]


def _of_assessment(line: Json) -> Iterator[Row]:
    about = {
        "patient_id": line["subject"]["reference"],
        "encounter_id": line.get("encounter", {}).get("reference"),
        "prediction_time": datetime.fromisoformat(line["occurrenceDateTime"]),
        "status": line["status"],
        "model": line["method"]["text"],
        "risk_assessment_id": line["id"],
    }
    if "prediction" not in line:
        yield _row(**about, reason=kind_of_reason(line))
    for task in line.get("prediction", ()):
        yield _row(
            **about,
            outcome=task["outcome"]["text"],
            probability=task["probabilityDecimal"] / 100,
            risk_group=task["qualitativeRisk"]["text"].partition(",")[0],
            rationale=task["rationale"],
        )


def _row(**values: Any) -> Row:
    for name in ("patient_id", "encounter_id"):  # "Patient/1": the id alone joins other tables
        if values.get(name):
            values[name] = values[name].partition("/")[2]
    return tuple(values.get(name) for name in COLUMNS)
