"""``meam demo``: FHIR server, service and practice EHR on this machine, and every chart opened.

The parts are separate processes that speak HTTP, as they would in a hospital: the EHR signs its
calls, the service knows the EHR as an issuer, and the FHIR server wants a bearer token.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import requests
from rich.console import Console

from cds_hooks.children import (
    LOOPBACK,
    Child,
    ChildFailed,
    Children,
    free_port,
    loopback_session,
)
from cds_hooks.terminal import console, harmless, print_card
from fhir_adapters.datasets.sample_patients import sample_bundles

_PATIENCE_S = 60.0
_CALL_S = 60.0
_QUOTED = 400  # characters of an error in a message
_EHR_TOKEN = "PRACTICE_EHR_FHIR_TOKEN"  # noqa: S105  # the name of a variable, not a secret


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the three parts listen, if the ports are free. 0 takes any free one."""

    fhir: int
    service: int
    ehr: int


@dataclass(frozen=True, slots=True)
class Site:
    """The addresses of one run, and the token of its FHIR server."""

    fhir: str
    service: str
    ehr: str
    fhir_token: str


def run_demo(wished: Ports, fhir_venv: Path, *, seed: int, once: bool) -> None:
    """Run until Ctrl-C, or with ``once`` until the cards are printed. Raises ChildFailed."""
    out = console()
    program = fhir_venv / "bin" / "sekmet"
    if not program.exists():
        raise ChildFailed(
            f"{program} is not there; `make demo` installs the FHIR server, or name its"
            " environment with --fhir-venv."
        )
    site = _site(wished, out)
    with (
        tempfile.TemporaryDirectory(prefix="meam-demo-") as folder,
        _ended_by_signals(),
        Children(Path(folder)) as children,
    ):
        with out.status("Starting the FHIR server, the service and the practice EHR ..."):
            _start(site, program, children)
        with out.status("Loading the sample patients ..."):
            _load_patients(site, seed)
        failed = _open_charts(site, out)
        _print_addresses(site, out)
        if once:
            _require_none(failed)
        else:
            out.print("Running until Ctrl-C.", style="bold")
            children.watch()


def _site(wished: Ports, out: Console) -> Site:
    taken: list[str] = []
    addresses = []
    for name in ("fhir", "service", "ehr"):
        port = getattr(wished, name)
        found = free_port(port)
        if port and found != port:
            taken.append(f"Port {port} is in use; {name} listens on {found} instead.")
        addresses.append(f"http://{LOOPBACK}:{found}")
    for sentence in taken:
        out.print(sentence, style="yellow")
    fhir, service, ehr = addresses
    return Site(f"{fhir}/fhir", service, ehr, secrets.token_urlsafe(24))


def _start(site: Site, fhir_program: Path, children: Children) -> None:
    folder = children.folder
    environment = {**os.environ, "NO_PROXY": LOOPBACK}  # all of it stays on this machine
    fhir = children.start(
        "the FHIR server", [fhir_program, "serve", "-c", _fhir_settings(site, folder)], environment
    )
    service = children.start(
        "the service",
        [sys.executable, "-m", "cds_hooks.cli", "serve", "--config", _settings(site, folder)],
        environment,
    )
    command = ["-m", "conformance.ehr", "--fhir", site.fhir, "--service", site.service]
    ehr = children.start(
        "the practice EHR",
        [sys.executable, *command, "--port", site.ehr.rsplit(":", 1)[1]],
        {**environment, _EHR_TOKEN: site.fhir_token},
    )
    waits: tuple[tuple[Child, str], ...] = (
        (fhir, f"{site.fhir}/metadata"),
        (ehr, f"{site.ehr}/.well-known/jwks.json"),
        (service, f"{site.service}/readyz"),
    )
    for child, url in waits:
        children.wait_until_answering(child, url, _PATIENCE_S)


def _fhir_settings(site: Site, folder: Path) -> Path:
    """Write the FHIR server's settings: this machine only, a bearer token, no simulation."""
    settings = {
        "base_url": site.fhir,
        "host": LOOPBACK,
        "port": int(site.fhir.rsplit(":", 1)[1].split("/")[0]),
        "data_dir": str(folder),
        "simulator": {"enabled": False},
        "log_inbound": False,
        "validation": {"inbound": "off"},  # half a millisecond a resource, for data of our own
        "server_auth": {"types": ["bearer"], "tokens": [site.fhir_token]},
    }
    path = folder / "fhir-server.yaml"
    path.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    return path


