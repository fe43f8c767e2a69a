"""Searches that were begun and are still to be waited for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from fhir_adapters.errors import FhirError, FhirTimeout
from fhir_adapters.paging import Collected, SearchResult
from fhir_adapters.workers import Workers

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Running:
    """One search, and what has been read of it. ``future`` None: nothing is left to read."""

    future: Future[None] | None
    collected: Collected

    def settled(self, workers: Workers) -> SearchResult:
        """Wait for it; when the deadline comes first, take what it has read, flagged.

        Raises FhirError if nothing could be read.
        """
        if self.future is None:
            return self.collected.result()
        workers.wait([self.future])
        if self.future.done() and not self.future.cancelled():
            self.future.result()
        elif self.collected.pages == 0:
            raise FhirTimeout(f"{self.collected.source}: no answer within the time allowed")
        else:
            self.collected.note("timeout", "the time allowed ran out; not all was read")
        return self.collected.result()


class Pending:
    """Several searches, side by side. They go on while nobody waits for them."""

    def __init__(self, workers: Workers, running: Mapping[str, Running]) -> None:
        self._workers = workers
        self._running = running

    def results(self) -> dict[str, SearchResult | FhirError]:
        """Wait for all; an error takes the place of its own result only."""
        futures = [one.future for one in self._running.values() if one.future is not None]
        self._workers.wait(futures)
        return {
            key: or_error(partial(one.settled, self._workers)) for key, one in self._running.items()
        }


def or_error(get: Callable[[], _T]) -> _T | FhirError:
    """Return what ``get`` returns, or the FhirError that it raises."""
    try:
        return get()
    except FhirError as exc:
        return exc


def failed(error: FhirError) -> Future[None]:
    """Return what ended before it began."""
    future: Future[None] = Future()
    future.set_exception(error)
    return future
