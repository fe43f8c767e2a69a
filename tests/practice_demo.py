"""``meam demo`` as a process, for commands that look at its pages in a browser."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page

from conformance.fhir_server import find_executable

PATIENTS = ("sample-sepsis", "sample-heart-failure", "sample-observation")
_READY_S = 300.0
_OPENING_MS = 120_000.0  # all parts run on this machine, which may be busy
_ADDRESS = re.compile(r"Practice EHR:\s+(http://\S+/)")


@contextmanager
def demo(folder: Path) -> Iterator[str]:
    """Run the demo on free ports and yield the address of its practice EHR."""
    log = folder / "demo.log"
    command = [sys.executable, "-m", "cds_hooks.cli", "demo"]
    command += ["--fhir-venv", str(find_executable().parents[1])]
    command += ["--fhir-port", "0", "--service-port", "0", "--ehr-port", "0"]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        process.wait(60)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + _READY_S
    while time.monotonic() < end:
        found = _ADDRESS.search(log.read_text())
        if found:
            return found[1]
        if process.poll() is not None:
            raise RuntimeError(f"The demo ended by itself: {log.read_text()[-500:]}")
        time.sleep(0.5)
    raise RuntimeError(f"The demo was not ready within {_READY_S:.0f} s.")


def open_chart(page: Page, ehr: str, patient: str) -> str:
    """Open a chart; return the address of the explanation. Raises RuntimeError without one."""
    page.goto(f"{ehr}1/patients/{patient}", timeout=_OPENING_MS)
    link = page.get_by_role("link", name="Explanation with sources").first
    address = link.get_attribute("href") if link.count() else None
    if address is None:
        raise RuntimeError(f"The chart of {patient} has no card with an explanation.")
    return address
