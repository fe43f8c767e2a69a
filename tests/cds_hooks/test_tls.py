"""Requirements 2 and 78: TLS 1.2 or later, and mutual TLS, in real handshakes."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.cds_hooks.certificates import Authority
from tests.cds_hooks.running import HOOK, ROOT, Running, free_port

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
SLOW = "tests.cds_hooks.serve:slow()"


@dataclass(frozen=True)
class Files:
    """What both sides of the handshakes have."""

    folder: Path
    server: tuple[Path, Path]
    server_ca: Path
    client: tuple[Path, Path]
    client_ca: Path
    foreign: tuple[Path, Path]

    def how(self, client: tuple[Path, Path] | None) -> dict[str, Any]:
        cert = {"cert": tuple(str(file) for file in client)} if client else {}
        return {"verify": str(self.server_ca), **cert}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("tls")
    ours, ehrs = Authority(folder, "our-ca"), Authority(folder, "ehr-ca")
    return Files(
        folder,
        ours.issue("server"),
        ours.certificate,
        ehrs.issue("ehr"),
        ehrs.certificate,
        Authority(folder, "foreign-ca").issue("foreign"),
    )


@pytest.fixture(scope="module")
def direct(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """gunicorn ends TLS itself and wants clients' certificates."""
    more = (
        f'tls = "direct"\ntls_certificate = "{files.server[0]}"\ntls_key = "{files.server[1]}"\n'
        f'tls_client_ca = "{files.client_ca}"\n'
    )
    made = Running(
        tmp_path_factory.mktemp("direct"),
        more,
        scheme="https",
        how=files.how(files.client),
        application=SLOW,
    )
    yield made
    made.close()


def test_r78_a_client_with_a_certificate_is_answered(direct: Running) -> None:
    assert direct.invoke().status_code == 200


def test_r78_a_client_without_a_certificate_is_not(direct: Running, files: Files) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{direct.base}/cds-services", timeout=5, **files.how(None))


def test_r78_a_certificate_of_another_authority_is_refused(direct: Running, files: Files) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{direct.base}/cds-services", timeout=5, **files.how(files.foreign))


def test_r2_older_tls_is_refused(direct: Running, files: Files) -> None:
    context = ssl.create_default_context(cafile=str(files.server_ca))
    context.load_cert_chain(*files.client)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        direct.connect() as plain,
        pytest.raises(ssl.SSLError),
        context.wrap_socket(plain, server_hostname="127.0.0.1"),
    ):
        pass


def test_r2_plain_http_is_not_answered(direct: Running) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{direct.base.replace('https', 'http')}/cds-services", timeout=5)


def test_a_handshake_that_never_ends_holds_no_one_up(direct: Running) -> None:
    half = [direct.connect() for _ in range(5)]
    for one in half:
        one.sendall(b"\x16\x03\x01")  # the beginning of a ClientHello
    assert direct.get("/healthz").status_code == 200
    for one in half:
        one.close()


@pytest.fixture(scope="module")
def behind_nginx(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of nginx under the documented configuration, in front of the service."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    running = Running(tmp_path_factory.mktemp("proxied"), 'tls = "proxy"\n', application=SLOW)
    port, folder = free_port(), tmp_path_factory.mktemp("nginx")
    recipe = (ROOT / "docs" / "nginx.conf").read_text()
    for documented, used in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("http://127.0.0.1:5000", running.base),
        ("/etc/meam/tls/server.pem", str(files.server[0])),
        ("/etc/meam/tls/server.key", str(files.server[1])),
        ("/etc/meam/tls/ehr-ca.pem", str(files.client_ca)),
    ):
        assert documented in recipe
        recipe = recipe.replace(documented, used)
    places = " ".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = folder / "nginx.conf"
    whole.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
        f"events {{}}\nhttp {{ access_log off; {places}\n{recipe}\n}}\n"
    )
    process = subprocess.Popen([NGINX, "-c", str(whole)], stderr=subprocess.DEVNULL)
    base = f"https://127.0.0.1:{port}"
    _wait_for(f"{base}/icon.png", files)
    yield base
    process.terminate()
    process.wait(timeout=10)
    running.close()


def _wait_for(url: str, files: Files) -> None:
    end_s = time.monotonic() + 10
    while time.monotonic() < end_s:
        try:
            requests.get(url, timeout=5, **files.how(None))
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("nginx did not answer")


def test_r78_behind_nginx_only_ehrs_with_a_certificate_reach_the_hooks(
    behind_nginx: str, files: Files
) -> None:
    url = f"{behind_nginx}{HOOK}"
    body = {"hook": "other"}
    assert requests.post(url, json=body, timeout=5, **files.how(files.client)).status_code == 400
    assert requests.post(url, json=body, timeout=5, **files.how(None)).status_code == 403
    foreign = requests.post(url, json=body, timeout=5, **files.how(files.foreign))
    assert foreign.status_code == 400
    assert "SSL certificate error" in foreign.text


def test_r78_behind_nginx_browsers_reach_what_cards_link_to(
    behind_nginx: str, files: Files
) -> None:
    how = files.how(None)
    assert requests.get(f"{behind_nginx}/icon.png", timeout=5, **how).status_code == 200
    page = requests.get(f"{behind_nginx}/explanations/none", timeout=5, **how)
    assert page.headers["Content-Type"].startswith("text/html")
    for path in ("/metrics", "/healthz", "/readyz"):
        assert requests.get(f"{behind_nginx}{path}", timeout=5, **how).status_code == 404
