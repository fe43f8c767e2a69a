"""``python -m tests.conformance.report_pictures``: draw the pictures of reports that docs/ shows.

Our own service in its first mode, HealthChain where ``tests.peers.run`` installed it, and the
second FHIR server with the sample patients.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Browser

from conformance.__main__ import main as conformance
from conformance.fhir_server import load
from conformance.report_page import to_page
from fhir_adapters.datasets.sample_patients import sample_charts
from tests.browser import chromium
from tests.conformance.own_modes import MODES, run_mode
from tests.medplum_server import start as start_medplum
from tests.peers.peers import PEERS
from tests.peers.run import run_peer

DOCS = Path(__file__).parents[2] / "docs"
_WIDE, _WIDER = {"width": 1100, "height": 1000}, {"width": 1200, "height": 1300}


def draw(browser: Browser, page: str, name: str, *, evidence: bool = False) -> None:
    """Write one picture; ``evidence``: of the first failure, opened, in dark mode."""
    size = _WIDER if name.startswith("sandbox") else _WIDE
    shown = browser.new_page(viewport=size, color_scheme="dark" if evidence else "light")  # type: ignore[arg-type]
    shown.set_content(page)
    if evidence:
        shown.locator("label:has(#only-fail)").click()
        shown.locator("details:visible summary").first.click()
        shown.locator(".filters").evaluate("one => one.scrollIntoView()")
    shown.screenshot(path=DOCS / name)
    sys.stdout.write(f"{DOCS / name}\n")


def sandbox_page(folder: Path) -> str:
    """Look over the second FHIR server, with the reader of the service."""
    reader = shlex.join((sys.executable, "-m", "cds_hooks.sandbox_reader"))
    with start_medplum() as server:
        for chart in sample_charts(datetime.now(UTC)).values():
            load(server.base_url, chart.resources)
        options = ["--fhir", server.base_url, "--rate", "0", "--html", str(folder / "page")]
        with suppress(SystemExit):
            conformance(["sandbox", *options, "--reader", reader], standalone_mode=False)
    return (folder / "page").read_text(encoding="utf-8")


def main() -> None:
    """Draw all pictures."""
    with chromium() as browser, tempfile.TemporaryDirectory(prefix="pictures-") as made:
        folder = Path(made)
        draw(browser, to_page(run_mode(MODES[0], folder)), "conformance-report.png")
        (peer,) = [one for one in PEERS if one.name == "healthchain"]
        if peer.installed():
            draw(browser, to_page(run_peer(peer)), "conformance-evidence.png", evidence=True)
        draw(browser, sandbox_page(folder), "sandbox-report.png")


if __name__ == "__main__":
    main()
