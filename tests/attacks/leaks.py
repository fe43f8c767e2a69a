"""Plants a patient's data and secrets, lets everything happen, and looks where they may not be.

Run as ``python -m tests.attacks.leaks`` from the repository root. A running gunicorn, with all
loggers at DEBUG, sees good and bad hooks, forged JWTs, a failing FHIR server, a locked and a broken
database, feedback, explanation pages, malformed HTTP and kill -9. Then log, metrics, error answers,
the database's bytes with its write-ahead log, and every other file that was written are searched.
The card, the explanation page, and ids in an error to the caller who sent them are the declared
places.
"""

from __future__ import annotations

import argparse
import base64
import logging
import sqlite3
import tempfile
from pathlib import Path

import requests
from pytest_httpserver import HTTPServer

from tests.attacks.leak_scenes import Stage, play_all
from tests.attacks.markers import PHI, SECRETS, found_in, found_in_files
from tests.attacks.results import Results
from tests.attacks.site import Site, running
from tests.cds_hooks import signing
from tests.cds_hooks.fhir_stub import FhirStub

_IDS = ("patient id", "encounter id", "user id", "other patient", "device id")


def scan(folder: Path, results: Results) -> None:
    """Run the service, play all scenes, and search what they left behind."""
    home = folder / "home"
    home.mkdir(parents=True)
    environ = {
        "TMPDIR": str(home),
        "HOME": str(home),
        "GUNICORN_CMD_ARGS": "--log-level debug --access-logfile -",
        "PYTHONFAULTHANDLER": "1",
    }
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the stub's own, not the service's
    server = HTTPServer(host="127.0.0.1")
    server.start()
    try:
        stub = FhirStub(server)
        with running(
            folder / "site",
            fhir_servers=(stub.base_url,),
            gunicorn=("tests.attacks.verbose:application()",),
            environ=environ,
            deadline_ms=3000,
        ) as site:
            _look_at_processes(site, results)
            stage = Stage(site, stub, results)
            play_all(stage)
            metrics = requests.get(f"{site.base}/metrics", timeout=10).content
            markers = {**PHI, **SECRETS, **stage.secrets}
            _expect_nothing(results, "metrics", found_in(metrics, markers))
            site.kill_all()
            _search(folder, results, markers, stage)
            _can_find(folder, results, site)
    finally:
        server.stop()


def _search(folder: Path, results: Results, markers: dict[str, str], stage: Stage) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    results.count("files searched", len(files))
    results.count("bytes searched", sum(path.stat().st_size for path in files))
    results.count("markers", len(markers))
    _expect_nothing(results, "files", found_in_files(folder, markers))
    _expect_nothing(results, "core file", [one.name for one in files if one.name[:4] == "core"])
    for path in files:
        private = path.stat().st_mode & 0o077 == 0
        if path.suffix in (".sqlite",) or path.name.endswith(("-wal", "-shm")):
            _expect_nothing(results, "others may read", [] if private else [path.name])
    hidden = {name: text for name, text in markers.items() if name not in _IDS}
    for what, body in stage.refusals:
        results.count("error answers searched")
        _expect_nothing(results, f"error answer to {what}", found_in(body, hidden))
    for needed in ("note sentence", "fetched note"):
        if not any(PHI[needed] in page for page in stage.pages):
            results.fault(f"the scenes did not work: no page shows the {needed}")


def _look_at_processes(site: Site, results: Results) -> None:
    """No core file can be written, and no secret stands on a command line."""
    for pid in (site.process.pid, *site.worker_pids()):
        limits = Path(f"/proc/{pid}/limits").read_text()
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        if core.split()[4:6] != ["0", "0"]:
            results.fault("a core file could be written", core)
        if site.key.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            results.fault("a key stands on the command line")


def _can_find(folder: Path, results: Results, site: Site) -> None:
    """A search that finds nothing has to be one that could: plant markers, and find them."""
    name = PHI["family name"]
    with sqlite3.connect(site.database) as database:
        database.execute("CREATE TABLE planted (what BLOB)")
        for what in (name.encode("utf-16-le"), base64.b64encode(b"x" + name.encode() + b"yy")):
            database.execute("INSERT INTO planted VALUES (?)", (what,))
    found = " ".join(found_in_files(folder, PHI))
    if "utf-16" not in found or "base64" not in found:
        results.fault("the search is blind", found)
    signing.ec_key.cache_clear()


def _expect_nothing(results: Results, where: str, found: list[str]) -> None:
    for one in found:
        results.fault(f"{where}: {one}")


def main() -> None:
    """Scan, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="Folder for what the service wrote.")
    options = parser.parse_args()
    results = Results("leak scan")
    with tempfile.TemporaryDirectory() as name:
        scan(options.keep or Path(name), results)
    raise SystemExit(results.report())


if __name__ == "__main__":
    main()
