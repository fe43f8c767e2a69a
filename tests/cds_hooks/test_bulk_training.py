"""``meam train --bulk``: a site's export and labels become a checkpoint that serves."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from onnx import ModelProto
from rich.console import Console

pytest.importorskip("torch", reason="the extra 'train' is not installed")

from cds_hooks import bulk_training
from cds_hooks.bulk_training import SitePlaces, settings_for, train_from_bulk
from cds_hooks.cli import main
from cds_hooks.errors import ResultsUnusable, TrainingImpossible
from cds_hooks.labelled_records import LeftOut, labelled_records
from cds_hooks.labels import Label
from cds_hooks.train_command import CHECKPOINT, EICU, PHYSIONET
from fhir_adapters.bulk import write_bulk
from fhir_adapters.chart import Chart
from fhir_adapters.record_builder import build_record
from model.errors import CheckpointIncompatible
from model.predictor import load_predictor
from model.training import export as export_module
from model.training.losses import ConsistencySettings
from model.training.network import NetworkConfig
from model.training.settings import TrainingSettings
from tests.cds_hooks.site_export import (
    CSV_HEAD,
    NOW,
    RARE,
    dies,
    label_line,
    site_chart,
    site_charts,
    write_labels,
)

COUNT = 100
SETTINGS = TrainingSettings(
    network=NetworkConfig(
        width=16, heads=2, bins=4, rank=4, latents_per_modality=1, shared_latents=2, feed_forward=16
    ),
    consistency=ConsistencySettings(kl_weight=0, mass_weight=0),
    epochs=20,
    batch_size=8,
    learning_rate=1e-2,
    warm_up_steps=5,
)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    write_bulk(site_charts(COUNT + 5), folder, compress=True)
    return folder


@pytest.fixture
def places(export: Path, tmp_path: Path) -> SitePlaces:
    return SitePlaces(export, write_labels(tmp_path / "labels.csv", COUNT), tmp_path / "model")


def trained(places: SitePlaces, **options: Any) -> str:
    """Train; return what was printed."""
    console = Console(record=True, quiet=False, width=200, file=None, stderr=True)
    train_from_bulk(places, settings=SETTINGS, console=console, **options)
    return console.export_text()


def test_a_site_trains_a_model_of_its_own_that_serves(places: SitePlaces) -> None:
    places.labels.write_text(
        places.labels.read_text()
        + label_line(COUNT, encounter=False)
        + f"nobody,,{NOW.isoformat()},1\n"
        + f"site-{COUNT + 1},other-stay,{NOW.isoformat()},1\n"
        + f"site-{COUNT + 2},,2020-01-01T00:00:00Z,0\n"
    )
    printed = trained(places)
    assert "line 103: its patient is not in the export" in printed
    assert "line 104: its encounter is not in the chart at that time" in printed
    assert "line 105: the chart holds no data up to its prediction time" in printed
    predictor = load_predictor(places.output, threads=1)
    info, tokens = predictor.checkpoint.info, predictor.checkpoint.tokens
    assert info.version.startswith("0.1.0+site.")
    assert info.trained_on.startswith("Trained on this site's own data: 101 rows")
    assert "lactate" in tokens.variable_index
    assert RARE not in tokens.variable_index
    assert [channel.name for channel in tokens.channels] == ["heart_rate"]
    assert (tokens.note_types, tokens.unit_types) == (("Progress note",), ("medical icu",))
    for number in (COUNT + 2, COUNT + 3, COUNT + 4):  # who did not train it
        prediction, explanation = predictor(build_record(site_chart(number), NOW))
        assert (prediction.tasks[0].probability > 0.5) == dies(number)
        assert explanation is not None
        assert explanation.reliable
    assert "site-1" not in (places.output / "training.json").read_text()  # ids stay at the site
    for more in ((), ("--card-only",)):
        result = run("evaluate", "--data", places.output, "--checkpoint", places.output, *more)
        assert result.exit_code == 1
        assert "measure it on patients of your own with --bulk and --labels" in result.stderr
    assert (
        "of the tuning patients, who also stopped and calibrated" in predictor.checkpoint.model_card
    )
    assert "not aligned with\nexplanations" in predictor.checkpoint.model_card  # by SETTINGS
    assert not places.work.exists()


WITHOUT = {
    "device data": lambda resource: "valueSampledData" in resource,
    "notes": lambda resource: resource["resourceType"] == "DocumentReference",
}


def without(chart: Chart, *kinds: str) -> Chart:
    kept = [r for r in chart.resources if not any(WITHOUT[kind](r) for kind in kinds)]
    return replace(chart, resources=tuple(kept))


@pytest.mark.parametrize("kinds", [("device data",), ("device data", "notes")])
def test_a_site_without_device_data_or_notes_gets_a_checkpoint_that_serves(
    tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    write_bulk((without(chart, *kinds) for chart in site_charts(COUNT)), tmp_path / "export")
    labels = write_labels(tmp_path / "labels.csv", COUNT)
    places = SitePlaces(tmp_path / "export", labels, tmp_path / "model")
    trained(places)
    predictor = load_predictor(places.output, threads=1)
    assert predictor.checkpoint.tokens.channels == ()
    assert predictor.checkpoint.normalisation["device"] == {"low": [], "width": []}
    for number in (COUNT + 2, COUNT + 3):
        prediction, _ = predictor(build_record(without(site_chart(number), *kinds), NOW))
        assert (prediction.tasks[0].probability > 0.5) == dies(number)
    prediction, _ = predictor(build_record(site_chart(COUNT + 2), NOW))  # a monitor since then
    assert prediction.tasks[0].probability > 0.5


def test_a_checkpoint_that_cannot_be_loaded_is_not_published(
    places: SitePlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> ModelProto:
        return ModelProto()

    monkeypatch.setattr(export_module, "fuse_graph", broken)
    with pytest.raises(CheckpointIncompatible, match="cannot run a graph of the checkpoint"):
        trained(places)
    assert not places.output.exists()


def test_a_training_that_was_stopped_goes_on(
    places: SitePlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Exception):
        """Stands in for a kill when the tokens are written."""

    def stop(*_: Any, **__: Any) -> None:
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(bulk_training, "_trained", stop)
        with pytest.raises(Stopped):
            trained(places)
    assert places.work.stat().st_mode & 0o077 == 0
    store = places.work / "tokens"
    first = (store / "store.json").stat().st_mtime_ns

    def no_reading(*_: Any, **__: Any) -> None:
        raise AssertionError("the export was read again")

    with monkeypatch.context() as patched:
        patched.setattr(bulk_training, "labelled_records", no_reading)
        patched.setattr(bulk_training, "_trained", stop)
        with pytest.raises(Stopped):
            trained(places)
    assert (store / "store.json").stat().st_mtime_ns == first
    (store / "patch_stats.bin").write_bytes(b"x")
    with pytest.raises(ResultsUnusable, match=r"patch_stats.*Use --fresh"):
        trained(places)
    write_labels(places.labels, 90)  # other labels: other tokens
    with monkeypatch.context() as patched:
        patched.setattr(bulk_training, "_trained", stop)
        with pytest.raises(Stopped):
            trained(places)
    assert (store / "store.json").stat().st_mtime_ns != first


def test_no_folder_is_written_over(places: SitePlaces) -> None:
    places.output.mkdir()
    with pytest.raises(ResultsUnusable, match="exists already and was not changed"):
        trained(places)
    shipped = SitePlaces(places.bulk, places.labels, CHECKPOINT)
    with pytest.raises(ResultsUnusable, match="is the shipped checkpoint"):
        trained(shipped)
    inside = SitePlaces(places.bulk, places.labels, places.bulk / "model")
    with pytest.raises(ResultsUnusable, match="lies in the export"):
        trained(inside)


def test_too_few_outcomes_make_no_model(places: SitePlaces) -> None:
    write_labels(places.labels, 50)
    with pytest.raises(TrainingImpossible, match="50 labelled rows can be used, 17 of them with"):
        trained(places)


def test_groups_that_cannot_be_split_make_no_model(places: SitePlaces) -> None:
    rows = [label_line(n).strip() + f",{'ab'[dies(n)]}\n" for n in range(COUNT)]
    places.labels.write_text(CSV_HEAD.strip() + ",group\n" + "".join(rows))
    with pytest.raises(TrainingImpossible, match="groups cannot be split"):
        trained(places)


def test_settings_fit_the_number_of_rows() -> None:
    shipped = TrainingSettings()
    assert settings_for(5000, shipped) == shipped
    small = settings_for(120, shipped)
    assert (small.batch_size, small.epochs) == (8, 27)
    assert settings_for(120, shipped, keep_epochs=True).epochs == shipped.epochs


def test_a_patient_may_have_several_rows_and_the_chart_is_read_once(
    export: Path, tmp_path: Path
) -> None:
    def label(line: int, hours: int) -> Label:
        return Label(
            line, "site-1", None, NOW.replace(hour=hours), {"in_hospital_death": 0}, "site-1", ""
        )

    left_out = LeftOut()
    labels = {"site-1": [label(2, 3), label(3, 8)]}
    (rows,) = labelled_records(export, labels, left_out, lambda _: None, tmp_path)
    counts = [len(record.measurements) for _, record in rows]
    assert counts[0] < counts[1]
    assert left_out.counts == Counter()


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_folder_that_holds_other_things_is_refused_before_training(tmp_path: Path) -> None:
    for name in (PHYSIONET, EICU, "thesis"):
        (tmp_path / name).mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    arguments = ("--data", tmp_path, "--checkpoint", tmp_path / "thesis")
    for result in (run("train", *arguments), run("evaluate", *arguments)):
        assert result.exit_code == 1
        assert "holds chapter.tex and no manifest.json: it is no checkpoint" in result.stderr
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "mine"


def test_the_command_names_what_is_missing(export: Path, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels.csv", 3)
    for arguments in (
        (),
        ("--bulk", export),
        ("--bulk", export, "--labels", labels),
        ("--bulk", export, "--labels", labels, "--output", tmp_path / "m", "--data", tmp_path),
        ("--data", tmp_path, "--output", tmp_path / "m"),
    ):
        result = run("train", *arguments)
        assert result.exit_code == 2
        assert "Name --data and perhaps --checkpoint, or --bulk with" in result.stderr
    labels.write_text(labels.read_text().replace(",1\n", ",died\n"))
    result = run("train", "--bulk", export, "--labels", labels, "--output", tmp_path / "m")
    assert result.exit_code == 1
    assert "line 2, column outcome: expected 0 or 1." in result.stderr
    assert not (tmp_path / "m").exists()
