"""Other people's services fail exactly what docs/conformance-peers.md says.

``python -m tests.peers.run`` installs them; where it was not run, these tests are skipped.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conformance.case import load_cases
from tests.peers.peers import PEERS, Peer
from tests.peers.run import failed, run_peer

TEXT = (Path(__file__).parents[2] / "docs" / "conformance-peers.md").read_text(encoding="utf-8")


def documented(peer: Peer) -> dict[str, str]:
    """Return the cases that the page says to fail, with their levels."""
    (section,) = re.findall(rf"^## {re.escape(peer.name)}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    return {
        name: level
        for _, level, name in re.findall(r"^\| ([\d, ]+) \| (\w+) \| `([\w.-]+)` \|", section, re.M)
    }


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_fails_what_the_page_says(peer: Peer) -> None:
    if not peer.installed():
        pytest.skip(f"{peer.name} is not installed: python -m tests.peers.run --peer {peer.name}")
    run = run_peer(peer)
    assert failed(run) == documented(peer).keys()
    (line,) = re.findall(rf"^\| {re.escape(peer.name)} \| (.*) \|$", TEXT, re.M)
    shown = [int(cell) for cell in line.split(" | ")[1:6]]
    assert shown == [run.count(verdict) for verdict in ("pass", "fail", "skip", "omit", "error")]


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_the_page_names_cases_and_their_levels(peer: Peer) -> None:
    levels = {case.id: case.level for case in load_cases()}
    assert documented(peer)
    assert documented(peer).items() <= levels.items()


def test_the_page_names_the_versions_that_are_installed() -> None:
    for peer in PEERS:
        assert peer.what.partition(",")[0] in TEXT
