"""What ``meam score`` leaves behind beside the results: table, summary, exit code, progress."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from cds_hooks import score_parquet
from cds_hooks.cli import main
from cds_hooks.errors import ResultsUnusable
from cds_hooks.export_progress import ProgressLines
from cds_hooks.score_command import score_with
from cds_hooks.score_parquet import ParquetUnavailable, write_parquet
from fhir_adapters import bulk_export
from fhir_adapters.bulk import BulkProgress, write_bulk
from model.predictor import Predictor
from tests.cds_hooks.score_kill_run import ROOT
from tests.cds_hooks.score_world import lines, small_predictor, subjects, write_small_checkpoint
from tests.cds_hooks.site_export import NOW, site_chart, site_charts

COUNT = 12


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return small_predictor(write_small_checkpoint(tmp_path_factory.mktemp("checkpoint") / "small"))


@pytest.fixture
def export(tmp_path: Path) -> Path:
    write_bulk(site_charts(COUNT), tmp_path / "export")
    return tmp_path / "export"


def add_line(export: Path, name: str, content: str) -> None:
    with (export / name).open("a", encoding="utf-8") as file:
        file.write(content + "\n")


def add_faults(export: Path) -> None:
    """A child, whom the model is not for; a patient without any data; a line that is no JSON."""
    child = {"resourceType": "Patient", "id": "child", "birthDate": "2020-01-01"}
    pulse = {
        "resourceType": "Observation",
        "id": "childs-pulse",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": "Patient/child"},
        "effectiveDateTime": (NOW - timedelta(hours=1)).isoformat(),
        "valueQuantity": {"value": 110, "unit": "/min", "code": "/min"},
    }
    add_line(export, "Patient.000.ndjson", json.dumps(child))
    add_line(export, "Observation.000.ndjson", json.dumps(pulse))
    add_line(export, "Patient.000.ndjson", json.dumps({"resourceType": "Patient", "id": "empty"}))
    add_line(export, "Observation.000.ndjson", '{"resourceType": "Observation", "id": ')


def test_the_table_has_a_row_for_every_patient(
    predictor: Predictor, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_parquet, "ROWS_A_GROUP", 5)
    add_faults(export)
    table, results = tmp_path / "t.parquet", tmp_path / "r"
    score_with(predictor, export, results, tmp_path / "l", "last", parquet=table)
    rows = pl.read_parquet(table).sort("patient_id")
    assert rows.columns == list(score_parquet.COLUMNS)
    assert rows["patient_id"].n_unique() == len(rows) == COUNT + 2
    assert table.stat().st_mode & 0o077 == 0
    by_patient = {row["patient_id"]: row for row in rows.to_dicts()}
    assert by_patient["child"]["status"] == "cancelled"
    assert by_patient["child"]["reason"] == "The model is for adults"
    assert by_patient["empty"]["status"] == "failed"
    assert by_patient["empty"]["reason"] == "no-data"
    for line in lines(results):
        row = by_patient[line["subject"]["reference"].removeprefix("Patient/")]
        assert row["prediction_time"].isoformat() == line["occurrenceDateTime"]
        assert row["risk_assessment_id"] == line["id"]
        if line["status"] == "final":
            percentage = line["prediction"][0]["probabilityDecimal"]
            assert row["probability"] == pytest.approx(percentage / 100)
            assert row["encounter_id"] == f"{row['patient_id']}-stay"


def test_a_table_of_other_files_is_not_written(
    predictor: Predictor, export: Path, tmp_path: Path
) -> None:
    results, rest = tmp_path / "r", tmp_path / "l"
    score_with(predictor, export, results, rest, NOW)
    with pytest.raises(ResultsUnusable, match="were changed while they were read"):
        write_parquet(tmp_path / "t.parquet", results, rest, patients=COUNT + 1)
    assert not (tmp_path / "t.parquet").exists()


def test_without_the_library_nothing_is_begun(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_parquet.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ParquetUnavailable, match='needs the extra "score"'):
        score_parquet.require_parquet()


class Stopped(Exception):
    """Stands in for what ends a run midway."""


def stop_after(patients: int) -> object:
    def watch(progress: BulkProgress) -> None:
        if progress.stage == "reading" and progress.done == patients:
            raise Stopped

    return watch


def test_a_stopped_run_leaves_its_index_for_the_next(
    predictor: Predictor, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_faults(export)
    results, rest, work = tmp_path / "r", tmp_path / "l", tmp_path / "r.work"
    with pytest.raises(Stopped):
        score_with(predictor, export, results, rest, NOW, on_progress=stop_after(5))
    assert work.stat().st_mode & 0o077 == 0
    rest.write_bytes(b"")  # remarks that had not come to the disk are written from the index

    def no_reading(*_: object) -> None:
        raise AssertionError("the export was read again")

    with monkeypatch.context() as patched:
        patched.setattr(bulk_export, "_fill", no_reading)
        with pytest.raises(Stopped):
            score_with(predictor, export, results, rest, NOW, on_progress=stop_after(8))
        tally = score_with(predictor, export, results, rest, NOW)
    assert tally.patients == COUNT + 2
    assert tally.remarks.total() == 1
    assert len(set(subjects(results))) == len(subjects(results))
    assert not work.exists()


def test_an_export_that_grew_is_read_again(
    predictor: Predictor, export: Path, tmp_path: Path
) -> None:
    results, rest = tmp_path / "r", tmp_path / "l"
    with pytest.raises(Stopped):
        score_with(predictor, export, results, rest, NOW, on_progress=stop_after(5))
    write_bulk([site_chart(COUNT + 1)], export / "later")
    assert score_with(predictor, export, results, rest, NOW).patients == COUNT + 1
    add_line(export / "later", "Patient.000.ndjson", "{}")
    with pytest.raises(ResultsUnusable, match=r"later/Patient\.000\.ndjson has changed since"):
        score_with(predictor, export, results, rest, NOW)


@pytest.mark.parametrize("stopped", [True, False])
def test_estimates_of_other_data_are_not_passed_off_as_of_this_export(
    predictor: Predictor, export: Path, tmp_path: Path, stopped: bool
) -> None:
    """The same patients in next month's export: their old estimates were the answer."""
    results, rest = tmp_path / "r", tmp_path / "l"
    with pytest.raises(Stopped) if stopped else nullcontext():
        watch = stop_after(5) if stopped else None
        score_with(predictor, export, results, rest, NOW, on_progress=watch)
    before = results.read_bytes()
    next_month = tmp_path / "next month"
    shutil.copytree(export, next_month)
    text = (next_month / "Observation.000.ndjson").read_text()
    (next_month / "Observation.000.ndjson").write_text(text.replace('"value": 1', '"value": 2'))
    with pytest.raises(ResultsUnusable, match=r"Observation\.000\.ndjson has changed since"):
        score_with(predictor, next_month, results, rest, NOW)
    (next_month / "Observation.000.ndjson").unlink()
    with pytest.raises(ResultsUnusable, match=r"Observation\.000\.ndjson is not in this export"):
        score_with(predictor, next_month, results, rest, NOW)
    assert results.read_bytes() == before


