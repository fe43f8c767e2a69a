"""A small machine on a large one: one core and so many megabytes for a process and its children.

Control groups of version 1 or 2, where this user may make one. Where not, only the core is limited
and ``enforced`` says so: a limit on addresses (RLIMIT_AS) would be something else, since mapped
weights and thread stacks take addresses and no memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
NAME = "meam-small"
PERIOD_US = 100_000


class SmallMachine:
    """Limits that a child process puts on itself before it starts, and what they saw."""

    def __init__(self, memory_mb: int, groups: dict[str, Path]) -> None:
        self.memory_mb = memory_mb
        self._groups = groups
        self._core = min(os.sched_getaffinity(0))

    @property
    def enforced(self) -> str:
        """Say what is limited, and how."""
        how = "control group" if self._groups else "no control group can be made here: not enforced"
        return f"1 core, {self.memory_mb} MB ({how})"

    def enter(self) -> None:
        """Limit this process and its children: for ``preexec_fn``."""
        os.sched_setaffinity(0, {self._core})
        for group in set(self._groups.values()):
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def peak_mb(self) -> float | None:
        """Return the largest memory so far, of all processes and their files in memory."""
        return self._read("memory", "memory.peak", "memory.max_usage_in_bytes")

    def held_mb(self) -> float | None:
        """Return the memory that the kernel could not take back: without files in memory."""
        names = ("anon", "total_rss")
        group = self._groups.get("memory")
        if group is None:
            return None
        lines = dict(
            line.split() for line in (group / "memory.stat").read_text().splitlines() if line
        )
        return next(int(lines[name]) / 1e6 for name in names if name in lines)

    def killed(self) -> int:
        """Return how many processes the kernel killed for want of memory."""
        group = self._groups.get("memory")
        if group is None:
            return 0
        for name in ("memory.events", "memory.oom_control"):
            if (group / name).exists():
                lines = (line.split() for line in (group / name).read_text().splitlines())
                return next((int(value) for key, value in lines if key == "oom_kill"), 0)
        return 0

    def _read(self, kind: str, *names: str) -> float | None:
        group = self._groups.get(kind)
        files = [group / name for name in names if (group / name).exists()] if group else []
        return int(files[0].read_text()) / 1e6 if files else None


@contextmanager
def small_machine(memory_mb: int) -> Iterator[SmallMachine]:
    """Make the groups, and remove them when the processes have ended."""
    groups: dict[str, Path] = {}
    try:
        groups = _make_groups(memory_mb)
    except OSError:
        groups = {}
    try:
        yield SmallMachine(memory_mb, groups)
    finally:
        for group in set(groups.values()):
            _remove(group)


def _make_groups(memory_mb: int) -> dict[str, Path]:
    name, limit = f"{NAME}-{os.getpid()}", str(memory_mb * 1024 * 1024)
    if (ROOT / "cgroup.controllers").exists():
        group = _fresh(ROOT / name)
        (group / "memory.max").write_text(limit)
        (group / "memory.swap.max").write_text("0")
        (group / "cpu.max").write_text(f"{PERIOD_US} {PERIOD_US}")
        return {"memory": group, "cpu": group}
    memory, cpu = _fresh(ROOT / "memory" / name), _fresh(ROOT / "cpu" / name)
    (memory / "memory.limit_in_bytes").write_text(limit)
    (cpu / "cpu.cfs_period_us").write_text(str(PERIOD_US))
    (cpu / "cpu.cfs_quota_us").write_text(str(PERIOD_US))
    return {"memory": memory, "cpu": cpu}


def _fresh(group: Path) -> Path:
    group.mkdir()
    return group


def _remove(group: Path) -> None:
    for _ in range(50):
        try:
            group.rmdir()
        except OSError:  # the last process is still being cleared away
            time.sleep(0.1)
        else:
            return
