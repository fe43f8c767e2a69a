"""``meam evaluate --bulk``: a checkpoint on a site's patients whose outcomes are known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("torch", reason="the extra 'train' is not installed")

from cds_hooks.cli import main
from cds_hooks.train_command import CHECKPOINT
from fhir_adapters.bulk import write_bulk
from fhir_adapters.record_builder import build_record
from model.predictor import load_predictor
from model.training.metrics import auroc, bootstrap, bootstrap_groups, brier
from tests.cds_hooks.site_export import CSV_HEAD, NOW, dies, label_line, site_chart, site_charts

COUNT = 24
TASK = "in_hospital_death"


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    write_bulk(site_charts(COUNT), folder)
    return folder


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def measured(export: Path, folder: Path, lines: str) -> dict[str, Any]:
    (folder / "labels.csv").write_text(lines)
    result = run(
        *("evaluate", "--bulk", export, "--labels", folder / "labels.csv"),
        *("--report", folder / "report"),
    )
    assert result.exit_code == 0, result.output
    assert "95 % bootstrap over groups" in result.stderr
    document: dict[str, Any] = json.loads((folder / "report/site-evaluation.json").read_text())
    return document


def test_the_figures_are_those_of_what_the_service_says(export: Path, tmp_path: Path) -> None:
    too_early = (NOW - timedelta(days=900)).isoformat()
    document = measured(
        export,
        tmp_path,
        CSV_HEAD
        + "".join(map(label_line, range(COUNT)))
        + f"nobody,,{NOW.isoformat()},1\nsite-3,,{too_early},1\n",
    )
    predictor = load_predictor(CHECKPOINT)
    said = np.array(
        [predictor(build_record(site_chart(n), NOW))[0].tasks[0].probability for n in range(COUNT)]
    )
    seen = np.array([float(dies(n)) for n in range(COUNT)])
    figures = document["tasks"][TASK]
    assert (figures["n"], figures["events"]) == (COUNT, int(seen.sum()))
    assert figures["auroc"][0] == pytest.approx(auroc(seen, said), abs=1e-4)
    assert figures["brier"][0] == pytest.approx(brier(seen, said), abs=1e-4)
    assert figures["brier"][1] < figures["brier"][0] < figures["brier"][2]
    assert document["rows"] == COUNT + 2
    assert document["left_out"] == {"not-in-export": 1, "no-data": 1}


def test_a_prediction_is_the_same_without_its_explanation() -> None:
    predictor = load_predictor(CHECKPOINT)
    record = build_record(site_chart(0), NOW)
    alone, (prediction, _) = predictor.predict(record), predictor(record)
    assert alone.applicability == prediction.applicability
    assert alone.tasks == prediction.tasks


def test_rows_to_which_the_model_does_not_apply_are_counted(tmp_path: Path) -> None:
    charts = list(site_charts(9))
    young = [
        {**one, "birthDate": "2020-01-01"} if one["resourceType"] == "Patient" else one
        for one in charts[3].resources
    ]
    charts[3] = replace(charts[3], resources=tuple(young))
    write_bulk(charts, tmp_path / "export")
    lines = CSV_HEAD + "".join(map(label_line, range(9)))
    document = measured(tmp_path / "export", tmp_path, lines)
    assert (document["tasks"][TASK]["n"], document["tasks"][TASK]["events"]) == (8, 2)
    assert sum(document["not_applicable"].values()) == 1


def test_outcomes_of_one_class_have_no_auroc(export: Path, tmp_path: Path) -> None:
    lines = CSV_HEAD + "".join(label_line(n) for n in range(COUNT) if not dies(n))
    figures = measured(export, tmp_path, lines)["tasks"][TASK]
    assert figures["events"] == 0
    assert figures["auroc"] is figures["calibration_slope"] is None
    assert figures["brier"] is not None


def test_a_task_that_the_checkpoint_lacks_is_refused(export: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(f"patient_id,prediction_time,outcome_fall\nsite-1,{NOW.isoformat()},1\n")
    result = run("evaluate", "--bulk", export, "--labels", labels, "--report", tmp_path)
    assert result.exit_code == 1
    assert "has outcomes of fall;" in result.stderr
    assert f"predicts {TASK}." in result.stderr


def test_one_source_is_named(export: Path, tmp_path: Path) -> None:
    for arguments in (
        (),
        ("--bulk", export),
        ("--data", tmp_path, "--bulk", export, "--labels", tmp_path / "labels.csv"),
        ("--bulk", export, "--labels", tmp_path / "labels.csv", "--card-only"),
        ("--data", tmp_path, "--labels", tmp_path / "labels.csv"),
    ):
        result = run("evaluate", *arguments)
        assert result.exit_code == 2
        assert "Name --data, or --bulk with --labels." in result.stderr


def test_rows_of_one_patient_do_not_narrow_the_interval() -> None:
    """Twenty rows a patient hold what one does."""
    generator = np.random.default_rng(0)
    said = generator.uniform(0.05, 0.95, 60)
    seen = (generator.random(60) < said).astype(float)
    once = bootstrap(brier, seen, said, groups=np.arange(60).astype(str))
    names = np.repeat(np.arange(60).astype(str), 20)
    often = bootstrap(brier, np.repeat(seen, 20), np.repeat(said, 20), groups=names)
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.15)
    (rows,) = bootstrap_groups(names, 1, seed=0)
    assert len(rows) == 1200
    counts = np.bincount(rows, minlength=1200).reshape(60, 20)
    assert (counts == counts[:, :1]).all()
