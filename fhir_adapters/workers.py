"""Threads that fetch, and a caller that waits for them no longer than its deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import TIMEOUT_MAX
from typing import ParamSpec, TypeVar

from fhir_adapters.connections import SocketWatch, watch_of_this_thread
from fhir_adapters.deadline import Deadline
from fhir_adapters.errors import FhirTimeout

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Workers:
    """Runs jobs in threads; once the deadline has passed, cuts the connections of those left."""

    def __init__(self, threads: int, deadline: Deadline, watch: SocketWatch) -> None:
        self._pool = ThreadPoolExecutor(
            threads,
            thread_name_prefix="fhir",
            initializer=watch_of_this_thread.set,  # so that any connection they use can be cut
            initargs=(watch,),
        )
        self._deadline = deadline
        self._watch = watch

    def submit(self, job: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        return self._pool.submit(job, *args, **kwargs)

    def wait(self, futures: Iterable[Future[_T]]) -> None:
        """Return when all are done or the deadline has passed."""
        patience_s = min(self._deadline.remaining_s(), TIMEOUT_MAX)
        _, late = wait(tuple(futures), timeout=patience_s)
        for future in late:
            future.cancel()
        if late:
            self._watch.cut()

    def result(self, future: Future[_T], what: str) -> _T:
        """Return the job's result or raise its error; FhirTimeout if it was not done in time."""
        self.wait([future])
        if not future.done() or future.cancelled():
            raise FhirTimeout(f"{what}: no answer within the time allowed for this request")
        return future.result()

    def stop(self) -> None:
        self._watch.cut()
        self._pool.shutdown(wait=False, cancel_futures=True)
