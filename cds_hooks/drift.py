"""How far the inputs that hooks bring are from those of training, by variable, without PHI.

Each input of a record falls into one of the bins that held equal shares of the training records.
Counted is only how often each bin was hit, over about the last two thousand hooks. The figure is
the population stability index, sum((p - q) * ln(p / q)) over the bins: below 0.1 is like training,
from 0.25 on another population. Workers' counts are added up before it is taken.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from model.record import PatientRecord

_WINDOW = 2_000  # when a variable was seen so often, its counts are halved: the old fade out
_FEWEST = 200  # with fewer values the index is noise: its mean is (bins - 1) / values by chance
_CHECK_EVERY = 200  # hooks, between two looks at whether a line in the log is due
_COUNTS = "meam_input_count"


class Reference(Protocol):
    """What `model.input_reference` gives: the bins of training, and those of a record."""

    @property
    def bin_count(self) -> int:
        """How many bins of equal share there are."""

    @property
    def edges(self) -> Mapping[str, tuple[float, ...]]:
        """The inputs that can be compared."""

    def bins(self, record: PatientRecord) -> dict[str, int]:
        """In which bin each input of a record lies."""


class Drift:
    """The counts of one process, in a registry. Shared by its threads."""

    def __init__(
        self, reference: Reference, registry: CollectorRegistry, warn_from: float = 0.25
    ) -> None:
        self._reference = reference
        self._warn_from = warn_from
        self._counts = {name: [0.0] * reference.bin_count for name in reference.edges}
        self._shown: dict[tuple[str, int], Gauge] = {}  # labels() takes ten times as long
        self._drifting: tuple[str, ...] = ()
        self._hooks = 0
        self._lock = threading.Lock()
        self._gauge = Gauge(
            _COUNTS,
            "How often an input fell into each eighth of training's values, lately.",
            ["input", "bin"],
            registry=registry,
            multiprocess_mode="livesum",
        )

    def seen(self, record: PatientRecord) -> dict[str, int]:
        """Count the inputs of a record, and return the bin of each."""
        bins = self._reference.bins(record)
        with self._lock:
            for name, index in bins.items():
                counts = self._counts[name]
                counts[index] += 1
                self._show(name, index, counts[index])
                if sum(counts) >= _WINDOW:
                    self._halve(name)
            self._hooks += 1
            due = self._hooks % _CHECK_EVERY == 0
        if due:
            self._warn()
        return bins

    def drifting(self) -> tuple[str, ...]:
        """The inputs that this process found far from training, the farthest first.

        Looked at every two hundred hooks, so it is as old as that at most.
        """
        return self._drifting

    def _halve(self, name: str) -> None:
        self._counts[name] = [count / 2 for count in self._counts[name]]
        for index, count in enumerate(self._counts[name]):
            self._show(name, index, count)

    def _show(self, name: str, index: int, count: float) -> None:
        shown = self._shown.get((name, index))
        if shown is None:
            shown = self._shown[name, index] = self._gauge.labels(name, str(index))
        shown.set(count)

    def _warn(self) -> None:
        """Write one line for each input that begins to drift, and one when it is back."""
        log = structlog.get_logger()
        with self._lock:
            indices = {name: stability_index(counts) for name, counts in self._counts.items()}
            known = {name: index for name, index in indices.items() if index is not None}
            before = self._drifting
            found = [name for name, index in known.items() if index >= self._warn_from]
            self._drifting = tuple(sorted(found, key=lambda name: (-known[name], name)))
        for name, index in known.items():
            if name in self._drifting and name not in before:
                log.warning("input drift", input=name, stability_index=round(index, 3))
            elif name in before and name not in self._drifting:
                log.info("input drift over", input=name, stability_index=round(index, 3))


def stability_index(counts: Sequence[float]) -> float | None:
    """Population stability index against equal shares; None for too few values.

    Half a value is added to each bin, so that an empty bin is not infinitely far away.
    """
    total = sum(counts)
    if total < _FEWEST:
        return None
    expected = 1 / len(counts)
    shares = [(count + 0.5) / (total + 0.5 * len(counts)) for count in counts]
    return sum((share - expected) * math.log(share / expected) for share in shares)


def stability_figures(metrics: Iterable[Metric], bin_count: int) -> GaugeMetricFamily:
    """Return the index of each input, from the counts of all workers together."""
    counts: dict[str, list[float]] = {}
    for metric in metrics:
        if metric.name == _COUNTS:
            for sample in metric.samples:
                bins = counts.setdefault(sample.labels["input"], [0.0] * bin_count)
                bins[int(sample.labels["bin"])] += sample.value
    family = GaugeMetricFamily(
        "meam_input_stability_index",
        "Distance of an input's recent values from training; from 0.25 on another population.",
        labels=["input"],
    )
    for name, bins in sorted(counts.items()):
        index = stability_index(bins)
        if index is not None:
            family.add_metric([name], index)
    return family
