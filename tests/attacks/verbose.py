"""The service at its most talkative, for the leak scan: all loggers at DEBUG, a crash to order.

A patient of gender "other" makes the model fail with an error that quotes the chart.
"""

from __future__ import annotations

import logging
import warnings

from flask import Flask

from cds_hooks.app import create_app
from cds_hooks.settings import load_settings
from model.prediction import Explanation, Prediction
from model.predictor import load_predictor
from model.record import PatientRecord


def application() -> Flask:
    """Build the service with all there is to hear."""
    logging.basicConfig(level=logging.DEBUG, force=True)
    logging.captureWarnings(True)
    warnings.simplefilter("always")
    settings = load_settings()
    predictor = load_predictor(settings.checkpoint)

    def predict(
        record: PatientRecord, *, deadline_s: float | None = None
    ) -> tuple[Prediction, Explanation | None]:
        if record.demographics.sex == "other":
            raise ValueError(f"cannot read {record}")
        return predictor(record, deadline_s=deadline_s)

    return create_app(settings, predictor=predict)
