"""Records become tokens as stated in model/tokens.py."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.note_tokens import kept_sentences
from model.prediction import DeviceEvidence, SentenceEvidence, StructuredEvidence
from model.record import Demographics, DeviceSeries, Note, Sentence
from model.tokens import PATCH_STATS, STRUCTURED_STATS, TokenConfig, tokenize
from tests.model.worlds import (
    CONFIG,
    NOW,
    chart,
    embed,
    hours_ago,
    measurements,
    note,
    series,
)


def stats_of(record, variable):
    """Return the statistics of a variable by name."""
    tokens = tokenize(record, CONFIG, embed)
    row = tokens.structured_stats[CONFIG.variable_index[variable]]
    return dict(zip(STRUCTURED_STATS, row.tolist(), strict=True))


def test_statistics_of_a_variable_by_hand():
    record = chart(measurements=measurements({"lactate": [(6, 2.0), (4, 4.0), (2, 9.0)]}))
    assert stats_of(record, "lactate") == pytest.approx(
        {
            "last": 9.0,
            "minimum": 2.0,
            "maximum": 9.0,
            "mean": 5.0,
            "first": 2.0,
            "standard_deviation": np.sqrt(26 / 3),
            "slope_per_hour": 1.75,
            "count": 3.0,
            "hours_since_last": 2.0,
        }
    )


def test_one_value_has_no_spread_and_no_slope():
    stats = stats_of(chart(measurements=measurements({"lactate": [(6, 2.0)]})), "lactate")
    assert stats["count"] == 1
    assert np.isnan([stats["standard_deviation"], stats["slope_per_hour"]]).all()


def test_values_at_one_time_have_a_spread_but_no_slope():
    stats = stats_of(chart(measurements=measurements({"lactate": [(6, 2.0), (6, 4.0)]})), "lactate")
    assert stats["standard_deviation"] == pytest.approx(1.0)
    assert np.isnan(stats["slope_per_hour"])


def test_a_variable_never_measured_keeps_its_token():
    tokens = tokenize(chart(), CONFIG, embed)
    position = CONFIG.variable_index["platelets"]
    assert not tokens.structured_measured[position]
    assert np.isnan(tokens.structured_stats[position]).all()
    label = tokens.labels[position]
    assert label.token_id == "structured/platelets"
    assert label.sources == ()
    assert label.evidence == StructuredEvidence("platelets", "Platelets", "10*3/uL", measured=False)


@pytest.mark.parametrize(
    ("hours", "seen"),
    [(48.0, True), (48.01, False), (0.0, True), (-0.01, False)],
    ids=["oldest edge", "older", "at prediction time", "after prediction time"],
)
def test_the_window_is_closed_and_nothing_later_is_seen(hours, seen):
    record = chart(measurements=measurements({"lactate": [(hours, 2.0)]}))
    assert bool(np.isfinite(stats_of(record, "lactate")["last"])) is seen


def test_variables_outside_the_vocabulary_are_left_out():
    with_foreign = chart(measurements=measurements({"lactate": [(1, 2.0)], "mood": [(1, 3.0)]}))
    without = chart(measurements=measurements({"lactate": [(1, 2.0)]}))
    np.testing.assert_array_equal(
        tokenize(with_foreign, CONFIG, embed).structured_stats,
        tokenize(without, CONFIG, embed).structured_stats,
    )


def test_statics_have_a_value_and_words():
    labels = {t.token_id: t for t in tokenize(chart(), CONFIG, embed).labels}
    assert labels["structured/age_years"].evidence.value == 71.0
    assert labels["structured/sex"].evidence.text == "female"
    assert labels["structured/unit_type"].evidence.text == "medical icu"
    assert labels["structured/unit_type"].sources == ("Encounter/1",)


def test_unknown_statics_are_not_measured():
    record = chart(demographics=Demographics("Patient/1"), stay=None)
    measured = tokenize(record, CONFIG, embed).structured_measured
    assert not measured[[CONFIG.variable_index[s] for s in ("age_years", "sex", "unit_type")]].any()


def test_sources_of_a_variable_are_all_its_observations_newest_first():
    label = tokenize(chart(), CONFIG, embed).labels[CONFIG.variable_index["heart_rate"]]
    assert label.sources == tuple(f"Observation/heart_rate-{n}" for n in (2, 1, 0))
    assert label.evidence.value == 118
    assert label.evidence.time == hours_ago(1)


def test_sentences_carry_flags_age_and_type():
    sentence = Sentence("Denies fever.", negated=True, hypothetical=True)
    record = chart(notes=(Note("PROGRESS NOTE", hours_ago(9), (sentence,), "DocumentReference/1"),))
    tokens = tokenize(record, CONFIG, embed)
    np.testing.assert_allclose(tokens.sentence_features[0], [1, 0, 0, 1, np.log(10), 0], rtol=1e-6)
    assert tokens.sentence_note_type.tolist() == [1]
    label = tokens.labels[len(CONFIG.variables)]
    assert label.token_id == "note/0/0"
    assert isinstance(label.evidence, SentenceEvidence)


def test_an_unknown_note_type_has_the_index_for_unknown():
    tokens = tokenize(chart(notes=(note(1, "Text.", note_type="Dream"),)), CONFIG, embed)
    assert tokens.sentence_note_type.tolist() == [0]


def test_notes_older_than_their_window_are_left_out():
    record = chart(notes=(note(169, "Old."), note(167, "Within.")))
    tokens = tokenize(record, CONFIG, embed)
    assert [t.evidence.text for t in tokens.labels if t.modality == "note"] == ["Within."]


def test_every_note_keeps_a_share_when_a_long_one_does_not_fit():
    long = note(2, *[f"Line {i}." for i in range(100)])
    kept = dict(kept_sentences([note(30, "a", "b"), long, note(1, "c")], range(3), 20))
    assert kept[0] == [0, 1]
    assert len(kept[1]) == 17
    assert kept[2] == [0]


def test_with_more_notes_than_places_the_newest_keep_theirs():
    notes = [note(50 - i, "x", "y") for i in range(40)]
    assert [index for index, _ in kept_sentences(notes, range(40), 10)] == list(range(30, 40))


def test_a_long_note_keeps_its_conclusions():
    body = [Sentence(f"Exam {i}.", section="Examination") for i in range(50)]
    end = [Sentence("Septic shock.", section="Assessment and Plan")]
    long = Note("Progress note", hours_ago(1), (*body, *end), "DocumentReference/1")
    ((_, kept),) = kept_sentences([long], range(1), 5)
    assert kept == [0, 1, 2, 3, 50]


@given(
    st.lists(st.integers(0, 30), max_size=12),
    st.integers(1, 64),
)
def test_kept_sentences_fill_the_limit_and_no_more(lengths, limit):
    notes = [note(100 - i, *["t"] * n) for i, n in enumerate(lengths)]
    kept = kept_sentences(notes, range(len(notes)), limit)
    assert sum(len(k) for _, k in kept) == min(limit, sum(lengths))
    for index, positions in kept:
        assert positions == sorted(set(positions))
        assert all(0 <= p < lengths[index] for p in positions)


def test_patches_of_a_channel_by_hand():
    times = NOW.timestamp() - np.array([7.0, 5.0, 3.0]) * 3600
    values = np.array([100.0, 80.0, 90.0], np.float32)
    one = DeviceSeries(
        "heart_rate", "/min", times, values, ("Observation/a", "Observation/b"),
        np.array([0, 0, 1], np.int32), period_s=3600.0,
    )  # fmt: skip
    tokens = tokenize(chart(device_series=(one,)), CONFIG, embed)
    assert tokens.patch_index.tolist() == [6, 7]
    stats = [dict(zip(PATCH_STATS, row, strict=True)) for row in tokens.patch_stats.tolist()]
    assert stats[1] == pytest.approx(
        {
            "mean": 85.0,
            "standard_deviation": 5.0,
            "slope_per_hour": 5.0,
            "minimum": 80.0,
            "maximum": 90.0,
            "coverage": 2 / 6,
        }
    )
    assert np.isnan(stats[0]["standard_deviation"])
    last = tokens.labels[-1]
    assert last.token_id == "device/heart_rate/7"
    assert last.sources == ("Observation/b", "Observation/a")
    assert isinstance(last.evidence, DeviceEvidence)
    assert (last.evidence.start, last.evidence.end) == (hours_ago(6), NOW)


@pytest.mark.parametrize(
    ("hours", "patch"),
    [(0.0, 7), (6.0, 6), (5.999, 7), (48.0, 0), (47.9, 0)],
)
def test_a_sample_on_an_edge_belongs_to_the_older_patch(hours, patch):
    one = series("heart_rate", hours=1, period_s=3600)
    moved = DeviceSeries(
        one.channel, one.unit, np.array([NOW.timestamp() - hours * 3600]), one.values[:1],
        one.sources, one.source_index[:1],
    )  # fmt: skip
    tokens = tokenize(chart(device_series=(moved,)), CONFIG, embed)
    assert tokens.patch_index.tolist() == [patch]


def test_coverage_without_a_period_counts_hours():
    one = series("heart_rate", hours=3, period_s=600)
    unknown = DeviceSeries(
        one.channel, one.unit, one.times_s, one.values, one.sources, one.source_index
    )
    tokens = tokenize(chart(device_series=(unknown,)), CONFIG, embed)
    assert tokens.patch_stats[-1, PATCH_STATS.index("coverage")] == pytest.approx(3 / 6)


def test_channels_outside_the_vocabulary_have_no_tokens():
    tokens = tokenize(chart(device_series=(series("step_count"),)), CONFIG, embed)
    assert len(tokens.patch_stats) == 0


def test_samples_outside_the_window_have_no_tokens():
    old = series("heart_rate", hours=1)
    moved = DeviceSeries(
        old.channel, old.unit, old.times_s - 49 * 3600, old.values, old.sources, old.source_index
    )
    tokens = tokenize(chart(device_series=(moved,)), CONFIG, embed)
    assert len(tokens.patch_stats) == 0


def test_absent_modalities_have_no_tokens_and_are_not_available():
    record = chart(measurements=(), notes=(), device_series=())
    tokens = tokenize(record, CONFIG, embed)
    assert tokens.token_count == len(CONFIG.variables) == len(tokens.labels)
    assert tokens.available == ()
    assert tokenize(chart(), CONFIG, embed).available == ("structured", "note", "device")


def test_labels_stand_in_token_order():
    tokens = tokenize(chart(), CONFIG, embed)
    assert len(tokens.labels) == tokens.token_count
    kinds = [label.modality for label in tokens.labels]
    assert kinds == sorted(kinds, key=("structured", "note", "device").index)
    assert len({label.token_id for label in tokens.labels}) == tokens.token_count


def test_tokens_without_labels_have_the_same_arrays():
    full, bare = (tokenize(chart(), CONFIG, embed, with_labels=w) for w in (True, False))
    assert bare.labels == ()
    np.testing.assert_array_equal(full.structured_stats, bare.structured_stats)
    np.testing.assert_array_equal(full.patch_stats, bare.patch_stats)
    np.testing.assert_array_equal(full.sentence_features, bare.sentence_features)


def test_config_survives_json():
    assert TokenConfig.from_json(json.loads(json.dumps(CONFIG.to_json()))) == CONFIG


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([s.name for s in CONFIG.variables[:6]]),
            st.floats(0, 60),
            st.floats(-1e4, 1e4),
        ),
        max_size=40,
    )
)
def test_statistics_agree_with_numpy_for_any_chart(rows):
    values: dict[str, list[tuple[float, float]]] = {}
    for name, hours, value in rows:
        values.setdefault(name, []).append((hours, value))
    tokens = tokenize(chart(measurements=measurements(values)), CONFIG, embed)
    for spec, stats in zip(CONFIG.variables[:6], tokens.structured_stats, strict=False):
        inside = [v for h, v in values.get(spec.name, []) if hours_ago(h) >= hours_ago(48)]
        if not inside:
            assert np.isnan(stats).all()
            continue
        assert stats[[1, 2, 3, 7]] == pytest.approx(
            [min(inside), max(inside), np.mean(inside), len(inside)], rel=1e-4, abs=1e-3
        )


def test_a_large_chart_is_read_in_time():
    rng = np.random.default_rng(0)
    names = [s.name for s in CONFIG.variables[:6]]
    rows = {n: [(h, 1.0) for h in rng.uniform(0, 48, 2000)] for n in names}
    record = chart(measurements=measurements(rows))
    start = time.process_time()
    tokenize(record, CONFIG, embed)
    assert time.process_time() - start < 0.25  # 10,000 values take about 0.02 s
