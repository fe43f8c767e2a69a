"""The service as a site runs it: gunicorn, workers, JWT trust, a database; and an EHR that calls.

All attacks that need real processes and sockets begin from here.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from cds_hooks.keys import KeyRing, new_key
from cds_hooks.store import Store
from tests.cds_hooks import signing

ROOT = Path(__file__).parents[2]
READY_S = 60.0
_TOML = """
profile = "development"
bind = "{host}"
public_base_url = "http://{host}"
show_low_risk = true
{settings}
[[issuers]]
iss = "{iss}"
algorithms = ["ES384"]
jwks_file = "{folder}/jwks.json"
fhir_servers = {servers}
"""


class Site:
    """One running installation in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 2,
        fhir_servers: tuple[str, ...] = (),
        gunicorn: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.workers = folder, workers
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.host = f"127.0.0.1:{probe.getsockname()[1]}"
        self.base = f"http://{self.host}"
        self.key = new_key()
        self.log_path, self.database = folder / "log", folder / "meam.sqlite"
        jwks = {"keys": [signing.jwk(signing.ec_key())]}
        (folder / "jwks.json").write_text(json.dumps(jwks))
        text = _TOML.format(
            host=self.host,
            folder=folder,
            iss=signing.ISS,
            servers=json.dumps(fhir_servers),
            settings="\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items()),
        )
        (folder / "meam.toml").write_text(text)
        self._environ = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MEAM_CONFIG": str(folder / "meam.toml"),
            "MEAM_DATABASE_URL": f"sqlite:///{self.database}",
            "MEAM_KEYS": self.key,
            **(environ or {}),
        }
        self._arguments = gunicorn
        self.start()

    def start(self) -> None:
        """Start gunicorn and return when it is ready."""
        command = [sys.executable, "-m", "gunicorn", "-c", "python:cds_hooks.gunicorn_conf"]
        command += ["--workers", str(self.workers), "--no-control-socket", *self._arguments]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self._environ, stderr=log, stdout=log
            )
        end_s = time.monotonic() + READY_S
        while time.monotonic() < end_s and self.process.poll() is None:
            try:
                if requests.get(f"{self.base}/readyz", timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                time.sleep(0.05)
        self.process.kill()
        raise RuntimeError(f"gunicorn did not become ready; its log: {self.log_path.read_text()}")

    def worker_pids(self) -> list[int]:
        """The processes that answer."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def kill_worker(self) -> None:
        """kill -9 the first worker; gunicorn starts another one."""
        os.kill(self.worker_pids()[0], signal.SIGKILL)

    def kill_all(self) -> None:
        """kill -9 the master and its workers at once, as a power cut does."""
        workers = self.worker_pids()
        self.process.kill()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End in peace."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.kill_all()

    def resident_mb(self) -> float:
        """Memory of master and workers, proportionally shared."""
        pids = [self.process.pid, *self.worker_pids()]
        return sum(_proportional_kb(pid) for pid in pids) / 1024

    def store(self) -> Store:
        """The database, opened beside the running service."""
        return Store(f"sqlite:///{self.database}", KeyRing([self.key]))

    def headers(self, path: str, **claims: Any) -> dict[str, str]:
        """A fresh JWT of the EHR for one address."""
        now_s = int(time.time())
        usual = {"iat": now_s, "exp": now_s + 300, "aud": self.base + path}
        return signing.bearer(signing.token(**{**usual, **claims}))


@contextmanager
def running(folder: Path, **options: Any) -> Iterator[Site]:
    """A site until the block ends."""
    site = Site(folder, **options)
    try:
        yield site
    finally:
        site.stop()


def _proportional_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
