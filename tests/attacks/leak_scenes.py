"""What happens during the leak scan: every way in which the service meets a patient's data."""

from __future__ import annotations

import copy
import json
import socket
import sqlite3
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
from cryptography.hazmat.primitives.asymmetric import ec
from werkzeug import Response

from tests.attacks.markers import PHI, SECRETS
from tests.attacks.results import Results
from tests.attacks.site import Site
from tests.attacks.target import FEEDBACK, HOOK
from tests.cds_hooks import world
from tests.cds_hooks.fhir_stub import FhirStub

PATIENT = f"Patient/{PHI['patient id']}"


@dataclass
class Stage:
    """The running site, its FHIR server, and what was seen so far."""

    site: Site
    stub: FhirStub
    results: Results
    secrets: dict[str, str] = field(default_factory=dict)  # tokens made on the way
    refusals: list[tuple[str, bytes]] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    cards: list[dict[str, Any]] = field(default_factory=list)

    def post(
        self, what: str, path: str, body: Any, expected: set[int], **claims: Any
    ) -> requests.Response:
        """Post with a fresh JWT; errors are kept for the search."""
        headers = self.site.headers(path, sub=PHI["given name"], **claims)
        token = headers["Authorization"].partition(" ")[2]
        number = len(self.secrets)
        self.secrets[f"JWT {number}"] = token
        self.secrets[f"signature of JWT {number}"] = token.rpartition(".")[2]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
        answer = requests.post(self.site.base + path, data, headers=headers, timeout=30)
        self.results.count(f"scene {what}: {answer.status_code}")
        if answer.status_code not in expected:
            self.results.fault(f"scene {what}: status {answer.status_code}", answer.text[:300])
        if answer.status_code >= 400:
            self.refusals.append((what, answer.content + str(answer.headers).encode()))
        elif path == HOOK:
            self.cards += answer.json()["cards"]
        return answer


def request(prefetch: dict[str, Any] | None, **members: Any) -> dict[str, Any]:
    """A hook request about the marked patient, with data that are current on the real clock."""
    made = world.hook_request(marked_prefetch() if prefetch is None else prefetch, **members)
    made["context"] = {
        "userId": f"Practitioner/{PHI['user id']}",
        "patientId": PHI["patient id"],
        "encounterId": PHI["encounter id"],
    }
    return _now(made)


def marked_prefetch(**patient: Any) -> dict[str, Any]:
    """The chart of the test world, of the marked patient."""
    made = copy.deepcopy(world.full_prefetch())
    made["patient"] |= {
        "name": [{"family": PHI["family name"], "given": [PHI["given name"]]}],
        "identifier": [{"system": "urn:mrn", "value": PHI["record number"]}],
        "telecom": [{"system": "phone", "value": PHI["telephone"]}],
        "birthDate": PHI["birth date"],
        **patient,
    }
    made["notes"] = world.bundle([world.note(f"Looks septic. {PHI['note sentence']}.")])
    return _about_patient(made)


def play_all(stage: Stage) -> None:
    """All scenes, one after the other."""
    for scene in (_good, _fetched, _refused, _forged, _fhir_fails, _crash, _feedback, _pages):
        scene(stage)
    _malformed_http(stage)
    _storage_fails(stage)


def _good(stage: Stage) -> None:
    for _ in range(3):
        stage.post("good hook", HOOK, request(None), {200})


def _fetched(stage: Stage) -> None:
    answers = _now(marked_prefetch())
    binary = {"contentType": "text/plain", "url": "Binary/n1"}
    answers["notes"] = _now(_about_patient(world.bundle([world.note(**binary)])))
    stage.stub.answers = {
        **answers,
        "Binary/n1": Response(f"{PHI['fetched note']}. Septic.", mimetype="text/plain"),
    }
    stage.post("live fetch", HOOK, _calling_back(stage), {200})


def _calling_back(stage: Stage) -> dict[str, Any]:
    authorization = world.authorization(
        access_token=SECRETS["access token"], patient=PHI["patient id"]
    )
    return request({}, fhirServer=stage.stub.base_url, fhirAuthorization=authorization)


def _refused(stage: Stage) -> None:
    whole = json.dumps(request(None)).encode()
    stage.post("broken JSON", HOOK, whole[:-400], {400})
    stage.post("not UTF-8", HOOK, whole.replace(b"Practitioner", b"\xff\xfe"), {400})
    wrong = request(None)
    wrong["prefetch"]["laboratory"]["entry"][0]["resource"]["subject"] = {
        "reference": f"Patient/{PHI['other patient']}"
    }
    stage.post("other patient", HOOK, wrong, {400})
    strange = request(None, hook=PHI["family name"])
    stage.post("other hook", HOOK, strange, {400})
    for name, value in (("hookInstance", PHI["note sentence"]), ("context", PHI["given name"])):
        stage.post(f"bad {name}", HOOK, {**request(None), name: value}, {400})
    server = f"https://{PHI['family name']}.example/{SECRETS['access token']}"
    stage.post("foreign fhirServer", HOOK, {**_calling_back(stage), "fhirServer": server}, {403})
    nothing = request({"patient": None})
    stage.post("no patient", HOOK, nothing, {412})
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [
            {"severity": "error", "code": "exception", "diagnostics": PHI["FHIR diagnostics"]}
        ],
    }
    stage.post("outcome for patient", HOOK, request({"patient": outcome}), {412})


def _forged(stage: Stage) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    stage.post("forged JWT", HOOK, request(None), {401}, key=key)
    for name, value in (("iss", PHI["family name"]), ("jti", 5), ("aud", PHI["given name"])):
        stage.post(f"JWT with strange {name}", HOOK, request(None), {401}, **{name: value})
    stage.post("expired JWT", HOOK, request(None), {401}, exp=1)


