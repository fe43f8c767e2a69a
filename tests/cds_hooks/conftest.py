from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from cds_hooks.app import create_app
from cds_hooks.parts import parts_of
from cds_hooks.store import Clock
from cds_hooks.telemetry import configure_logging
from tests.cds_hooks import world

Service = Callable[..., FlaskClient]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, of each kind that the service may run on."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 's.sqlite'}"
        return
    cluster = request.getfixturevalue("postgres")
    with cluster.schema() as name:
        yield cluster.url(name)


@pytest.fixture
def predictor() -> world.LinearPredictor:
    return world.LinearPredictor()


@pytest.fixture
def log() -> io.StringIO:
    """What the applications of ``service`` log."""
    return io.StringIO()


@pytest.fixture
def service(
    tmp_path: Path, predictor: world.LinearPredictor, log: io.StringIO
) -> Iterator[Service]:
    """Makes clients of applications; settings by keyword."""
    apps: list[Flask] = []

    def make(use: Any = None, clock: Clock = lambda: world.NOW, **changes: Any) -> FlaskClient:
        settings = world.settings(tmp_path, **changes)
        app = create_app(settings, predictor=use or predictor, clock=clock)
        configure_logging(log)
        apps.append(app)
        return CheckedClient(app, app.response_class)

    yield make
    for app in apps:
        parts_of(app).store.close()


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return service()


class CheckedClient(FlaskClient):
    """Checks on every answer of every test what holds for all answers (R1, R3)."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        response = super().open(*args, **kwargs)
        body = response.get_data()
        if not body or response.mimetype in ("text/html", "text/plain", "image/png", "text/css"):
            return response
        expected = "application/json" if response.status_code < 400 else "application/fhir+json"
        assert response.mimetype == expected, response.mimetype
        refuse_empty(json.loads(body), "$", allowed=("$.cards", "$.services"))
        return response


def refuse_empty(value: Any, path: str, allowed: tuple[str, ...] = ()) -> None:
    """R3: no null, no empty string, array or object, but where the specification allows it."""
    assert value not in (None, "", [], {}) or path in allowed, f"{path} is {value!r}"
    if isinstance(value, dict):
        for name, child in value.items():
            refuse_empty(child, f"{path}.{name}", allowed)
    if isinstance(value, list):
        for child in value:
            refuse_empty(child, f"{path}[]", allowed)
