"""What a worker does once, before its first request."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Threads that allocate beside each other; then malloc itself says how many arenas it has.
_COUNT_ARENAS = """
import ctypes, sys, threading
from cds_hooks.warm_up import share_arenas

libc = ctypes.CDLL(None)
if sys.argv[2] == "shared":
    share_arenas()
together = threading.Barrier(12)

def work():
    together.wait()
    libc.malloc(ctypes.c_size_t(100_000))
    together.wait()

team = [threading.Thread(target=work) for _ in range(12)]
for one in team:
    one.start()
for one in team:
    one.join()
libc.fopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, stream)
libc.fclose(stream)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="arenas are glibc's")
def test_threads_share_two_arenas(tmp_path):
    counted = {}
    for how in ("shared", "own"):
        told = tmp_path / how
        subprocess.run([sys.executable, "-c", _COUNT_ARENAS, str(told), how], check=True)
        counted[how] = told.read_text().count("<heap nr=")
    assert counted["shared"] <= 2 < counted["own"]
