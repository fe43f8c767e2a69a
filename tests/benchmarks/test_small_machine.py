"""The limits of the small machine hold, or it says that they do not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.benchmarks.small_machine import small_machine

MEMORY_MB = 64


def take(machine, megabytes):
    """Run a process under the limits that fills so much memory; return its exit status."""
    program = f"import os; print(len(os.sched_getaffinity(0))); b = bytearray({megabytes}<<20)"
    return subprocess.run(
        [sys.executable, "-S", "-c", program],
        preexec_fn=machine.enter,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_process_has_one_core_and_so_much_memory():
    with small_machine(MEMORY_MB) as machine:
        little = take(machine, 8)
        assert (little.returncode, little.stdout.strip()) == (0, "1")
        if "not enforced" in machine.enforced:
            pytest.skip("no control group can be made here")
        assert 8 < machine.peak_mb() < MEMORY_MB * 1.05
        assert machine.killed() == 0
        assert take(machine, 3 * MEMORY_MB).returncode != 0
        assert machine.killed() == 1
