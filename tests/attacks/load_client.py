"""One client of the load run: an EHR that calls hooks, and sends feedback until it is taken."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import requests

from fhir_adapters.datasets.sample_patients import sample_charts
from tests.attacks.answers import STATUSES
from tests.attacks.site import Site
from tests.attacks.target import FEEDBACK, HOOK
from tests.benchmarks.bench_hook import prefetch

_PAUSE_S = 0.2
_TIME_OUT_S = 30.0
_LAST_S = 60.0  # after the end, for feedback that was not acknowledged yet
Charts = Mapping[str, bytes]  # the context and prefetch of a hook request, by patient


def sample_bodies() -> dict[str, bytes]:
    """The sample patients' charts, as an EHR sends them."""
    charts = sample_charts(datetime.now(UTC) - timedelta(minutes=1))
    return {
        chart.patient_id: json.dumps(
            {
                "hook": "patient-view",
                "hookInstance": "{instance}",
                "context": {"userId": "Practitioner/load", "patientId": chart.patient_id},
                "prefetch": prefetch(chart),
            }
        ).encode()
        for chart in charts.values()
    }


class Client(threading.Thread):
    """Calls, and remembers what was acknowledged and what was wrong."""

    def __init__(self, site: Site, bodies: Charts, number: int) -> None:
        super().__init__(daemon=True)
        self._site, self._bodies = site, list(bodies.values())
        self._random = Random(number)
        self._session = requests.Session()
        self.disturbed = threading.Event()  # processes are being killed: no answer is no fault
        self.ending = threading.Event()
        self.acknowledged: list[tuple[str, str]] = []
        self.took_s: list[float] = []
        self.counts: Counter[str] = Counter()
        self.faults: list[tuple[str, str]] = []

    def run(self) -> None:
        """Call until the end; then send the last feedback."""
        while not self.ending.is_set():
            card = self._hook()
            if card is not None:
                self._feedback(card)

    def _hook(self) -> str | None:
        body = self._random.choice(self._bodies).replace(b"{instance}", str(uuid.uuid4()).encode())
        start_s = time.monotonic()
        answer = self._post(HOOK, body)
        if answer is None or answer.status_code != 200:
            time.sleep(_PAUSE_S)
            return None
        self.took_s.append(time.monotonic() - start_s)
        cards = answer.json()["cards"]
        if not cards:
            self.faults.append(("no card for a sample patient", answer.text[:200]))
            return None
        return str(cards[0]["uuid"])

    def _feedback(self, card: str) -> None:
        """Send until it is acknowledged, as a client may that heard nothing."""
        when = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        item: dict[str, Any] = {"card": card, "outcome": "overridden", "outcomeTimestamp": when}
        if self._random.random() < 0.3:
            item["overrideReason"] = {"userComment": "seen already"}
        body = json.dumps({"feedback": [item]}).encode()
        left_s = _LAST_S
        while left_s > 0:
            start_s = time.monotonic()
            answer = self._post(FEEDBACK, body)
            if answer is not None and answer.status_code == 200:
                self.acknowledged.append((card, when))
                return
            time.sleep(_PAUSE_S)
            if self.ending.is_set():  # the service is up again, and has to take it soon
                left_s -= time.monotonic() - start_s
        self.faults.append(("feedback was never taken", card))

    def _post(self, path: str, body: bytes) -> requests.Response | None:
        what = path.rpartition("/")[2]
        headers = {"Content-Type": "application/json", **self._site.headers(path)}
        disturbed = self.disturbed.is_set()
        try:
            answer = self._session.post(
                self._site.base + path, body, headers=headers, timeout=_TIME_OUT_S
            )
        except requests.RequestException as exc:
            self.counts[f"{what}: no answer"] += 1
            if not disturbed and not self.disturbed.is_set():
                self.faults.append((f"{what}: {type(exc).__name__} while up", str(exc)[:200]))
            return None
        status = answer.status_code
        self.counts[f"{what}: {status}"] += 1
        undeclared = status not in STATUSES or (
            status == 503 and "Retry-After" not in answer.headers
        )
        if undeclared or status in (400, 401, 403):
            self.faults.append((f"{what}: status {status}", answer.text[:200]))
        return answer
