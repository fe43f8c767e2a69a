"""``meam audit`` and ``meam ablate`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cds_hooks.ablate_command import AblationPlan, _planted
from cds_hooks.audit_records import export_records, open_data_records, sample_records
from cds_hooks.cli import main
from cds_hooks.errors import ResultsUnusable
from cds_hooks.train_command import DataMissing

pytest.importorskip("torch", reason="the extra 'train' is not installed")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_shipped_checkpoint_is_audited_on_sample_patients(tmp_path):
    result = run("audit", "--quick", "--records", "1", "--output", tmp_path)
    document = json.loads((tmp_path / "audit.json").read_text())
    assert result.exit_code == (0 if document["passed"] else 1), result.output
    lines = {line["figure"]: line for line in document["lines"]}
    for exact in ("gap_logit", "null_token_logit", "dummy_player_logit", "onnx_torch_logit"):
        assert lines[exact]["verdict"] == "pass", lines[exact]
    assert lines["lime_difference_share"]["verdict"] == "pass"
    assert "<svg" in (tmp_path / "audit.html").read_text()


def test_an_audit_has_one_source(tmp_path):
    result = run("audit", "--data", tmp_path, "--bulk", tmp_path)
    assert "Name either --data or --bulk." in result.stderr


def test_an_audit_says_which_checkpoint_is_missing(tmp_path):
    result = run("audit", tmp_path / "none", "--output", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {tmp_path}/none: there is no such checkpoint folder")


def test_an_unknown_arm_is_one_sentence(tmp_path):
    result = run("ablate", "--arms", "nothing", "--output", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: There is no arm 'nothing'; the arms are:")


def test_sample_patients_go_round_with_further_seeds():
    records = sample_records(9)
    assert records[0].demographics.source == records[8].demographics.source
    first, ninth = ([m.value for m in record.measurements] for record in (records[0], records[8]))
    assert first != ninth


def test_open_data_that_are_not_there_are_named(tmp_path):
    with pytest.raises(DataMissing, match="holds neither physionet2012 nor eicu-crd-demo"):
        open_data_records(tmp_path, 2)


def test_an_export_without_patients_is_refused(tmp_path):
    (tmp_path / "empty.ndjson").write_text("")
    with pytest.raises(ResultsUnusable, match="holds no patient whose chart can be read"):
        export_records(tmp_path, 2)


@pytest.mark.parametrize("command", [("audit", "--quick", "--records", "1"), ("ablate",)])
def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path, command):
    (tmp_path / "file").write_text("")
    result = run(*command, "--output", tmp_path / "file" / "report")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {tmp_path}/file/report")
    assert result.stderr.endswith(": Not a directory.\n")


def test_a_damaged_data_set_is_one_sentence(tmp_path):
    folder = tmp_path / "physionet2012"
    folder.mkdir()
    for name in "ab":
        (folder / f"Outcomes-{name}.txt").write_text("RecordID,SAPS-I,SOFA,In-hospital_death\n")
        (folder / f"set-{name}.tar.gz").write_bytes(b"no archive")
    result = run("audit", "--data", tmp_path, "--output", tmp_path / "report")
    assert result.exit_code == 1
    assert f"Error: {folder}/set-b.tar.gz: not a whole archive" in result.stderr


def test_no_more_stays_are_explained_than_are_tested():
    plan = AblationPlan(Path("unused"), stays=20, test_stays=3, explained=40)
    assert _planted(plan).explained == 3
