"""Rivals on the same records: logistic regression, boosted trees, words of notes.

Their settings were fixed beforehand and are not tuned: they are there to be beaten fairly, with
the features that the literature uses (last, minimum, maximum, mean, count and first of each
variable).
"""

from __future__ import annotations

from collections.abc import Sequence

import lightgbm
import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model.record import PatientRecord
from model.tokens import SEX_CODES

Floats = npt.NDArray[np.float64]

STATISTICS = ("last", "minimum", "maximum", "mean", "count", "first")


def summary_features(
    record: PatientRecord,
    variables: Sequence[str],
    unit_types: Sequence[str],
    *,
    lookback_hours: float = 48,
) -> npt.NDArray[np.float32]:
    """Return the features of one record (F,), NaN where a variable was never measured.

    Charted values and device series of the same variable are one: the baselines see everything
    that the network sees, notes aside.
    """
    earliest_s = record.prediction_time.timestamp() - lookback_hours * 3600
    values: dict[str, list[tuple[float, float]]] = {name: [] for name in variables}
    for measurement in record.measurements:
        time_s = measurement.time.timestamp()
        if measurement.variable in values and time_s >= earliest_s:
            values[measurement.variable].append((time_s, measurement.value))
    for series in record.device_series:
        if series.channel in values:
            points = zip(series.times_s.tolist(), series.values.tolist(), strict=True)
            values[series.channel] += [point for point in points if point[0] >= earliest_s]
    rows = [_statistics(values[name]) for name in variables]
    age = record.demographics.age_years
    unit = "" if record.stay is None else record.stay.unit_type
    statics = [
        np.nan if age is None else age,
        SEX_CODES.get(record.demographics.sex, np.nan),
        *(float(unit == name) for name in unit_types),
    ]
    return np.array([*(value for row in rows for value in row), *statics], np.float32)


def _statistics(points: list[tuple[float, float]]) -> tuple[float, ...]:
    if not points:
        return (np.nan, np.nan, np.nan, np.nan, 0.0, np.nan)
    numbers = [value for _, value in sorted(points, key=lambda point: point[0])]
    mean = sum(numbers) / len(numbers)
    return (numbers[-1], min(numbers), max(numbers), mean, float(len(numbers)), numbers[0])


def logistic_regression(train: Floats, labels: Floats, test: Floats) -> Floats:
    """Ridge logistic regression on winsorised, imputed features with missing indicators."""
    low, high = np.nanpercentile(train, [1, 99], axis=0)
    usable = np.isfinite(low) & (high > low)
    pipeline = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True),
        StandardScaler(),
        LogisticRegression(C=0.003, max_iter=2000),
    )

    def prepared(features: Floats) -> Floats:
        return np.clip(features[:, usable], low[usable], high[usable])

    pipeline.fit(prepared(train), labels)
    return np.asarray(pipeline.predict_proba(prepared(test))[:, 1])


def boosted_trees(train: Floats, labels: Floats, test: Floats, *, seed: int = 0) -> Floats:
    """LightGBM with small, slow trees."""
    parameters = {
        "objective": "binary",
        "learning_rate": 0.03,
        "num_leaves": 15,
        "min_data_in_leaf": 20,
        "feature_fraction": 0.3,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "num_threads": 1,
        "deterministic": True,
        "seed": seed,
        "verbosity": -1,
    }
    booster = lightgbm.train(parameters, lightgbm.Dataset(train, labels), num_boost_round=400)
    return np.asarray(booster.predict(test))


def note_words(train: Sequence[str], labels: Floats, test: Sequence[str]) -> Floats:
    """Logistic regression on TF-IDF of words and pairs of words."""
    pipeline = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=5, sublinear_tf=True, max_features=20_000),
        LogisticRegression(C=1.0, max_iter=2000),
    )
    pipeline.fit(list(train), labels)
    return np.asarray(pipeline.predict_proba(list(test))[:, 1])
