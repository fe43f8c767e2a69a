"""Hook workers as processes, so that two source trees, or two settings, can take turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("hook_worker.py")


@dataclass
class Worker:
    """One process of hook_worker.py."""

    process: subprocess.Popen[str]
    folder: Path
    sent: int = 0

    def answer(self, body: bytes, *, stages: bool = False) -> dict[str, Any]:
        """Let it answer one hook, and return what it tells. Raises RuntimeError."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the worker was started without pipes")
        file = self.folder / f"body-{self.sent % 2}.json"
        file.write_bytes(body)
        self.sent += 1
        self.process.stdin.write(json.dumps({"body": str(file), "stages": stages}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended; its log is {self.folder / 'log'}")
        told: dict[str, Any] = json.loads(line)
        return told


@contextmanager
def workers(
    folder: Path, now: datetime, trees: dict[str, Path], fhir_servers: tuple[str, ...] = ()
) -> Iterator[dict[str, Worker]]:
    """Run a worker for each source tree until the block is left."""
    with ExitStack() as stack:
        running = {}
        for name, tree in trees.items():
            own = folder / name
            own.mkdir(mode=0o700)
            process = stack.enter_context(_started(own, now, tree, fhir_servers))
            running[name] = Worker(process, own)
        yield running


@contextmanager
def _started(
    folder: Path, now: datetime, tree: Path, fhir_servers: tuple[str, ...]
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, PROGRAM, folder, str(now.timestamp()), *fhir_servers],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "OPENBLAS_NUM_THREADS": "1"},  # as in gunicorn
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
