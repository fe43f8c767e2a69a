"""Python's garbage collector, kept from going through charts that are soon gone.

Resources are trees: they are freed when the last reference goes, without the collector. While one
of 10,000 Observations grows to 200,000 objects, it would go through them again and again, for 40
processor-ms of such a hook.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Let the block work without collections; they go on as soon as it is left.

    The pause is the process's. Of blocks in several threads one pauses, and what the others leave
    behind waits for its end: no longer than one hook, so that no cycle of objects stays for long.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
