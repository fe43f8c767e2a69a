"""``python -m tests.peers.run [--peer NAME]``: the suite against other people's CDS services.

Makes each peer's own environment at pinned versions, starts it on the loopback interface, runs all
cases of CDS Hooks 2.0.1 without JWTs (none of the peers verifies any), and writes JSON and HTML.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from conformance.case import load_cases
from conformance.endpoint import Endpoint
from conformance.exchange import Wire
from conformance.report_files import to_json
from conformance.report_page import to_page
from conformance.runner import VERDICTS, Run, run_cases
from conformance.sample import SampleChart
from conformance.target import Target
from tests.peers.environments import BUILD, PeerMissing
from tests.peers.peers import PEERS, Peer, started


def run_peer(peer: Peer) -> Run:
    """Run all cases against an installed peer. Raises PeerMissing."""
    with started(peer) as base, Endpoint(SampleChart()) as endpoint:
        wire = Wire()
        try:
            target = Target(base, feedback=True, cors_origin=peer.origin)
            return run_cases(target, load_cases(), endpoint, wire)
        finally:
            wire.close()


def failed(run: Run) -> set[str]:
    """Return the names of the cases that failed or broke."""
    return {one.case.id for one in run.results if one.verdict in ("fail", "error")}


@click.command()
@click.option("--peer", "names", multiple=True, type=click.Choice([peer.name for peer in PEERS]))
@click.option("--reports", default=BUILD / "reports", type=click.Path(path_type=Path))
def main(names: tuple[str, ...], reports: Path) -> None:
    """Try the suite on other people's services."""
    console, missing = Console(), 0
    reports.mkdir(parents=True, exist_ok=True)
    table = Table("Peer", *VERDICTS, "SHALL failed", "seconds")
    for peer in PEERS:
        if names and peer.name not in names:
            continue
        try:
            console.print(f"{peer.what} ...", highlight=False)
            peer.prepare()
            run = run_peer(peer)
        except PeerMissing as exc:
            console.print(str(exc), style="red", highlight=False)
            missing += 1
            continue
        _print_failures(console, run)
        (reports / f"{peer.name}.json").write_text(to_json(run), encoding="utf-8")
        (reports / f"{peer.name}.html").write_text(to_page(run), encoding="utf-8")
        strong = sum(one.verdict == "fail" and one.case.level == "SHALL" for one in run.results)
        counts = [str(run.count(verdict)) for verdict in VERDICTS]
        table.add_row(peer.name, *counts, str(strong), f"{run.seconds:.1f}")
    console.print(table)
    console.print(f"Reports: {reports}", highlight=False, soft_wrap=True)
    sys.exit(bool(missing))


def _print_failures(console: Console, run: Run) -> None:
    for one in run.results:
        if one.verdict in ("fail", "error"):
            said = one.findings[0] if one.findings else ""
            line = f"  {one.verdict} {one.case.level:6} {one.case.id}: {said}"
            console.print(line, highlight=False, soft_wrap=True, markup=False)


if __name__ == "__main__":
    main()
