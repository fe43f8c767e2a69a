"""How many hooks are worked on at once, and how many wait. More than that is told to come back.

Without a bound, every request of a busy morning would be late; with it, some are turned away at
once and the others are answered in time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cds_hooks.errors import Overloaded

_TOO_MANY = "more requests than this service answers in time; please try again"


class Admission:
    """A room with ``at_once`` places and a waiting line of ``waiting``."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._places = threading.Semaphore(at_once)
        self._door = threading.Semaphore(at_once + waiting)

    @contextmanager
    def place(self, patience_s: float) -> Iterator[None]:
        """Hold a place while the block runs. Raises Overloaded if none is free in time."""
        if not self._door.acquire(blocking=False):
            raise Overloaded(_TOO_MANY)
        try:
            if not self._places.acquire(timeout=patience_s):
                raise Overloaded(_TOO_MANY)
            try:
                yield
            finally:
                self._places.release()
        finally:
            self._door.release()
