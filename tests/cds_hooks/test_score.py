"""``meam score``: every patient once, whatever happens on the way."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.riskassessment import RiskAssessment

from cds_hooks.cli import main
from cds_hooks.errors import ResultsUnusable
from cds_hooks.score_command import score_with
from cds_hooks.score_tally import Tally
from fhir_adapters.bulk import write_bulk
from fhir_adapters.errors import FhirNotFound
from model.checkpoint import load_checkpoint
from model.predictor import Predictor
from tests.cds_hooks.site_export import NOW, site_chart, site_charts
from tests.model import worlds

COUNT = 24
KILLED_COUNT = 90
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = worlds.population()
    folder = tmp_path_factory.mktemp("checkpoint") / "small"
    return worlds.write_checkpoint(folder, worlds.random_network(records), worlds.rules(records))


@pytest.fixture(scope="module")
def predictor(checkpoint: Path) -> Predictor:
    return Predictor(load_checkpoint(checkpoint), worlds.HashEncoder(), threads=1)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    write_bulk(site_charts(COUNT), folder, compress=True, lines_per_file=200)
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def subjects(path: Path) -> list[str]:
    return [line["subject"]["reference"] for line in lines(path)]


def add_line(export: Path, name: str, resource: dict[str, Any]) -> None:
    with (export / name).open("a", encoding="utf-8") as file:
        file.write(json.dumps(resource) + "\n")


def test_every_patient_has_one_valid_line(
    predictor: Predictor, export: Path, tmp_path: Path
) -> None:
    results, rest = tmp_path / "r.ndjson", tmp_path / "l.ndjson"
    tally = score_with(predictor, export, results, rest, NOW)
    assert (tally.patients, tally.scored) == (COUNT, COUNT)
    assert sorted(subjects(results)) == sorted(f"Patient/site-{n}" for n in range(COUNT))
    for line in lines(results):
        RiskAssessment.model_validate(line)
        assert line["status"] == "final"
        assert line["occurrenceDateTime"] == NOW.isoformat()
        assert 0 < line["prediction"][0]["probabilityDecimal"] < 100
        assert line["basis"]
    assert lines(rest) == []
    assert results.stat().st_mode & 0o077 == 0  # nobody else reads patients' risks


def test_what_cannot_be_scored_is_named_and_counted(predictor: Predictor, tmp_path: Path) -> None:
    export = tmp_path / "export"
    write_bulk(site_charts(3), export)
    child = {"resourceType": "Patient", "id": "child", "birthDate": "2020-01-01"}
    add_line(export, "Patient.000.ndjson", child)
    dstu2 = {"resourceType": "Encounter", "id": "old", "status": "in-progress",
             "patient": {"reference": "Patient/site-1"}, "class": "inpatient"}  # fmt: skip
    add_line(export, "Encounter.000.ndjson", dstu2)
    add_line(export, "Observation.000.ndjson", {"resourceType": "Observation", "id": "nobody's"})
    results, rest = tmp_path / "r.ndjson", tmp_path / "l.ndjson"
    tally = score_with(predictor, export, results, rest, NOW)
    assert tally.scored == 2
    assert tally.not_applicable == Counter({"The model is for adults": 1})
    assert tally.left_out == Counter({"unsupported-version": 1})
    assert tally.remarks == Counter({"no-patient": 1})
    (cancelled,) = [line for line in lines(results) if line["status"] == "cancelled"]
    assert cancelled["subject"] == {"reference": "Patient/child"}
    assert "prediction" not in cancelled
    RiskAssessment.model_validate(cancelled)
    for line in lines(rest):
        OperationOutcome.model_validate(line)
    (failed,) = [line for line in lines(rest) if line["issue"][0]["severity"] == "error"]
    assert failed["issue"][0]["diagnostics"] == "Patient/site-1"
    assert "Encounter/old" in failed["issue"][0]["details"]["text"]
    again = score_with(predictor, export, results, rest, NOW)
    assert len(lines(rest)) == 2  # the export's own faults are written once
    assert (again.patients, again.from_earlier_run) == (4, 4)


def test_last_is_the_moment_of_each_patients_newest_data(
    predictor: Predictor, tmp_path: Path
) -> None:
    export = tmp_path / "export"
    write_bulk([site_chart(1)], export)
    add_line(export, "Patient.000.ndjson", {"resourceType": "Patient", "id": "empty"})
    results, rest = tmp_path / "r.ndjson", tmp_path / "l.ndjson"
    tally = score_with(predictor, export, results, rest, "last")
    (line,) = lines(results)
    assert line["occurrenceDateTime"] == NOW.isoformat()
    assert tally.left_out == Counter({"no-data": 1})


def test_a_rerun_goes_on_with_the_moment_of_the_first_run(
    predictor: Predictor, tmp_path: Path
) -> None:
    export, results, rest = (tmp_path / name for name in ("export", "r.ndjson", "l.ndjson"))
    write_bulk(site_charts(2), export)
    score_with(predictor, export, results, rest)
    run_file = tmp_path / "r.ndjson.run.json"
    terms = json.loads(run_file.read_text())
    terms["started"] = (NOW + timedelta(hours=1)).isoformat()
    run_file.write_text(json.dumps(terms))
    write_bulk([site_chart(7)], export / "later")
    tally = score_with(predictor, export, results, rest)
    assert (tally.patients, tally.from_earlier_run) == (3, 2)
    assert lines(results)[-1]["occurrenceDateTime"] == terms["started"]


def test_a_line_that_broke_off_is_done_again(
    predictor: Predictor, export: Path, tmp_path: Path
) -> None:
    results, rest = tmp_path / "r.ndjson", tmp_path / "l.ndjson"
    score_with(predictor, export, results, rest, NOW)
    whole = results.read_bytes()
    results.write_bytes(whole[:-100])
    tally = score_with(predictor, export, results, rest, NOW)
    assert tally.from_earlier_run == COUNT - 1
    assert results.read_bytes() == whole


def test_another_model_time_or_file_is_refused(
    predictor: Predictor, export: Path, tmp_path: Path
) -> None:
    results, rest = tmp_path / "r.ndjson", tmp_path / "l.ndjson"
    score_with(predictor, export, results, rest, NOW)
    before = results.read_bytes()
    with pytest.raises(ResultsUnusable, match="begun with the prediction time 2026-03-04"):
        score_with(predictor, export, results, rest, "last")
    with pytest.raises(ResultsUnusable, match=r"what was left out stands in l\.ndjson"):
        score_with(predictor, export, results, tmp_path / "other.ndjson", NOW)
    run_file = tmp_path / "r.ndjson.run.json"
    terms = run_file.read_text()
    run_file.write_text(terms.replace('"weights_sha256": "', '"weights_sha256": "0'))
    with pytest.raises(ResultsUnusable, match="or with other weights"):
        score_with(predictor, export, results, rest, NOW)
    run_file.write_text("{}")
    with pytest.raises(ResultsUnusable, match="is not what this command wrote"):
        score_with(predictor, export, results, rest, NOW)
    run_file.unlink()
    with pytest.raises(ResultsUnusable, match="no earlier run of this command wrote it"):
        score_with(predictor, export, results, rest, NOW)
    run_file.write_text(terms)
    with pytest.raises(ResultsUnusable, match="needed for something else of this run"):
        score_with(predictor, export, results, results, NOW)
    assert results.read_bytes() == before
    results.write_bytes(b"a line of somebody else\n" + before)
    with pytest.raises(ResultsUnusable, match="line 1, is no RiskAssessment"):
        score_with(predictor, export, results, rest, NOW)


def test_results_do_not_go_into_the_export(
    predictor: Predictor, export: Path, tmp_path: Path
) -> None:
    with pytest.raises(ResultsUnusable, match="lies in the export"):
        score_with(predictor, export, tmp_path / "r.ndjson", export / "deep" / "l.ndjson", NOW)


def test_two_runs_do_not_write_the_same_file(
    predictor: Predictor, export: Path, tmp_path: Path
) -> None:
    results, rest = tmp_path / "r.ndjson", tmp_path / "l.ndjson"
    with (tmp_path / "r.ndjson.run.json").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ResultsUnusable, match="Another run is writing"):
            score_with(predictor, export, results, rest, NOW)


def test_a_run_that_wrote_nothing_binds_nobody(
    predictor: Predictor, export: Path, tmp_path: Path
) -> None:
    results, rest = tmp_path / "r.ndjson", tmp_path / "l.ndjson"
    with pytest.raises(FhirNotFound):
        score_with(predictor, tmp_path / "nowhere", results, rest, "last")
    assert score_with(predictor, export, results, rest, NOW).scored == COUNT


@pytest.fixture(scope="module")
def larger_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("larger")
    write_bulk(site_charts(KILLED_COUNT), folder)
    return folder


def process(
    checkpoint: Path, export: Path, folder: Path, kill_at: int = -1
) -> subprocess.CompletedProcess[str]:
    names = [checkpoint, export, folder / "r.ndjson", folder / "l.ndjson"]
    command = [sys.executable, "-m", "tests.cds_hooks.score_process", *map(str, names)]
    return subprocess.run(
        [*command, str(kill_at), "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_killed_run_loses_no_patient_and_writes_none_twice(
    checkpoint: Path, larger_export: Path, tmp_path: Path
) -> None:
    results = tmp_path / "r.ndjson"
    written = []
    for kill_at in (40, 75):
        ended = process(checkpoint, larger_export, tmp_path, kill_at)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        written.append(results.read_bytes().count(b"\n"))
    assert (tmp_path / "r.ndjson.work").exists()  # beside the results, not in the system's folder
    assert 0 < written[0] < written[1] < KILLED_COUNT
    assert process(checkpoint, larger_export, tmp_path).returncode == 0
    assert sorted(subjects(results)) == sorted(f"Patient/site-{n}" for n in range(KILLED_COUNT))
    assert {line["occurrenceDateTime"] for line in lines(results)} == {NOW.isoformat()}
    names = ["l.ndjson", "r.ndjson", "r.ndjson.run.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_with_the_number_of_patients(checkpoint: Path, tmp_path: Path) -> None:
    export = tmp_path / "export"
    write_bulk(site_charts(250), export)
    ended = process(checkpoint, export, tmp_path)
    assert ended.returncode == 0, ended.stderr
    resident_mb = [float(line) for line in ended.stdout.split()]
    assert len(resident_mb) == 6
    assert max(resident_mb[2:]) - resident_mb[1] < 15, resident_mb


def test_the_summary_counts_by_reason() -> None:
    tally = Tally(scored=3, from_earlier_run=2)
    tally.not_applicable["Too little data"] = 2
    tally.left_out["wrong-patient"] = 1
    rows = list(zip(*(column.cells for column in tally.table().columns), strict=True))
    assert rows == [
        ("all", "6"),
        ("scored", "3"),
        ("not applicable", "2"),
        ("  Too little data", "2"),
        ("failed", "1"),
        ("  wrong-patient", "1"),
    ]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_scores_with_the_shipped_model(in_folder: Path) -> None:
    write_bulk(site_charts(2), in_folder / "export")
    result = run("score", "--bulk", "export", "--prediction-time", "last")
    assert result.exit_code == 0, result.output
    assert "scored" in result.stderr
    found = subjects(in_folder / "risk-assessments.ndjson")
    assert sorted(found) == ["Patient/site-0", "Patient/site-1"]
    again = run("score", "--bulk", "export", "--prediction-time", "last")
    assert "2 of them are of an earlier run." in again.stderr


def test_the_command_says_what_is_wrong(in_folder: Path) -> None:
    (in_folder / "export").mkdir()
    result = run("score", "--bulk", "export")
    assert result.exit_code == 1
    assert "holds no .ndjson or .ndjson.gz file" in result.stderr
    result = run("score", "--bulk", "export", "--prediction-time", "2026-03-04")
    assert result.exit_code == 2
    assert "a time with its offset" in result.stderr
