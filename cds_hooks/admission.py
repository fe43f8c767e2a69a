"""How many hooks are worked on at once, and how many wait. More than that is told to come back.

Without a bound, every request of a busy morning would be late; with it, some are turned away at
once and the others are answered in time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from cds_hooks.errors import Overloaded

_TOO_MANY = "more requests than this service answers in time; please try again"


class Admission:
    """A room with ``at_once`` places and a waiting line of ``waiting``: who comes first is next.

    A semaphore would let a new arrival overtake those that wait, and one of them wait too long.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self._lock = threading.Lock()
        self._free = at_once
        self._longest = waiting
        self._line: deque[threading.Event] = deque()

    @contextmanager
    def place(self, patience_s: float) -> Iterator[None]:
        """Hold a place while the block runs. Raises Overloaded if none is free in time."""
        self._enter(patience_s)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, patience_s: float) -> None:
        turn = threading.Event()
        with self._lock:
            if self._free:
                self._free -= 1
                return
            if len(self._line) >= self._longest:
                raise Overloaded(_TOO_MANY)
            self._line.append(turn)
        if turn.wait(patience_s):
            return
        with self._lock:
            if turn.is_set():  # handed over at the last moment
                return
            self._line.remove(turn)
        raise Overloaded(_TOO_MANY)

    def _leave(self) -> None:
        """Hand the place to who has waited longest, or put it back."""
        with self._lock:
            if self._line:
                self._line.popleft().set()
            else:
                self._free += 1