def _settings(site: Site, folder: Path) -> Path:
    """Write the service's settings: it trusts the practice EHR and may call its FHIR server."""
    lines = [
        'profile = "development"',
        f'bind = "{site.service.removeprefix("http://")}"',
        f'public_base_url = "{site.service}"',
        f'database_url = "sqlite:///{folder / "meam.sqlite"}"',
        f'key_file = "{folder / "keys"}"',
        "show_low_risk = true",  # a demonstration shows a card for everybody
        "deadline_ms = 8000",  # and every note is new, on a machine that runs all parts at once
        "[[issuers]]",
        f'iss = "{site.ehr}"',
        f'jku = ["{site.ehr}/.well-known/jwks.json"]',
        f'fhir_servers = ["{site.fhir}"]',
    ]
    path = folder / "service.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _load_patients(site: Site, seed: int) -> None:
    """Write the sample patients to the FHIR server, with times relative to now."""
    headers = {"Authorization": f"Bearer {site.fhir_token}"}
    with loopback_session() as session:
        for name, bundle in sample_bundles(datetime.now(UTC), seed).items():
            answer = session.post(site.fhir, json=bundle, headers=headers, timeout=_CALL_S)
            _require_ok(answer, f"the FHIR server refused the sample patient '{name}'")


def _patients(site: Site, session: requests.Session) -> list[str]:
    headers = {"Authorization": f"Bearer {site.fhir_token}"}
    answer = session.get(f"{site.fhir}/Patient?_count=200", headers=headers, timeout=_CALL_S)
    _require_ok(answer, "the FHIR server does not list its patients")
    return sorted(entry["resource"]["id"] for entry in answer.json().get("entry", []))


def _require_ok(answer: requests.Response, complaint: str) -> None:
    if not answer.ok:
        said = harmless(answer.text[:_QUOTED])
        raise ChildFailed(f"{complaint}: it answered {answer.status_code}, {said}")


def _open_charts(site: Site, out: Console) -> list[str]:
    """Open every chart and return the patients for whom there was no answer."""
    with loopback_session() as session:
        return [
            patient
            for patient in _patients(site, session)
            if not _open_chart(site, patient, session, out)
        ]


def _open_chart(site: Site, patient_id: str, session: requests.Session, out: Console) -> bool:
    """Have the EHR open a chart, and print what it was advised. False: there was no answer."""
    url = f"{site.ehr}/1/patients/{patient_id}/exchange.json"
    answer = session.get(url, timeout=_CALL_S)
    _require_ok(answer, f"the practice EHR could not open the chart of {patient_id}")
    opened: Mapping[str, Any] = answer.json()
    name = harmless(opened["patient"]["name"])
    problems = [opened["problem"]] if opened["problem"] else []
    answered = False
    for exchange in opened["exchanges"]:
        problems += exchange["problems"]
        if exchange["status"] == 200:
            answered = True
            _print_cards(f"{name} ({exchange['service_ms']:.0f} ms)", exchange["received"], out)
    for problem in problems:
        out.print(f"{name}: {harmless(problem)}", style="red", markup=False, soft_wrap=True)
    return answered


def _print_cards(heading: str, received: Mapping[str, Any], out: Console) -> None:
    cards = received.get("cards", [])
    for card in cards:
        print_card(out, card, heading)
    if not cards:
        out.print(f"{heading}: nothing to advise.", markup=False)


def _require_none(failed: list[str]) -> None:
    if failed:
        raise ChildFailed(f"there was no advice for {', '.join(failed)}; the reasons stand above.")


def _print_addresses(site: Site, out: Console) -> None:
    out.print()
    for title, url in (
        ("Practice EHR", f"{site.ehr}/"),
        ("Discovery", f"{site.service}/cds-services"),
        ("FHIR server", site.fhir),
    ):
        out.print(f"{title + ':':14}{url}", soft_wrap=True)
    out.print("Explanations: behind the link on each card.")


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end us as Ctrl-C does, so that no child is left behind."""
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except KeyboardInterrupt:
        console().print("Stopped.")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
