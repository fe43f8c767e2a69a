"""One process that answers hooks and says where the time went; told what to do line by line.

``python tests/benchmarks/hook_worker.py FOLDER`` with the source tree to measure in PYTHONPATH, so
that two trees can take turns. It reads JSON lines ``{"body": FILE, "stages": BOOL}`` from standard
input and writes one JSON line for each: seconds, processor seconds in all and by stage.
The whole service runs, with JWT trust and SQLite, but for the socket: requests come by WSGI.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from cds_hooks import pipeline, routes, store, warm_up
from cds_hooks.app import create_app
from cds_hooks.keys import new_key
from cds_hooks.parts import install, parts_of
from cds_hooks.settings import Settings, development_settings
from cds_hooks.trust import TrustedIssuer
from fhir_adapters import record_builder
from fhir_adapters.client import FhirClient
from model import predictor as predictor_module

ISSUER = "https://ehr.example.org"
HOOK = "/cds-services/meam-risk"
KEY_ID = "bench"
PRIVATE_KEY = ec.derive_private_key(
    int.from_bytes(hashlib.sha256(b"bench").digest(), "big") >> 2, ec.SECP384R1()
)


class StageClock:
    """Processor seconds by stage; what a stage calls that is a stage too counts there only.

    Processor time, of all threads, because what else the machine does hardly enters it.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.on = True
        self._inner: list[float] = []

    def watch(self, holder: Any, name: str, stage: str) -> None:
        """Put the clock around a function or method."""
        function = getattr(holder, name)
        setattr(holder, name, self._timed(function, stage))

    def _timed(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if not self.on:
                return function(*args, **kwargs)
            self._inner.append(0.0)
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.process_time() - start
                self.seconds[stage] += took - self._inner.pop()
                if self._inner:
                    self._inner[-1] += took

        return timed


class HookWorker:
    """The service in this process, and a client of it."""

    def __init__(self, folder: Path, now: datetime, fhir_servers: tuple[str, ...] = ()) -> None:
        self.now = now
        self.clock = StageClock()
        app = create_app(_settings(folder, fhir_servers), clock=lambda: self.now)
        self._watch(app)
        self.app = app
        self._client = app.test_client()
        self._number = 0

    def answer(self, body: bytes, *, stages: bool = False) -> dict[str, Any]:
        """Answer one hook. Raises RuntimeError for an answer without cards."""
        self._number += 1
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
        self.clock.seconds.clear()
        self.clock.on = stages
        used, start = time.process_time(), time.perf_counter()
        response = self._client.post(HOOK, data=body, headers=headers)
        took, used = time.perf_counter() - start, time.process_time() - used
        answer = response.get_json()
        if response.status_code != 200 or not answer["cards"]:
            raise RuntimeError(f"{response.status_code}: {response.text[:500]}")
        by_stage = dict(self.clock.seconds)
        by_stage["rest: routing, log, headers"] = used - sum(by_stage.values())
        return {
            "seconds": took,
            "cpu_seconds": used,
            "stages": by_stage if stages else {},
            "card": answer["cards"][0],
        }

    def _watch(self, app: Any) -> None:
        parts, clock = parts_of(app), self.clock
        predictor = parts.adviser.predictor
        recommender = _Watched(parts.adviser.recommender)
        adviser = replace(parts.adviser, recommender=recommender)
        install(app, replace(parts, adviser=adviser))
        for holder, name, stage in (
            (routes, "parse_json", "parse JSON"),
            (routes, "parse_hook_request", "parse request"),
            (parts.authenticator, "caller", "verify JWT"),
            (pipeline, "gather", "read prefetch"),
            (FhirClient, "search_all", "fetch live"),
            (pipeline, "build_record", "record: values"),
            (record_builder, "read_notes", "record: notes"),
            (predictor_module, "tokenize", "tokens"),
            (predictor.encoder, "encode", "sentence encoding"),
            (predictor.network, "encode", "encode"),
            (predictor.network, "fuse", "fuse coalitions"),
            (predictor_module, "explain", "explain"),
            (recommender, "offer", "next steps"),
            (pipeline, "write_card", "cards"),
            (routes, "remember", "store"),
            (store, "to_bytes", "store: serialise"),
            (store, "append_audit", "audit"),
            (routes, "_cards", "serialise answer"),
        ):
            clock.watch(holder, name, stage)

    def _token(self) -> str:
        now_s = int(self.now.timestamp())
        claims = {
            "iss": ISSUER,
            "aud": f"http://127.0.0.1:5000{HOOK}",
            "iat": now_s,
            "exp": now_s + 300,
            "jti": f"{self._number}-{time.monotonic_ns()}",
        }
        return jwt.encode(claims, PRIVATE_KEY, "ES384", headers={"kid": KEY_ID})


class _Watched:
    """The recommender, whose class has slots and so takes no clock."""

    def __init__(self, recommender: Any) -> None:
        self._recommender = recommender

    def offer(self, *args: Any) -> Any:
        return self._recommender.offer(*args)


def _settings(folder: Path, fhir_servers: tuple[str, ...]) -> Settings:
    key_set = folder / "jwks.json"
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(PRIVATE_KEY.public_key()))
    key_set.write_text(
        json.dumps({"keys": [{**public, "kid": KEY_ID, "use": "sig", "alg": "ES384"}]})
    )
    issuer = TrustedIssuer(
        iss=ISSUER, jwks_file=key_set, algorithms=("ES384",), fhir_servers=fhir_servers
    )
    return development_settings(
        folder,
        mode_auth="jwt",
        issuers=(issuer,),
        show_low_risk=True,
        keys=(new_key(),),
        key_file=None,
        deadline_ms=60_000,
        hard_limit_ms=60_000,
    )


def main() -> None:
    """Answer until standard input ends."""
    folder, now_s, *servers = sys.argv[1:]
    sys.stderr = (Path(folder) / "log").open("w")
    worker = HookWorker(Path(folder), datetime.fromtimestamp(float(now_s), UTC), tuple(servers))
    settle = getattr(warm_up, "settle_memory", None)  # as gunicorn does, where the tree knows it
    if settle is not None:
        settle()
    for line in sys.stdin:
        order = json.loads(line)
        worker.now += timedelta(milliseconds=1)
        told = worker.answer(Path(order["body"]).read_bytes(), stages=order["stages"])
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
