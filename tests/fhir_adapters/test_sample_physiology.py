"""Known answers of the sample patients' physiology, and that its variables move together."""

import numpy as np
import pytest

from fhir_adapters.datasets.sample_physiology import Baseline, oxygen_pressure, simulate

HEALTHY = Baseline(weight_kg=70, height_cm=170)


def course(hours: float = 24, **drivers: float):
    frames = {name: ((0.0, severity),) for name, severity in drivers.items()}
    return simulate(HEALTHY, frames, hours=hours, admission_hour_of_day=8)


def test_the_healthy_patient_is_normal():
    body = course()
    assert body.at("lactate", 12) == pytest.approx(1.0)
    assert body.at("arterial_ph", 12) == pytest.approx(7.40, abs=0.01)
    assert body.at("glasgow_coma_scale", 12) == 15
    assert body.at("urine_output", 12) == pytest.approx(70)
    assert 60 < body.at("heart_rate", 12) < 90


def test_ph_follows_henderson_hasselbalch():
    body = course(ketoacidosis=0.8, renal_injury=0.3)
    bicarbonate = body.at("bicarbonate", 6)
    carbon_dioxide = body.at("arterial_carbon_dioxide_pressure", 6)
    expected = 6.1 + np.log10(bicarbonate / (0.0307 * carbon_dioxide))
    assert body.at("arterial_ph", 6) == pytest.approx(expected)
    assert body.at("arterial_ph", 6) < 7.3


def test_sampled_pressure_of_oxygen_is_severinghaus():
    assert oxygen_pressure(np.array([50.0, 90.0, 97.5])) == pytest.approx([26.9, 58, 97], abs=2)


def test_shock_moves_everything_that_it_should():
    well, ill = course(hours=36), course(hours=36, vasoplegia=0.9, inflammation=0.9)
    at = 30
    for variable in ("heart_rate", "lactate", "white_blood_cells", "procalcitonin"):
        assert ill.at(variable, at) > 1.3 * well.at(variable, at), variable
    for variable in ("mean_blood_pressure", "urine_output", "platelets", "bicarbonate"):
        assert ill.at(variable, at) < 0.9 * well.at(variable, at), variable
    assert ill.at("body_temperature", at) > 38


def test_beta_blockade_halves_the_answer_of_the_heart():
    free = simulate(HEALTHY, {"stress": ((0, 1.0),)}, hours=2, admission_hour_of_day=8)
    blocked = simulate(
        Baseline(weight_kg=70, height_cm=170, beta_blockade=1.0),
        {"stress": ((0, 1.0),)},
        hours=2,
        admission_hour_of_day=8,
    )
    assert free.at("heart_rate", 1) - blocked.at("heart_rate", 1) == pytest.approx(8, abs=0.5)


def test_pressures_belong_together():
    body = course(hypovolaemia=0.6)
    systolic, diastolic = (
        body.at("systolic_blood_pressure", 3),
        body.at("diastolic_blood_pressure", 3),
    )
    mean = body.at("mean_blood_pressure", 3)
    assert diastolic < mean < systolic
    assert mean == pytest.approx(diastolic + (systolic - diastolic) / 3)


def test_an_unknown_driver_is_refused():
    with pytest.raises(ValueError, match="no such drivers: humours"):
        course(humours=1.0)
