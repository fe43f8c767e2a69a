"""Open data sets as cohorts; the data lie beside the repository or the tests are skipped."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from cds_hooks.train_command import DataMissing, Places, shipped_settings, train
from cds_hooks.training_records import full_vocabulary, make_cohort, physionet2012_views
from tests.model.worlds import embed

DATA = Path(__file__).parents[3] / "shared" / "data"
PHYSIONET = DATA / "physionet2012"
needs_data = pytest.mark.skipif(
    not PHYSIONET.is_dir(), reason="PhysioNet 2012 is not in ../shared/data/physionet2012"
)


@pytest.fixture(scope="module")
def stays():
    return list(islice(physionet2012_views(PHYSIONET, "a", augmented=True), 3))


@needs_data
def test_a_charted_view_has_the_monitor_values_as_measurements(stays):
    views = {view.name: view.record for view in stays[0].views}
    recorded, charted = views["device@48h"], views["charted@48h"]
    assert recorded.device_series
    assert charted.device_series == ()
    monitor = {series.channel: len(series.values) for series in recorded.device_series}
    assert "heart_rate" not in {m.variable for m in recorded.measurements}
    assert len([m for m in charted.measurements if m.variable == "heart_rate"]) >= (
        0.9 * monitor["heart_rate"]
    )


@needs_data
def test_earlier_views_hold_less_and_nothing_later(stays):
    for stay in stays:
        views = {view.name: view.record for view in stay.views}
        assert set(views) == {
            f"{source}@{moment}"
            for source in ("device", "charted")
            for moment in ("48h", "24h", "random")
        }
        whole, half = views["device@48h"], views["device@24h"]
        assert len(half.measurements) < len(whole.measurements)
        assert all(m.time <= half.prediction_time for m in half.measurements)


@needs_data
def test_cases_carry_labels_and_the_same_features_in_any_vocabulary(stays):
    config = full_vocabulary(stays)
    cohort = make_cohort(stays, config, embed)
    assert len(cohort) == 3 * 6
    assert set(cohort.labels("in_hospital_death")) <= {0.0, 1.0}
    smaller = make_cohort(stays[:1], full_vocabulary(stays), embed)
    assert np.array_equal(cohort.cases[0].summary, smaller.cases[0].summary, equal_nan=True)
    assert cohort.cases[0].facts.data_set == "physionet2012-a"


def test_a_missing_data_set_is_one_sentence(tmp_path):
    encoder = tmp_path / "encoder"
    places = Places(data=tmp_path, cache=tmp_path / "cache", encoder=encoder)
    with pytest.raises(DataMissing, match="training needs the open data set eicu-crd-demo"):
        train(places)


def test_the_consistency_loss_can_be_switched_off():
    assert shipped_settings().consistency.active
    assert not shipped_settings(consistency=False).consistency.active
    assert shipped_settings(epochs=3, seed=4).epochs == 3
