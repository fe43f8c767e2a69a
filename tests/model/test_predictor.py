"""A record becomes a prediction with its explanation."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from model.checkpoint import load_checkpoint
from model.errors import CheckpointIncompatible
from model.predictor import Predictor
from model.record import Demographics, Stay
from model.training.network import collate
from tests.model.worlds import NOW, TASK, HashEncoder, chart, random_chart


def test_a_prediction_is_complete(predictor):
    prediction, explanation = predictor(chart())
    (task,) = prediction.tasks
    assert task.task == TASK
    assert 0 < task.probability < 1
    assert task.base_rate == 0.12
    assert set(task.conformal_set) <= {"survives", "dies"}
    assert task.conformal_confidence == pytest.approx(0.9)
    assert (prediction.model_name, prediction.model_version) == ("meam-risk", "0.0.1")
    assert prediction.prediction_time == NOW
    assert prediction.applicability.available == ("structured", "note", "device")
    assert explanation is not None
    assert explanation.task == TASK


def test_the_probability_is_the_calibrated_logit_of_torch(predictor, network):
    prediction, explanation = predictor(chart())
    logit = network(collate([predictor.tokenize(chart())])).logits.item()
    assert explanation.logit == pytest.approx(logit, abs=1e-4)
    calibration = predictor.checkpoint.calibration[TASK]
    expected = calibration.probability(logit, "structured+note+device")
    assert prediction.tasks[0].probability == pytest.approx(expected, abs=1e-5)
    assert predictor.logits([chart()])[0, 0] == pytest.approx(logit, abs=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"demographics": Demographics("Patient/1", 12.0)},
        {"stay": Stay("Encounter/1", "AMB")},
        {"measurements": (), "device_series": ()},
    ],
    ids=["child", "outpatient", "too little data"],
)
def test_outside_its_population_no_risk_is_stated(predictor, changes):
    prediction, explanation = predictor(chart(**changes))
    assert prediction.tasks == ()
    assert explanation is None
    assert not prediction.applicability.applicable
    assert prediction.applicability.reasons


def test_notes_of_a_patient_who_is_refused_are_not_embedded(checkpoint_folder):
    class Refusing(HashEncoder):
        def encode(self, sentences):
            raise AssertionError("the notes of a child were embedded")

    predictor = Predictor(load_checkpoint(checkpoint_folder), Refusing(), threads=1)
    prediction, _ = predictor(chart(demographics=Demographics("Patient/1", 12.0)))
    assert "note" in prediction.applicability.available


def test_another_sentence_encoder_is_refused(checkpoint_folder):
    class Other(HashEncoder):
        identity = "another"

    with pytest.raises(CheckpointIncompatible, match="'another' is installed"):
        Predictor(load_checkpoint(checkpoint_folder), Other())


@pytest.mark.parametrize("changes", [{"notes": ()}, {"device_series": ()}])
def test_an_absent_modality_is_no_obstacle(predictor, changes):
    prediction, explanation = predictor(chart(**changes))
    assert prediction.tasks
    assert explanation is not None


def test_threads_get_the_answers_that_one_thread_gets(predictor):
    records = [random_chart(seed) for seed in range(200, 216)]
    alone = [predictor(record) for record in records]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(predictor, records * 2))
    assert together == alone * 2


def test_warm_up_runs_every_graph(checkpoint_folder):
    predictor = Predictor(load_checkpoint(checkpoint_folder), HashEncoder(), threads=1)
    predictor.warm_up()
    prediction, _ = predictor(chart())
    assert np.isfinite(prediction.tasks[0].probability)


def test_the_runtime_imports_no_training_library():
    code = (
        "import sys, model.predictor\n"
        "heavy = {'torch', 'transformers', 'shap', 'lime', 'sklearn', 'onnx', 'scipy'}\n"
        "found = heavy & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(found)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
