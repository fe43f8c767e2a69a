"""A site trains two tasks with an encoder of its own, and serves them without torch."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

pytest.importorskip("torch", reason="the extra 'train' is not installed")

from cds_hooks.bulk_training import SitePlaces, train_from_bulk
from cds_hooks.wording import lead_task, write_card
from fhir_adapters.bulk import write_bulk
from fhir_adapters.record_builder import build_record
from model.errors import CheckpointIncompatible, SentenceEncoderUnsupported
from model.predictor import Predictor, load_predictor
from tests.cds_hooks import world
from tests.cds_hooks.site_export import NOW, dies, site_chart, site_charts
from tests.cds_hooks.test_bulk_training import SETTINGS
from tests.model.tiny_encoders import WIDTH, tiny_encoder

COUNT = 100
DEATH, START = "in-hospital death", "start of a vasopressor within 24 h"
TASKS = """
[[tasks]]
name = "in_hospital_death"
display = "in-hospital death"
event = "dies"
no_event = "survives"

[[tasks]]
name = "vasopressor_start"
display = "start of a vasopressor"
horizon = "within 24 h"
event = "vasopressor started"
no_event = "no vasopressor"
"""
HEAD = "patient_id,prediction_time,outcome_vasopressor_start,outcome_in_hospital_death\n"


def starts(number: int) -> bool:
    """Every second patient, by sex: another cause than that of death."""
    return number % 2 == 1


def line(number: int) -> str:
    """Every tenth death, and every eleventh start, is not known; some starts are chance.

    A task without any chance would be told apart wholly, and could not be calibrated.
    """
    death = "" if number % 10 == 4 else str(int(dies(number)))
    start = "" if number % 11 == 5 else str(int(starts(number) ^ (number % 9 in (3, 4))))
    return f"site-{number},{NOW.isoformat()},{start},{death}\n"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> SitePlaces:
    folder = tmp_path_factory.mktemp("two-tasks")
    write_bulk(site_charts(COUNT + 5), folder / "export", compress=True)
    (folder / "labels.csv").write_text(HEAD + "".join(map(line, range(COUNT))))
    (folder / "tasks.toml").write_text(TASKS)
    return SitePlaces(
        folder / "export",
        folder / "labels.csv",
        folder / "model",
        encoder=tiny_encoder(folder / "tiny", "bert"),
        tasks=folder / "tasks.toml",
    )


@pytest.fixture(scope="module")
def checkpoint(places: SitePlaces) -> Path:
    console = Console(file=io.StringIO(), width=200)
    train_from_bulk(places, settings=replace(SETTINGS, epochs=30), console=console)
    return places.output


@pytest.fixture(scope="module")
def predictor(checkpoint: Path) -> Predictor:
    return load_predictor(checkpoint, threads=1)


def test_the_checkpoint_has_both_tasks_and_its_encoder(
    checkpoint: Path, predictor: Predictor
) -> None:
    info, tokens = predictor.checkpoint.info, predictor.checkpoint.tokens
    assert [task.name for task in info.tasks] == ["in_hospital_death", "vasopressor_start"]
    assert tokens.embedding_width == WIDTH
    assert info.sentence_encoder == predictor.encoder.identity
    assert info.sentence_encoder.startswith("tiny sha256:")
    assert {f.name for f in (checkpoint / "encoder").iterdir()} == {
        *("encoder.onnx", "model.safetensors", "tokenizer.json", "manifest.json")
    }
    rates = {task.outcome: task.base_rate for task in info.tasks}
    assert rates[DEATH] == pytest.approx(0.33, abs=0.06)
    assert rates[START] == pytest.approx(0.5, abs=0.1)
    assert set(predictor.checkpoint.calibration) == set(predictor.checkpoint.conformal)
    recorded = json.loads((checkpoint / "training.json").read_text())["tasks"]
    rows = {
        name: sum(count["site"]["stays"] for count in (task["training"], task["tuning"]))
        for name, task in recorded.items()
    }
    assert rows == {"in_hospital_death": 90, "vasopressor_start": 91}
    card = predictor.checkpoint.model_card
    assert f"| {START} | training |" in card
    assert f"Estimates the probability of **{DEATH}** and of **{START}**" in card
    assert f"AUROC for {START}" in card


def test_it_is_served_without_torch(checkpoint: Path, predictor: Predictor) -> None:
    numbers = range(COUNT, COUNT + 5)  # who did not train it
    done = subprocess.run(
        [sys.executable, "-m", "tests.cds_hooks.serve_tasks", str(checkpoint), "vasopressor_start"]
        + [str(number) for number in numbers],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    served = json.loads(done.stdout)
    assert served["encoder"] == predictor.encoder.identity
    for number, patient in zip(numbers, served["patients"], strict=True):
        assert list(patient["risks"]) == [START, DEATH]  # the explained one stands first
        assert patient["explained"] == "vasopressor_start"
        assert (patient["risks"][DEATH] > 0.5) == dies(number)
        assert (patient["risks"][START] > 0.5) == starts(number)


def test_the_card_states_every_task_and_whose_reasons_it_gives(
    predictor: Predictor, tmp_path: Path
) -> None:
    record = build_record(site_chart(COUNT + 1), NOW)  # no death, but a vasopressor
    prediction, explanation = predictor(record)
    settings = world.settings(tmp_path)
    written = write_card(
        prediction, explanation, record.report, settings, "https://x.org/{}".format
    )
    assert written is not None
    assert written.card.summary.startswith(f"Estimated risk of {START}: ")
    assert "raised most by" not in written.card.summary  # reasons are of the other task
    assert f"Estimated risk of {DEATH}: " in written.card.detail
    assert f"Estimated risk of {START}: " in written.card.detail
    assert f"What moved the estimate for {DEATH} most" in written.card.detail
    assert lead_task(prediction.tasks, settings).display == START


def test_a_task_that_the_checkpoint_lacks_cannot_be_explained(checkpoint: Path) -> None:
    with pytest.raises(CheckpointIncompatible, match="no task 'sepsis' to explain; it has in_hos"):
        load_predictor(checkpoint, threads=1, explained_task="sepsis")


def test_another_encoder_is_refused(checkpoint: Path, places: SitePlaces, tmp_path: Path) -> None:
    from model.training.encoder_export import export_encoder

    other = export_encoder(tiny_encoder(tmp_path / "tiny", "distilbert"), tmp_path / "encoder")
    with pytest.raises(CheckpointIncompatible, match="was trained with sentence encoder 'tiny"):
        load_predictor(checkpoint, encoder_path=other, threads=1)
    assert places.encoder is not None
    (tmp_path / "tiny" / "model.safetensors").unlink()
    wrong = replace(places, encoder=tmp_path / "tiny", output=tmp_path / "model")
    with pytest.raises(SentenceEncoderUnsupported, match=r"model\.safetensors is not there"):
        train_from_bulk(wrong, settings=SETTINGS, console=Console(file=io.StringIO()))
