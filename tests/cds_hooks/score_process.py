"""``score_with`` in a process of its own, which a test kills or whose memory it watches.

    python -m tests.cds_hooks.score_process CHECKPOINT EXPORT RESULTS LEFT_OUT KILL_AT WORKERS

The process kills itself, without any farewell, when KILL_AT patients are done (-1: never). With
two workers or more they are processes, too. Every 50 patients it prints its resident memory in MB.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from cds_hooks.score_command import Workers, score_with
from cds_hooks.score_workers import processes
from fhir_adapters.bulk import BulkProgress
from tests.cds_hooks.score_world import loading
from tests.cds_hooks.site_export import NOW

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


def main(
    checkpoint: Path, export: Path, results: Path, left_out: Path, kill_at: int, workers: int
) -> None:
    """Score; die where told."""

    def watch(progress: BulkProgress) -> None:
        if progress.stage == "reading" and progress.done == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if progress.stage == "reading" and progress.done % 50 == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            sys.stdout.write(f"{pages * PAGE_MB:.1f}\n")

    load = loading(checkpoint)
    score_with(
        load(),
        export,
        results,
        left_out,
        NOW,
        on_progress=watch,
        workers=Workers(workers, processes if workers > 1 else None, load),
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]), kill_at=int(sys.argv[5]), workers=int(sys.argv[6]))
