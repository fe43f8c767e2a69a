"""``meam score`` on a Ray cluster of two nodes of this machine, with a worker killed midway.

    python -m tests.cds_hooks.score_ray_run FOLDER [--patients 60] [--kills 1]

FOLDER holds a checkpoint and an export, or gets them. The cluster has a node for each worker, as
two machines would. A worker process is killed with SIGKILL while it scores, and the result is
compared, line by line, with that of one process without Ray.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import click

from cds_hooks.score_command import Workers, score_with
from cds_hooks.score_ray import ray_engine
from fhir_adapters.bulk import BulkProgress, write_bulk
from tests.cds_hooks.score_world import loading, sorted_lines, write_small_checkpoint
from tests.cds_hooks.site_export import NOW, site_charts

TITLE = b"ray::LateScorer"  # what Ray calls the process of such an actor


def actor_processes() -> list[int]:
    """Return the worker processes that Ray started below this one."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            title = (folder / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(folder.name)] = int(stat[1])
        if title.startswith(TITLE):
            found.append(int(folder.name))
    return [pid for pid in found if os.getpid() in _ancestors(pid, parents)]


def _ancestors(pid: int, parents: dict[int, int]) -> list[int]:
    line = []
    while pid in parents:
        pid = parents[pid]
        line.append(pid)
    return line


class Killer:
    """Kills a worker at given numbers of patients, once each."""

    def __init__(self, moments: list[int]) -> None:
        self.moments = moments
        self.killed = 0

    def watch(self, progress: BulkProgress) -> None:
        """Kill the newest worker if it is time."""
        if progress.stage != "reading" or not self.moments or progress.done < self.moments[0]:
            return
        running = actor_processes()
        if running:
            self.moments.pop(0)
            os.kill(max(running), signal.SIGKILL)
            self.killed += 1


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--patients", default=60, show_default=True)
@click.option("--kills", default=1, show_default=True)
def main(folder: Path, patients: int, kills: int) -> None:
    """Score with and without Ray, and compare."""
    from ray.cluster_utils import Cluster

    checkpoint, export = folder / "checkpoint", folder / "export"
    if not checkpoint.exists():
        write_small_checkpoint(checkpoint)
        write_bulk(site_charts(patients), export)
    load = loading(checkpoint)
    score_with(load(), export, folder / "one.ndjson", folder / "one.left-out.ndjson", NOW)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        engine, workers = ray_engine(cluster.address, None)
        killer = Killer([patients * (n + 1) // (kills + 2) for n in range(kills)])
        began = time.monotonic()
        tally = score_with(
            load(),
            export,
            folder / "ray.ndjson",
            folder / "ray.left-out.ndjson",
            NOW,
            on_progress=killer.watch,
            workers=Workers(workers, engine, load),
        )
        seconds = time.monotonic() - began
    finally:
        import ray

        ray.shutdown()
        cluster.shutdown()
    one, other = sorted_lines(folder / "one.ndjson"), sorted_lines(folder / "ray.ndjson")
    if one != other or killer.killed != kills:
        sys.exit(f"{len(one)} lines by one process, {len(other)} by Ray; {killer.killed} kills")
    click.echo(
        f"{tally.patients} patients on {workers} nodes in {seconds:.1f} s, {killer.killed} workers"
        " killed: every line as one process writes it."
    )


if __name__ == "__main__":
    main()
