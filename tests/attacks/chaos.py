"""Hooks with live fetch from a FHIR server that fails at random: right, an error, or it says so.

Run as ``python -m tests.attacks.chaos [--hooks 500] [--seed 1]`` from the repository root. Each
answer is compared with that of the same patient without faults. It has to be equal; or a declared
error; or its card has to say what is missing: every source that is missing belongs to a key that
the card names, every key that it names was really spoilt, and nothing is there that was not in the
patient's own chart, with the same value. Uses the real FHIR server and the shipped model.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from flask.testing import FlaskClient

from cds_hooks.app import create_app
from cds_hooks.parts import Parts, parts_of
from cds_hooks.settings import Settings
from cds_hooks.telemetry import configure_logging
from conformance.fhir_server import FhirServer, start
from fhir_adapters.datasets.sample_patients import sample_charts
from model.prediction import Explanation, Prediction
from model.predictor import load_predictor
from model.record import PatientRecord
from tests.attacks.answers import faults_of
from tests.attacks.fault_proxy import HARMLESS, PAUSES, FaultProxy, key_of
from tests.attacks.results import Results
from tests.attacks.target import HOOK
from tests.cds_hooks import world

_DEADLINE_MS = 4000  # a busy machine's; it is to be missed by faults alone
_PATIENT_MS = 60_000


@dataclass
class Watched:
    """The shipped model, with a look at what it was given. Its answers do not depend on time."""

    predictor: Any
    record: PatientRecord | None = field(default=None)

    def __call__(
        self, record: PatientRecord, *, deadline_s: float | None = None
    ) -> tuple[Prediction, Explanation | None]:
        self.record = record
        answer: tuple[Prediction, Explanation | None] = self.predictor(record)
        return answer


@dataclass
class World:
    """The service, its FHIR server with faults, and the answers without faults."""

    client: FlaskClient
    patient_client: FlaskClient  # of a service that waits long: for the right answers
    proxy: FaultProxy
    watched: Watched
    patients: list[tuple[str, str]]  # of patient and encounter
    whole: dict[str, tuple[list[Any], dict[str, Any]]] = field(default_factory=dict)

    def call(self, patient: str, encounter: str, seed: int | None) -> tuple[int, bytes, Any]:
        """Call the hook for a patient; return status, body and headers."""
        self.proxy.begin(seed)
        self.watched.record = None
        request = world.hook_request({}, fhirServer=self.proxy.url)
        request["fhirAuthorization"] = world.authorization()
        request["context"] = {
            "userId": "Practitioner/chaos",
            "patientId": patient,
            "encounterId": encounter,
        }
        client = self.patient_client if seed is None else self.client
        answer = client.post(HOOK, json=request)
        return answer.status_code, answer.get_data(), dict(answer.headers)


def chaos(made: World, results: Results, hooks: int, seed: int) -> None:
    """Learn the right answers, then call ``hooks`` times with faults."""
    for patient, encounter in made.patients:
        _learn(made, results, patient, encounter)
    random = Random(seed)
    for _ in range(hooks if not results.faults else 0):
        patient, encounter = random.choice(made.patients)
        state = random.getrandbits(32)
        start_s = time.monotonic()
        status, body, headers = made.call(patient, encounter, state)
        took_s = time.monotonic() - start_s
        example = f"{patient}, seed {state}: {made.proxy.injected}"
        for fault in faults_of("POST", status, headers, body):
            results.fault(fault, example)
        if took_s > 2 * _DEADLINE_MS / 1000:
            results.fault("the deadline did not hold", f"{took_s:.1f} s {example}")
        for injected in made.proxy.injected.values():
            results.rows[f"  fault {injected}"] += 1
        _judge(made, results, patient, status, body, example)


def _learn(made: World, results: Results, patient: str, encounter: str) -> None:
    """Keep the answer without faults."""
    status, body, _ = made.call(patient, encounter, None)
    record = made.watched.record
    if status == 200 and record is not None and not record.report.incomplete:
        made.whole[patient] = _shown(body), _contents(record)
    else:
        lines = record.report.incomplete if record else ()
        results.fault(f"without faults: {status}, {lines}", body.decode()[:600])


def _says_why(text: str, named: bool) -> bool:
    """Whether the card names what is missing of the chart, or that orders could not be read."""
    return (named and "Limits of this answer" in text) or "orders could not be read" in text


def _judge(
    made: World, results: Results, patient: str, status: int, body: bytes, example: str
) -> None:
    cards, contents = made.whole[patient]
    record = made.watched.record
    spoilt = {
        key_of(address) for address, fault in made.proxy.injected.items() if fault not in HARMLESS
    }
    if status != 200:
        results.count(f"error {status}")
        if not spoilt:
            results.fault(f"{status} without a fault", example)
        return
    if record is None:
        results.fault("cards without a record", example)
        return
    present = _contents(record)
    for source, values in present.items():
        if not _is_of(contents, source, values):
            results.fault("not what the patient's chart holds", f"{source} {example}")
    owners = {source: key for key, sources in made.proxy.seen.items() for source in sources}
    named = {owners.get(line.source, line.source) for line in record.report.incomplete}
    text = json.dumps(json.loads(body))
    if present == contents and _shown(body) == cards:
        results.count("equal to the answer without faults")
    else:
        results.count("says what is missing")
        if not _says_why(text, bool(named)):
            results.fault("different, and the card does not say why", example)
    missing = contents.keys() - present.keys()
    for source in missing:
        keys = {key for key, sources in made.proxy.seen.items() if _head(source) in sources}
        if not keys & named and "metadata" not in spoilt:
            left_out = [line for line in record.report.left_out if line.source == source]
            if left_out:  # what came for it could not be read, and the card counts it
                continue
            results.fault("missing and not named", f"{source} of {keys}, named {named}; {example}")
    # Out of time, or told to pause, other keys than the spoilt ones may be missed too, and so it
    # is said.
    excused = {"timeout", "unavailable"} if PAUSES & set(made.proxy.injected.values()) else set()
    excused.add("timeout")
    lines = [line for line in record.report.incomplete if line.reason not in excused]
    others = {owners.get(line.source, line.source) for line in lines}
    for key in others - spoilt:
        if not {"metadata", "page"} & spoilt:
            results.fault("named and not spoilt", f"{key}; {example}")


def _is_of(contents: dict[str, Any], source: str, values: Any) -> bool:
    """Whether a record without faults has the same for this source.

    Of a note, sentences that stand in an earlier note are left out; without the earlier note they
    are not.
    """
    whole = contents.get(source)
    if (
        whole == values
        or not source.startswith(("DocumentReference/", "DiagnosticReport/"))
        or whole is None
    ):
        return bool(whole == values)
    all_notes = [each for name, found in contents.items() if name.startswith("D") for each in found]
    known = {sentence for note in all_notes for sentence in note if isinstance(sentence, str)}
    had = {sentence for note in whole for sentence in note}
    has = {sentence for note in values for sentence in note}
    return had <= has <= known


def _head(source: str) -> str:
    return source.partition("#")[0]


def _shown(body: bytes) -> list[Any]:
    """The cards without what is new each time."""
    names = ("summary", "indicator", "detail")
    return [{name: card[name] for name in names} for card in json.loads(body)["cards"]]


def _contents(record: PatientRecord) -> dict[str, Any]:
    """All that the record holds, by source."""
    found: dict[str, Any] = {record.demographics.source: record.demographics}
    for one in record.measurements:
        found.setdefault(one.source, []).append((one.variable, one.value, one.time))
    for note in record.notes:
        found.setdefault(note.source, []).append([each.text for each in note.sentences])
    for series in record.device_series:
        for at_s, value, index in zip(
            series.times_s, series.values, series.source_index, strict=True
        ):
            source = series.sources[index]
            found.setdefault(source, []).append((series.channel, float(at_s), float(value)))
    return found


@contextmanager
def chaos_world(folder: Path, server: FhirServer, patients: int) -> Iterator[World]:
    """Load sample patients, and put the service behind the proxy."""
    now = datetime.now(UTC).replace(microsecond=0)
    charts = list(sample_charts(now - timedelta(minutes=5)).values())[: patients + 1]
    server.load(resource for chart in charts for resource in chart.resources)
    encounters = [
        next(one["id"] for one in chart.resources if one["resourceType"] == "Encounter")
        for chart in charts
    ]
    identities = [(chart.patient_id, one) for chart, one in zip(charts, encounters, strict=True)]
    proxy = FaultProxy(server.base_url, [identities[-1][0]])
    settings = world.settings(folder, open_fhir_servers=(proxy.url,), show_low_risk=True)
    watched = Watched(load_predictor(Settings().checkpoint))
    apps = [
        create_app(
            replace(settings, deadline_ms=one, hard_limit_ms=_PATIENT_MS),
            predictor=watched,
            clock=lambda: now,
        )
        for one in (_DEADLINE_MS, _PATIENT_MS)
    ]
    configure_logging(io.StringIO())
    for app in apps:
        _know_the_server(parts_of(app))
    try:
        yield World(apps[0].test_client(), apps[1].test_client(), proxy, watched, identities[:-1])
    finally:
        for app in apps:
            parts_of(app).store.close()
        proxy.close()
        configure_logging()


def _know_the_server(parts: Parts) -> None:
    """Wait for the CapabilityStatement, so that the first hook asks for all that later ones do."""
    (url,) = parts.authenticator.fhir_servers()
    statements = parts.adviser.statements
    end_s = time.monotonic() + 60
    statements.prepare([url])
    while statements.of(url).known() is None and time.monotonic() < end_s:
        time.sleep(0.05)


def main() -> None:
    """Run as the options say, and print what came back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hooks", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patients", type=int, default=4)
    options = parser.parse_args()
    results = Results(f"chaos, seed {options.seed}: hooks and faults")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        off = {"validation": {"inbound": "off"}}
        with (
            start(None, folder / "fhir", settings=off) as server,
            chaos_world(folder / "service", server, options.patients) as made,
        ):
            chaos(made, results, options.hooks, options.seed)
    raise SystemExit(results.report())


if __name__ == "__main__":
    main()
