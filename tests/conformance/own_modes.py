"""``python -m tests.conformance.own_modes``: our own service in every mode, and all cases on each.

gunicorn with the shipped model, over real sockets. The test suite runs a part of the cases on each
mode, and all of them on the two releases.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask

from cds_hooks.app import create_app
from conformance.client_keys import ClientKeys
from conformance.endpoint import JWKS_PATH, Endpoint
from conformance.exchange import Wire
from conformance.runner import VERDICTS, Run, run_cases
from conformance.sample import SampleChart
from conformance.target import Target
from tests.cds_hooks import world
from tests.cds_hooks.certificates import Authority
from tests.cds_hooks.running import Running, free_port
from tests.conformance.proxied import NGINX, in_front_of
from tests.conformance.suite_world import ISSUER, KID, ORIGIN, cases, key
from tests.postgresql import PostgresMissing, running_cluster

_SETTINGS = """cors_origins = ["{origin}"]
prefetch_dialect = "{dialect}"
kill_switch_file = "{folder}/switch"
"""
# The made-up patient is at little risk: so that cards of warnings, with next steps, are seen too.
_SHOWN = """
[thresholds]
card_from = 0.001
warning_from = 0.002
critical_from = 0.9
"""
_TRUSTED = """
[[issuers]]
iss = "{issuer}"
{keys}
{more}
"""
# Issuers beside ours, with tenants, keys and FHIR servers of their own.
_OTHERS = """
[[issuers]]
profile = "cds-hooks-sandbox"

[[issuers]]
iss = "https://other.example.org"
jku = ["https://other.example.org/jwks"]
tenants = ["north", "south"]
fhir_servers = ["https://other.example.org/fhir"]
"""


class ModeMissing(Exception):
    """A mode cannot be tried here; the message says why."""


@dataclass(frozen=True)
class Mode:
    """How the service is set up, and how the suite calls it.

    ``failing`` are the cases that cannot hold in this mode, and ``why`` says so.
    """

    name: str
    version: str = "2.0.1"
    signed: bool = True
    rsa_by_file: bool = False  # RS384, and the JWK Set handed over as a file
    several_issuers: bool = False
    trust: str = ""  # more lines of our issuer
    switch: str | None = None  # what stands in the kill switch
    tls: str = ""  # "direct" or "proxy"
    postgresql: bool = False
    tenant: str = ""
    target: dict[str, Any] = field(default_factory=dict)
    failing: frozenset[str] = frozenset()
    why: str = ""


MODES = (
    Mode("2.0.1, JWTs (ES384, jku)"),
    Mode("3.0, JWTs (ES384, jku)", version="3.0"),
    Mode("JWTs (RS384, keys by file, no jku)", rsa_by_file=True),
    Mode("no JWTs (mode_auth open)", signed=False),
    Mode(
        "several issuers and tenants",
        several_issuers=True,
        trust='tenants = ["east", "west"]',
        tenant="west",
    ),
    Mode("TLS by gunicorn", tls="direct"),
    Mode("TLS by nginx", tls="proxy"),
    Mode(
        "prefetch only, no access to FHIR",
        trust="prefetch_only = true",
        target={"fhir_access": False},
    ),
    Mode("live fetch, nothing prefetched", target={"prefetch": False}),
    Mode("shadow by the kill switch", switch='meam-risk = "shadow"'),
    Mode(
        "off by the kill switch",
        switch="",
        failing=frozenset({"hook-answers-200-with-cards"}),
        why="A service that was switched off answers 503 with Retry-After.",
    ),
    Mode("PostgreSQL", postgresql=True),
)


class Own(Running):
    """gunicorn, with settings changed before it starts."""

    def __init__(self, *arguments: Any, changes: dict[str, str], database: str, **named: Any):
        """``changes``: texts of the settings file and what stands there instead."""
        self._changes = changes
        self._database = database
        super().__init__(*arguments, **named)

    def start(self) -> None:
        config = Path(self.environ["MEAM_CONFIG"])
        text = config.read_text()
        for before, after in self._changes.items():
            assert before in text
            text = text.replace(before, after)
        config.write_text(text)
        if self._database:
            self.environ["MEAM_DATABASE_URL"] = self._database
        super().start()


def run_mode(
    mode: Mode,
    folder: Path,
    *,
    among: Collection[str] | None = None,
    application: str = "tests.cds_hooks.serve:application()",
) -> Run:
    """Run cases against the service in a mode. Raises ModeMissing."""
    with Endpoint(SampleChart()) as endpoint, ExitStack() as stack:
        client = _client(mode, endpoint)
        tls = _Tls(folder) if mode.tls else None
        database = stack.enter_context(_database(mode))
        made, base = _started(mode, endpoint, client, folder, tls, database, application)
        stack.callback(made.close)
        if mode.switch is not None:
            (folder / "switch").write_text(mode.switch)
        if mode.tls == "proxy" and tls:
            stack.enter_context(in_front_of(made.base, tls.port, folder, tls.authority, tls.server))
        # The benchmarks measure time, on a machine that does nothing else.
        target = Target(
            base,
            mode.version,
            client if mode.signed else None,
            feedback=True,
            cors_origin=ORIGIN,
            time_budget_ms=10_000.0,
            **mode.target,
        )
        wire = Wire(authority=tls.authority.certificate, certificate=tls.client) if tls else Wire()
        stack.callback(wire.close)
        chosen = [case for case in cases() if among is None or case.id in among]
        return run_cases(target, chosen, endpoint, wire)


class _Tls:
    """An authority, and what it certifies: the service, and the suite as a client."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder, "authority")
        self.server = self.authority.issue("server")
        self.client = self.authority.issue("client")
        self.port = free_port()