def _fhir_fails(stage: Stage) -> None:
    told = {
        "resourceType": "OperationOutcome",
        "issue": [
            {"severity": "error", "code": "exception", "diagnostics": PHI["FHIR diagnostics"]}
        ],
    }
    body = json.dumps(told)
    good = dict(stage.stub.answers)
    answers: tuple[Any, ...] = (
        Response(body, 500, mimetype="application/fhir+json"),
        Response(body, 401, mimetype="application/fhir+json"),
        Response(body, 429, {"Retry-After": PHI["note sentence"]}),
        Response(body[:-20], mimetype="application/fhir+json"),
        Response(PHI["note sentence"], mimetype="text/html"),
        Response(status=302, headers={"Location": f"/{PHI['family name']}"}),
        told,
    )
    for number, answer in enumerate(answers):
        stage.stub.answers = {**good, "laboratory": answer}
        stage.post(f"FHIR fault {number} in one key", HOOK, _calling_back(stage), {200, 412})
        stage.stub.answers = dict.fromkeys(good, answer)
        stage.post(f"FHIR fault {number} in all", HOOK, _calling_back(stage), {400, 412})
    stage.stub.answers = good


def _crash(stage: Stage) -> None:
    stage.post("crash in the model", HOOK, request(marked_prefetch(gender="other")), {500})


def _feedback(stage: Stage) -> None:
    reason = {"code": "cds-not-applicable", "system": "s", "display": PHI["reason display"]}
    for number in range(3):
        item = {
            "card": stage.cards[0]["uuid"] if number else str(uuid.uuid4()),
            "outcome": "overridden",
            "outcomeTimestamp": f"2026-11-23T00:00:0{number}Z",
            "overrideReason": {"reason": reason, "userComment": PHI["feedback comment"]},
        }
        stage.post("feedback", FEEDBACK, {"feedback": [item]}, {200})
        bad = {**item, "outcomeTimestamp": PHI["feedback comment"]}
        stage.post("bad feedback", FEEDBACK, {"feedback": [bad]}, {400})


def _pages(stage: Stage) -> None:
    for card in stage.cards:
        url = card["links"][0]["url"]
        token = url.rpartition("/")[2]
        stage.secrets[f"link {len(stage.pages)}"] = token
        page = requests.get(url, timeout=10)
        stage.pages.append(page.text)
        for changed in (url[:-3] + "AAA", f"{url}?patient={PHI['family name']}", f"{url}/x"):
            answer = requests.get(changed, timeout=10, headers={"Referer": url})
            if answer.status_code >= 400:
                stage.refusals.append(("explanation page", answer.content))


def _malformed_http(stage: Stage) -> None:
    link = urlsplit(stage.cards[0]["links"][0]["url"]).path
    secret = SECRETS["malformed header"]
    for lines in (
        f"GET {link} HTTP/9.9 x",
        f"GET {link} HTTP/1.1\r\nAuthorization : Bearer {secret}",
        f"GET {link} HTTP/1.1\r\nAuthorization: Bearer \x01{secret}",
        f"GET {link} HTTP/1.1\r\nHost: x\r\n{secret}",
        f"GET {link} HTTP/1.1\r\nTransfer-Encoding: {secret}",
        f"POST {HOOK} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{PHI['note sentence']}",
        f"{secret} {link}",
    ):
        host, port = stage.site.host.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(lines.encode("latin-1") + b"\r\n\r\n")
            client.shutdown(socket.SHUT_WR)
            body = client.recv(65_536)
            stage.refusals.append(("malformed HTTP", body))
            stage.results.count(f"scene malformed HTTP: {body[9:12].decode() or 'closed'}")


def _storage_fails(stage: Stage) -> None:
    """A table that is gone, then a database that somebody holds locked."""
    feedback = {
        "feedback": [
            {
                "card": stage.cards[0]["uuid"],
                "outcome": "overridden",
                "outcomeTimestamp": "2026-11-23T01:00:00Z",
                "overrideReason": {"userComment": PHI["feedback comment"]},
            }
        ]
    }
    with _database(stage) as database:
        for table in ("explanations", "feedback"):
            database.execute(f"ALTER TABLE {table} RENAME TO gone")
            database.commit()
            if table == "explanations":
                stage.post("hook without its table", HOOK, request(None), {500, 503})
                requests.get(stage.cards[0]["links"][0]["url"], timeout=10)
            else:
                stage.post("feedback without its table", FEEDBACK, feedback, {500, 503})
            database.execute(f"ALTER TABLE gone RENAME TO {table}")
            database.commit()
        database.execute("BEGIN EXCLUSIVE")
        stage.post("hook, database locked", HOOK, request(None), {503})
        stage.post("feedback, database locked", FEEDBACK, feedback, {503})
        database.rollback()
    stage.post("hook, database free again", HOOK, request(None), {200})


def _database(stage: Stage) -> sqlite3.Connection:
    return sqlite3.connect(stage.site.database, timeout=10)


def _about_patient(tree: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(tree)
    for name, marked in (
        (f'"Patient/{world.PATIENT}"', f'"{PATIENT}"'),
        (f'"id": "{world.PATIENT}"', f'"id": "{PHI["patient id"]}"'),
        ('"id": "enc-1"', f'"id": "{PHI["encounter id"]}"'),
        ("Device/watch", f"Device/{PHI['device id']}"),
    ):
        text = text.replace(name, marked)
    whole: dict[str, Any] = json.loads(text)
    return whole


def _now(tree: dict[str, Any]) -> dict[str, Any]:
    return world.shifted(tree, _shift())


def _shift() -> timedelta:
    return datetime.now(UTC) - world.NOW


Scene = Callable[[Stage], None]
