"""The application under attack, in this process, with its log at hand to explain a fault."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from flask.testing import FlaskClient

from cds_hooks.app import create_app
from cds_hooks.parts import parts_of
from cds_hooks.telemetry import configure_logging
from cds_hooks.trust import TrustedIssuer
from tests.attacks.answers import CANARY, faults_of
from tests.attacks.results import Results
from tests.cds_hooks import signing, world

HOOK = "/cds-services/meam-risk"
FEEDBACK = f"{HOOK}/feedback"
DISCOVERY = "/cds-services"
FHIR = "http://127.0.0.1:9/r4"  # nothing listens here


@dataclass
class Target:
    """One application and what became of all requests to it."""

    client: FlaskClient
    log: io.StringIO
    results: Results
    last: bytes = b""  # the body of the newest answer

    def send(
        self,
        row: str,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        example: str = "",
        planted: str = CANARY,
    ) -> int:
        """Send one request, judge the answer and return its status."""
        self.log.seek(0)
        self.log.truncate()
        answer = self.client.open(path, method=method, data=body, headers=dict(headers or {}))
        self.last = answer.get_data()
        found = faults_of(method, answer.status_code, dict(answer.headers), self.last, planted)
        if planted in self.log.getvalue():
            found.append("the log repeats what was sent")
        for fault in found:
            self.results.fault(f"{row}: {fault}{self._where()}", example or f"{method} {path}")
        self.results.count(f"{row}: {answer.status_code}")
        return answer.status_code

    def post(self, row: str, path: str, body: Any, example: str = "", **more: str) -> int:
        """Post JSON."""
        headers = {"Content-Type": "application/json", **more}
        whole = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send(row, "POST", path, body=whole, headers=headers, example=example)

    def open_page(self, row: str, example: str) -> None:
        """Open the explanation of the newest answer's card, as a clinician's browser would."""
        for card in json.loads(self.last)["cards"]:
            path = urlsplit(card["links"][0]["url"]).path
            if self.send(row, "GET", path, example=example) != 200:
                self.results.fault(f"{row}: the page of a card cannot be opened", example)

    def _where(self) -> str:
        crashes = [
            line["where"]
            for line in map(json.loads, self.log.getvalue().splitlines())
            if line.get("event") == "crashed"
        ]
        return f" ({crashes[-1][0]} at {crashes[-1][-1]})" if crashes else ""


@contextmanager
def target(
    folder: Path, results: Results, *, predictor: Any = None, **settings: Any
) -> Iterator[Target]:
    """An application with open doors, on the clock of the test world."""
    app = _app(folder, predictor, settings)
    log = io.StringIO()
    configure_logging(log)
    try:
        yield Target(app.test_client(), log, results)
    finally:
        parts_of(app).store.close()
        configure_logging()


def jwt_settings() -> dict[str, Any]:
    """Settings that trust the test EHR."""
    issuer = TrustedIssuer(
        signing.ISS,
        jwks={"keys": [signing.jwk(signing.ec_key()), signing.jwk(signing.rsa_key(), "rsa")]},
        tenants=("north",),
    )
    return {"mode_auth": "jwt", "issuers": (issuer,), "public_base_url": signing.BASE}


def _app(folder: Path, predictor: Any, settings: dict[str, Any]) -> Flask:
    settings.setdefault("open_fhir_servers", (FHIR,))
    return create_app(
        world.settings(folder, show_low_risk=True, **settings),
        predictor=predictor,
        clock=lambda: world.NOW,
    )