def _started(
    mode: Mode,
    endpoint: Endpoint,
    client: ClientKeys,
    folder: Path,
    tls: _Tls | None,
    database: str,
    application: str,
) -> tuple[Own, str]:
    """Start the service; return it and the address at which the suite calls it."""
    changes = {'mode_auth = "open"': 'mode_auth = "jwt"'} if mode.signed else {}
    more = f'tls = "{mode.tls}"\n' if mode.tls else ""
    how: dict[str, Any] = {}
    if tls and mode.tls == "direct":
        certificate, private_key = tls.server
        more += f'tls_certificate = "{certificate}"\ntls_key = "{private_key}"\n'
        how = {"verify": str(tls.authority.certificate)}
    if tls and mode.tls == "proxy":
        changes['public_base_url = "'] = f'public_base_url = "https://127.0.0.1:{tls.port}" # "'
    made = Own(
        folder,
        more + _settings(mode, endpoint, client, folder),
        scheme="https" if mode.tls == "direct" else "http",
        how=how,
        application=application,
        changes=changes,
        database=database,
    )
    proxied = tls and mode.tls == "proxy"
    return made, f"https://127.0.0.1:{tls.port}" if tls and proxied else made.base


def quick() -> Flask:
    """Build the application with a small model by hand: for modes that do not concern it."""
    return create_app(predictor=world.LinearPredictor())


def _client(mode: Mode, endpoint: Endpoint) -> ClientKeys:
    signer = rsa.generate_private_key(65537, 2048) if mode.rsa_by_file else key()
    jku = "" if mode.rsa_by_file else endpoint.url + JWKS_PATH
    client = ClientKeys(ISSUER, signer, KID, jku, mode.tenant)
    endpoint.key_sets = {"home": client.jwk_set(), "foreign": client.jwk_set(other=True)}
    return client


def _settings(mode: Mode, endpoint: Endpoint, client: ClientKeys, folder: Path) -> str:
    (folder / "keys.json").write_text(json.dumps(client.jwk_set()))
    keys = f'jku = ["{client.jku}"]' if client.jku else f'jwks_file = "{folder}/keys.json"'
    if "prefetch_only" not in mode.trust:
        keys += f'\nfhir_servers = ["{endpoint.url}/fhir"]'
    dialect = "2.0" if mode.version == "2.0.1" else "3.0"
    head = _SETTINGS.format(origin=ORIGIN, dialect=dialect, folder=folder)
    if not mode.signed:
        return f'{head}open_fhir_servers = ["{endpoint.url}/fhir"]\n{_SHOWN}'
    trusted = _TRUSTED.format(issuer=ISSUER, keys=keys, more=mode.trust)
    return head + _SHOWN + trusted + (_OTHERS if mode.several_issuers else "")


@contextmanager
def _database(mode: Mode) -> Iterator[str]:
    if mode.tls == "proxy" and NGINX is None:
        raise ModeMissing("nginx is not installed")
    if not mode.postgresql:
        yield ""
        return
    try:
        with running_cluster() as cluster, cluster.schema() as schema:
            yield cluster.url(schema)
    except PostgresMissing as exc:
        raise ModeMissing(str(exc)) from exc


def main() -> None:
    """Print the verdicts of every mode; end with 1 where a case failed that can hold."""
    wrong = 0
    for mode in MODES:
        with tempfile.TemporaryDirectory(prefix="own-") as folder:
            try:
                run = run_mode(mode, Path(folder))
            except ModeMissing as exc:
                sys.stdout.write(f"{mode.name}: not tried, {exc}\n")
                continue
        counts = ", ".join(f"{run.count(verdict)} {verdict}" for verdict in VERDICTS)
        sys.stdout.write(f"{mode.name}: {counts}; {run.requests} requests, {run.seconds:.1f} s\n")
        found = {
            one.case.id: one.findings for one in run.results if one.verdict in ("fail", "error")
        }
        for name, findings in found.items():
            sys.stdout.write(f"  {name}: {findings[0]}\n")
        wrong += found.keys() != mode.failing
        sys.stdout.flush()
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