@pytest.mark.parametrize("taken", ["r", "l", "r.run.json", "r.work", "r.summary.json"])
def test_the_table_replaces_no_other_file_of_the_run(
    predictor: Predictor, export: Path, tmp_path: Path, taken: str
) -> None:
    with pytest.raises(ResultsUnusable, match="is needed for something else of this run"):
        score_with(predictor, export, tmp_path / "r", tmp_path / "l", NOW, parquet=tmp_path / taken)
    assert list(tmp_path.glob("r*")) == []


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_faults_and_failed_patients_have_an_exit_code_and_a_summary_without_names(
    export: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.ndjson"
    command = ("score", "--bulk", export, "--output", output, "--prediction-time", "last")
    clean = run(*command, "--workers", "1")
    assert clean.exit_code == 0, clean.output
    faults = export / "later"
    faults.mkdir()
    add_faults(faults)
    result = run(*command, "--workers", "1", "--parquet", tmp_path / "t.parquet")
    assert result.exit_code == 3, result.output
    assert "scoring patients: 14 of 14 (100%)" in result.stderr
    path = tmp_path / "out.summary.json"
    summary = json.loads(path.read_text())
    assert summary["patients"] == {
        "all": COUNT + 2,
        "scored": COUNT,
        "not_applicable": 1,
        "failed": 1,
        "of_earlier_runs": COUNT,
    }
    assert sum(summary["risk_groups"].values()) == COUNT
    assert summary["not_applicable"] == {"The model is for adults": 1}
    assert summary["failed"] == {"no-data": 1}
    assert summary["export_faults"] == {"bad-line": 1}
    assert summary["model"] == "meam-risk 0.1.0"
    assert path.stat().st_mode & 0o077 == 0
    for name in ("site-", "child", "empty", "stay", str(export)):
        assert name not in path.read_text()
    (fault,) = [x for x in lines(tmp_path / "out.left-out.ndjson") if "bad-line" in json.dumps(x)]
    assert "Observation.000.ndjson:" in fault["issue"][0]["diagnostics"]


def test_a_ray_address_without_ray_is_a_mistake(export: Path) -> None:
    result = run("score", "--bulk", export, "--ray-address", "auto")
    assert result.exit_code == 2
    assert "--ray-address belongs to --engine ray" in result.stderr


def test_a_terminated_run_says_so_and_goes_on(export: Path, tmp_path: Path) -> None:
    write_bulk(site_charts(60), export / "more")
    output = tmp_path / "out.ndjson"
    command = [sys.executable, "-m", "cds_hooks.cli", "score", "--bulk", str(export), "--output",
               str(output), "--prediction-time", "last", "--workers", "1"]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not (output.exists() and output.stat().st_size):  # the first 32 are on disk
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "Stopped; the same command goes on from here." in said
    written = len(subjects(output))
    assert 0 < written < 60
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert f"{written} of them are of an earlier run." in ended.stderr
    assert len(set(subjects(output))) == len(subjects(output)) == 60


def test_without_a_terminal_progress_is_a_line_now_and_then() -> None:
    times = iter([0.0, 1.0, 5.0, 10.0, 11.0, 20.0, 21.0])
    console = Console(record=True, file=io.StringIO(), width=100)
    show = ProgressLines(console, "scoring patients", every_s=9, clock=lambda: next(times)).show
    show(BulkProgress("indexing", 0, 2_000_000))
    show(BulkProgress("indexing", 2_000_000, 2_000_000))
    show(BulkProgress("reading", 100, 10_100))
    show(BulkProgress("reading", 150, 10_100))  # too soon
    show(BulkProgress("reading", 160, 10_100))  # too soon
    show(BulkProgress("reading", 400, 10_100))
    show(BulkProgress("reading", 10_100, 10_100))
    assert console.export_text().splitlines() == [
        "reading the export: 0% of 2.0 MB",
        "reading the export: 100% of 2.0 MB",
        "scoring patients: 100 of 10,100 (1%)",
        "scoring patients: 400 of 10,100 (4%), 20.0/s, 0:08:05 left",
        "scoring patients: 10,100 of 10,100 (100%), 625.0/s, 0:00:00 left",
    ]
