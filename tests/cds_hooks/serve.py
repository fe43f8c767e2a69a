"""The service for gunicorn in tests, with a look into the process."""

from __future__ import annotations

import sys
import time

from flask import Flask, Response, jsonify

from cds_hooks.app import create_app
from model.prediction import Explanation, Prediction
from model.record import PatientRecord
from tests.cds_hooks import world

SLOW_S = 0.7


def application() -> Flask:
    """Build the application from the environment, as the real one does."""
    app = create_app()
    app.add_url_rule("/test/modules", view_func=_modules)
    return app


def _modules() -> Response:
    return jsonify(sorted(sys.modules))


def slow() -> Flask:
    """The same with a model by hand that takes its time: for tests of the server around it."""
    return create_app(predictor=_Slow())


class _Slow(world.LinearPredictor):
    def __call__(
        self, record: PatientRecord, *, deadline_s: float | None = None
    ) -> tuple[Prediction, Explanation | None]:
        if record.demographics.source != "Patient/warm-up":
            time.sleep(SLOW_S)
        return super().__call__(record)
