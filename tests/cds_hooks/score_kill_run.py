"""Kills ``meam score`` many times at random moments; the tests do it a few times.

    python -m tests.cds_hooks.score_kill_run --kills 100

Each run is a process group of a coordinator and two workers. At a moment drawn from its whole
length (imports, index, scoring, end) the coordinator dies, or one of its workers. In the end
every patient has one line, and the lines are those of a run that nobody disturbed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import click

from fhir_adapters.bulk import write_bulk
from tests.cds_hooks.score_world import of_session, sorted_lines, write_small_checkpoint
from tests.cds_hooks.site_export import site_charts

ROOT = Path(__file__).parents[2]
LOG = "runs.log"
FILES = ["l.ndjson", "r.ndjson", "r.ndjson.run.json"]
ORPHANS_END_S = 20.0
COORDINATOR_SHARE = 0.7  # of the kills; the others hit a worker


@dataclass
class Killing:
    """What was killed, and how many exports were nevertheless scored to their end."""

    kills: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    runs: int = 0


def kill_many(folder: Path, kills: int, patients: int, seed: int) -> Killing:
    """Kill; raise AssertionError where a patient is lost, double or other than undisturbed."""
    moments = random.Random(seed)
    checkpoint = write_small_checkpoint(folder / "checkpoint")
    write_bulk(site_charts(patients), folder / "export", compress=True, lines_per_file=500)
    began = time.monotonic()
    expected = _to_the_end(checkpoint, folder, "undisturbed")
    length_s = time.monotonic() - began
    assert len(expected) == patients
    result = Killing()
    while result.kills.total() < kills:
        name = f"run-{result.finished}"
        while result.kills.total() < kills:
            result.runs += 1
            struck = _struck(checkpoint, folder, name, moments, length_s)
            if not struck:
                break
            result.kills[struck] += 1
        assert _to_the_end(checkpoint, folder, name) == expected
        result.finished += 1
    return result


def _struck(
    checkpoint: Path, folder: Path, name: str, moments: random.Random, length_s: float
) -> str:
    """Return what was killed in one run, "" if it ended before its moment came."""
    process = _start(checkpoint, folder, name)
    time.sleep(moments.uniform(0, length_s))
    if process.poll() is not None:
        assert process.returncode == 0, (folder / LOG).read_text()
        return ""
    workers = [pid for pid in of_session(process.pid) if pid != process.pid]
    hits_worker = workers and moments.random() > COORDINATOR_SHARE
    os.kill(moments.choice(workers) if hits_worker else process.pid, signal.SIGKILL)
    if hits_worker:
        process.wait()  # it goes on with another worker
        assert process.returncode == 0, (folder / LOG).read_text()
        return "worker"
    process.wait()
    deadline_s = time.monotonic() + ORPHANS_END_S
    while left := of_session(process.pid):
        assert time.monotonic() < deadline_s, f"processes outlived their run: {left}"
        time.sleep(0.05)
    return "coordinator"


def _to_the_end(checkpoint: Path, folder: Path, name: str) -> list[bytes]:
    process = _start(checkpoint, folder, name)
    process.wait()
    assert process.returncode == 0, (folder / LOG).read_text()
    assert sorted(path.name for path in (folder / name).iterdir()) == FILES
    assert (folder / name / "l.ndjson").read_bytes() == b""
    return sorted_lines(folder / name / "r.ndjson")


def _start(checkpoint: Path, folder: Path, name: str) -> subprocess.Popen[bytes]:
    into = folder / name
    into.mkdir(exist_ok=True)
    names = [checkpoint, folder / "export", into / "r.ndjson", into / "l.ndjson"]
    command = [sys.executable, "-m", "tests.cds_hooks.score_process", *map(str, names), "-1", "2"]
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
        )


@click.command()
@click.option("--kills", default=100, show_default=True)
@click.option("--patients", default=150, show_default=True)
@click.option("--seed", default=8, show_default=True, help="Of the moments.")
def main(kills: int, patients: int, seed: int) -> None:
    """Kill runs, let others end, and compare what they wrote."""
    with tempfile.TemporaryDirectory() as folder:
        result = kill_many(Path(folder), kills, patients, seed)
    what = ", ".join(f"{count} of a {kind}" for kind, count in result.kills.most_common())
    click.echo(
        f"{result.kills.total()} kills ({what}) in {result.runs} runs; {result.finished} exports"
        f" of {patients} patients came to their end, no patient lost, none twice, every line as"
        " without a kill."
    )


if __name__ == "__main__":
    main()
