"""What operators see: JSON log lines and Prometheus figures. Neither holds patient data.

Log lines name the route's rule, never the address (it may be a signed link), the hook instance,
the issuer, figures and error types. Exceptions are logged as type and place without their
message, which may quote data.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from cds_hooks.drift import Drift, Reference, stability_figures
from model.prediction import Explanation
from model.record import PatientRecord

Stage = Callable[[str], AbstractContextManager[None]]  # measures what its block does
Logger = structlog.typing.FilteringBoundLogger
_LATENCY_S = (0.01, 0.02, 0.04, 0.06, 0.09, 0.12, 0.2, 0.3, 0.45, 0.7, 1.0, 2.0, 5.0, 10.0)
_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
_ROOT = Path(__file__).parent.parent


def unmeasured(_stage: str) -> AbstractContextManager[None]:
    """Measure nothing."""
    return nullcontext()


def configure_logging(stream: TextIO | None = None) -> None:
    """Write our log lines as JSON to a stream, stderr by default. For the whole process."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    # urllib3 quotes whole addresses in its warnings, and a FHIR address may hold a patient's id.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def logger() -> Logger:
    """The log of the service."""
    log: Logger = structlog.get_logger()
    return log


def where(error: BaseException) -> list[str]:
    """Type and places of an exception and of its causes, without any message."""
    lines: list[str] = []
    current: BaseException | None = error
    while current is not None:
        lines.append(type(current).__name__)
        frames = traceback.extract_tb(current.__traceback__)[-6:]
        lines += [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]
        current = current.__cause__ or current.__context__
    return lines


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else path.name


class Figures:
    """The Prometheus figures of one application; under several workers, of all of them."""

    def __init__(self, *, shared: bool = False) -> None:
        """``shared``: several workers add up their figures in gunicorn's folder for them."""
        self._shared = shared
        self.registry = CollectorRegistry()
        self._drift: Drift | None = None
        self.bin_count = 0  # of each watched input, 0 where none is watched
        self._answers = Counter(
            "meam_http_answers",
            "Answers by route and status.",
            ["route", "status"],
            registry=self.registry,
        )
        self._stages = Histogram(
            "meam_stage_seconds",
            "Time of each stage of a hook.",
            ["stage"],
            buckets=_LATENCY_S,
            registry=self.registry,
        )
        self._cards = Counter(
            "meam_cards",
            "Cards by service and indicator; none: nothing to advise.",
            ["service", "indicator"],
            registry=self.registry,
        )
        self._abstentions = Counter(
            "meam_abstentions",
            "Predictions that were not given, or are uncertain.",
            ["kind"],
            registry=self.registry,
        )
        self._held_back = Counter(
            "meam_cards_held_back",
            "Cards that the cool-down held back or shortened.",
            registry=self.registry,
        )
        self._agreement = Histogram(
            "meam_agreement",
            "Share of the strongest findings that two methods have in common.",
            ["methods"],
            buckets=_SHARES,
            registry=self.registry,
        )
        self._limits = Counter(
            "meam_data_limits",
            "Prefetch keys that could not be obtained, by reason.",
            ["key", "reason"],
            registry=self.registry,
        )
        self._feedback = Counter(
            "meam_feedback", "Feedback items by outcome.", ["outcome"], registry=self.registry
        )
        self._steps = Counter(
            "meam_next_steps",
            "Next steps that cards offered, and that feedback says were accepted.",
            ["step", "what"],
            registry=self.registry,
        )
        self._lookups = Counter(
            "meam_sentence_cache",
            "Note sentences looked up in the cache on disk.",
            ["outcome"],
            registry=self.registry,
        )
        self._refused_callers = Counter(
            "meam_refused_callers", "JWTs refused, by reason.", ["reason"], registry=self.registry
        )

    def answered(self, route: str, status: int) -> None:
        """Count an HTTP answer; ``route`` is a rule, never an address."""
        self._answers.labels(route, str(status)).inc()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage of a hook, whether it succeeds or not."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._stages.labels(name).observe(time.perf_counter() - start)

    def advised(self, service: str, indicator: str) -> None:
        """Count a card; "none" where there was nothing to advise."""
        self._cards.labels(service, indicator).inc()

    def abstained(self, kind: str) -> None:
        """Count a prediction that is "not applicable", "uncertain" or "unexplained"."""
        self._abstentions.labels(kind).inc()

    def limited(self, key: str, reason: str) -> None:
        """Count a prefetch key of ours that could not be obtained."""
        self._limits.labels(key, reason).inc()

    def feedback(self, counts: Mapping[str, int]) -> None:
        """Count feedback items by outcome."""
        for outcome, count in counts.items():
            self._feedback.labels(outcome).inc(count)

    def refused(self, reason: str) -> None:
        """Count a refused JWT."""
        self._refused_callers.labels(reason).inc()

    def held_back(self) -> None:
        """Count a card that the cool-down held back or shortened."""
        self._held_back.inc()

    def explained(self, explanation: Explanation) -> None:
        """Count how far the methods agree on one explanation."""
        agreement = explanation.agreement
        if agreement.attention_shap_top5 is not None:
            self._agreement.labels("attention, SHAP").observe(agreement.attention_shap_top5)
        compared = agreement.shap_lime_note_compared
        if agreement.shap_lime_note_common is not None and compared:
            self._agreement.labels("LIME, SHAP").observe(agreement.shap_lime_note_common / compared)

    def looked_up(self, found: int, missed: int) -> None:
        """Count sentences that the process did not know, by whether the lasting cache did."""
        self._lookups.labels("found").inc(found)
        self._lookups.labels("missed").inc(missed)

    def watch(self, reference: Reference, warn_from: float) -> None:
        """From now on compare inputs with those of training."""
        self._drift = Drift(reference, self.registry, warn_from)
        self.bin_count = reference.bin_count

    def steps(self, what: str, step_ids: Iterable[str]) -> None:
        """Count next steps that were "offered" on a shown card, or "accepted"."""
        for step_id in step_ids:
            self._steps.labels(step_id, what).inc()

    def seen(self, record: PatientRecord) -> Mapping[str, int]:
        """Count the inputs of a record, and return their bins; none where they are not watched."""
        return self._drift.seen(record) if self._drift is not None else {}

    def drifting(self) -> tuple[str, ...]:
        """The inputs that are far from training of late, the farthest first."""
        return self._drift.drifting() if self._drift is not None else ()

    def page(self) -> bytes:
        """All figures as Prometheus reads them, with the stability index of each input."""
        text: Any = generate_latest(_Snapshot(self._collected(), self.bin_count))
        return bytes(text)

    def _collected(self) -> list[Metric]:
        if not self._shared:
            return list(self.registry.collect())
        together = CollectorRegistry()
        MultiProcessCollector(together)
        return list(together.collect())


class _Snapshot(CollectorRegistry):
    """What was collected once, and what follows from it."""

    def __init__(self, metrics: list[Metric], bin_count: int) -> None:
        super().__init__()
        self._metrics = metrics
        self._bin_count = bin_count

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        yield from self._metrics
        if self._bin_count:
            yield stability_figures(self._metrics, self._bin_count)
