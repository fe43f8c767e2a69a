"""Kills the storing worker many times at random moments; the tests do it a few times.

``python -m tests.cds_hooks.kill_run --kills 200`` prints what was acknowledged and found again, on
SQLite and, where it is installed, on PostgreSQL.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time

import click

from cds_hooks.audit_check import verify_audit
from cds_hooks.keys import KeyRing
from cds_hooks.store import Store
from tests.cds_hooks.stored_things import KEY
from tests.cds_hooks.test_durability import Writer, require_all
from tests.postgresql import PostgresMissing, running_cluster


@click.command()
@click.option("--kills", default=200, show_default=True, help="On each kind of database.")
@click.option("--seed", default=5, show_default=True, help="Of the moments.")
def main(kills: int, seed: int) -> None:
    """Kill workers while they store, and count what was lost."""
    with tempfile.TemporaryDirectory() as folder:
        _run("SQLite", f"sqlite:///{folder}/s.sqlite", kills, seed)
    try:
        with running_cluster() as server, server.schema() as name:
            _run("PostgreSQL", server.url(name), kills, seed)
    except PostgresMissing as exc:
        click.echo(f"PostgreSQL: not run: {exc}")


def _run(name: str, url: str, kills: int, seed: int) -> None:
    moments = random.Random(seed)
    writer = Writer(url)
    for _ in range(kills):
        worker = writer.start_worker()
        writer.read(moments.randrange(4))
        time.sleep(moments.uniform(0, 0.02))
        os.kill(worker, signal.SIGKILL)
        writer.read_to_the_end()
        require_all(url, writer.acknowledged)
    writer.stop()
    store = Store(url, KeyRing([KEY]))
    lines = verify_audit(store.engine, store.keys)
    store.close()
    click.echo(
        f"{name}: {kills} kills, {len(writer.acknowledged)} cards with feedback acknowledged,"
        f" none lost; the audit log is whole after each, {lines} lines."
    )


if __name__ == "__main__":
    main()
