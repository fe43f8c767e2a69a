"""32 clients call hooks and send feedback while processes are killed; nothing acknowledged is lost.

Run as ``python -m tests.attacks.load [--clients 32] [--seconds 300]`` from the repository root.
gunicorn with two workers, JWT trust on, whole charts prefetched; each card gets its feedback. A
third of the way a worker is killed with -9, after two thirds the master and all workers, and the
service is started again. At the end every acknowledged feedback has to stand in the store exactly
once, and while the service was up there must have been no 5xx but 503 with Retry-After.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

from cds_hooks.audit_check import verify_audit
from tests.attacks.load_client import Charts, Client, sample_bodies
from tests.attacks.results import Results
from tests.attacks.site import Site, running

_LOOK_EVERY_S = 5.0


class Memory:
    """What the processes hold, over time."""

    def __init__(self, site: Site) -> None:
        self._site, self._ends = site, threading.Event()
        self.looks: list[tuple[float, float]] = []
        self._start_s = time.monotonic()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ends.wait(_LOOK_EVERY_S):
            try:
                self.looks.append((time.monotonic() - self._start_s, self._site.resident_mb()))
            except OSError:
                continue  # between two lives

    def end(self) -> list[tuple[float, float]]:
        """Stop looking."""
        self._ends.set()
        self._thread.join()
        return self.looks


def load(folder: Path, results: Results, *, clients: int, seconds: float, workers: int = 2) -> None:
    """Run the whole thing."""
    bodies = sample_bodies()
    load_before = os.getloadavg()[0]
    with running(folder, workers=workers) as site:
        memory = Memory(site)
        team = [Client(site, bodies, number) for number in range(clients)]
        start_s = time.monotonic()
        for client in team:
            client.start()
        _kill_twice(site, team, seconds)
        for client in team:
            client.join()
        took_s = time.monotonic() - start_s
        looks = memory.end()
        site.stop()
        _judge(site, team, results)
    _report(team, results, bodies, looks, took_s)
    results.note(f"load average of the machine before: {load_before:.2f}, {os.cpu_count()} CPUs")


def _kill_twice(site: Site, team: list[Client], seconds: float) -> None:
    time.sleep(seconds / 3)
    for client in team:
        client.disturbed.set()
    site.kill_worker()
    time.sleep(seconds / 6)
    for client in team:
        client.disturbed.clear()
    time.sleep(seconds / 6)
    for client in team:
        client.disturbed.set()
    site.kill_all()
    site.start()
    time.sleep(min(5.0, seconds / 12))
    for client in team:
        client.disturbed.clear()
    time.sleep(seconds / 4)
    for client in team:
        client.ending.set()


def _judge(site: Site, team: list[Client], results: Results) -> None:
    acknowledged = Counter(key for client in team for key in client.acknowledged)
    with sqlite3.connect(site.database) as database:
        rows = database.execute("SELECT card_uuid, outcome_timestamp, known_card FROM feedback")
        stored = Counter((card, when) for card, when, known in rows if known)
    for key in acknowledged:
        if stored[key] != 1:
            results.fault(f"acknowledged feedback stored {stored[key]} times", str(key))
    results.count("acknowledged feedback", len(acknowledged))
    results.count("feedback in the store", sum(stored.values()))
    for client in team:
        for fault, example in client.faults:
            results.fault(fault, example)
    store = site.store()
    try:
        results.note(f"audit log whole: {verify_audit(store.engine, store.keys)} lines")
    finally:
        store.close()


def _report(
    team: list[Client],
    results: Results,
    bodies: Charts,
    looks: list[tuple[float, float]],
    took_s: float,
) -> None:
    for client in team:
        results.rows.update(client.counts)
    took = np.array([one for client in team for one in client.took_s]) * 1000
    if not len(took):
        results.fault("not one hook was answered")
        return
    p50, p95, p99 = np.percentile(took, [50, 95, 99])
    results.note(
        f"hooks: {len(took)} in {took_s:.0f} s, kills and starts among it,"
        f" {len(took) / took_s:.1f} a second;"
        f" p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms, max {took.max():.0f} ms"
    )
    sizes = [len(body) / 1000 for body in bodies.values()]
    results.note(f"{len(sizes)} charts of {min(sizes):.0f} to {max(sizes):.0f} kB")
    if looks:
        third = max(1, len(looks) // 6)
        shown = ", ".join(f"{mb:.0f} MB at {at:.0f} s" for at, mb in looks[::third])
        results.note(f"memory of master and workers (PSS): {shown}")


def main() -> None:
    """Load as the options say, and print figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    results = Results(f"load: {options.clients} clients, {options.workers} workers")
    with tempfile.TemporaryDirectory() as name:
        load(
            Path(name),
            results,
            clients=options.clients,
            seconds=options.seconds,
            workers=options.workers,
        )
    raise SystemExit(results.report())


if __name__ == "__main__":
    main()
