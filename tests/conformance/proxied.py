"""nginx under the documented configuration before a service: TLS, and certificates of clients."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3

from tests.cds_hooks.certificates import Authority
from tests.cds_hooks.running import ROOT

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
_START_S = 15.0


@contextmanager
def in_front_of(
    service: str, port: int, folder: Path, authority: Authority, certificate: tuple[Path, Path]
) -> Iterator[None]:
    """Run nginx on a port of 127.0.0.1; ``authority`` certifies both sides."""
    recipe = (ROOT / "docs" / "nginx.conf").read_text()
    for documented, used in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("http://127.0.0.1:5000", service),
        ("/etc/meam/tls/server.pem", str(certificate[0])),
        ("/etc/meam/tls/server.key", str(certificate[1])),
        ("/etc/meam/tls/ehr-ca.pem", str(authority.certificate)),
    ):
        assert documented in recipe
        recipe = recipe.replace(documented, used)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    whole = folder / "nginx.conf"
    whole.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
        f"events {{}}\nhttp {{ access_log off; {places}\n{recipe}\n}}\n"
    )
    process = subprocess.Popen([str(NGINX), "-c", str(whole)], stderr=subprocess.DEVNULL)
    try:
        _wait(f"https://127.0.0.1:{port}/icon.png", authority)
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait(url: str, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    end_s = time.monotonic() + _START_S
    with urllib3.PoolManager(ssl_context=context, retries=False, timeout=5.0) as pool:
        while time.monotonic() < end_s:
            try:
                pool.request("GET", url)
            except urllib3.exceptions.HTTPError:
                time.sleep(0.05)
            else:
                return
    raise AssertionError("nginx did not answer")
