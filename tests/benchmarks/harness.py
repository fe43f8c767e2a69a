"""How the benchmarks measure: interleaved repeats, medians with intervals, slopes, the machine.

Absolute times depend on what else the machine does; ratios of things that take turns within one
run hardly do. So whatever is compared takes turns (A B A B ...), after a warm-up of each, and
every ratio is the median of the ratios of neighbours.
"""

from __future__ import annotations

import gc
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Work = Callable[[], object]

RESAMPLES = 2000
SEED = 7
PACKAGES = ("numpy", "onnxruntime", "tokenizers", "flask", "gunicorn", "sqlalchemy", "cryptography")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def shown(self, form: str = ".3g") -> str:
        """Return "1.2 (1.1 to 1.4)"."""
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})"

    def to_json(self) -> dict[str, float]:
        """Return the members."""
        return asdict(self)


def take_turns(
    works: Mapping[str, Work],
    *,
    rounds: int,
    warm_up: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Doubles]:
    """Return the seconds of each work in each round, (rounds,) by name.

    The order within a round changes from round to round, so that none always comes after the
    same other one; garbage is collected between rounds and not within.
    """
    names = list(works)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(warm_up):
        for name in names:
            works[name]()
    for number in range(rounds):
        turn = number % len(names)
        gc.collect()
        for name in names[turn:] + names[:turn]:
            start = clock()
            works[name]()
            taken[name].append(clock() - start)
    return {name: np.array(seconds) for name, seconds in taken.items()}


def median(samples: Doubles, percentile: float = 50.0) -> Estimate:
    """Return a percentile with its bootstrap interval."""
    rng = np.random.default_rng(SEED)
    drawn = samples[rng.integers(0, len(samples), (RESAMPLES, len(samples)))]
    low, high = np.percentile(np.percentile(drawn, percentile, axis=1), [2.5, 97.5])
    return Estimate(float(np.percentile(samples, percentile)), float(low), float(high))


def ratio(over: Doubles, under: Doubles) -> Estimate:
    """Return the median ratio of neighbours in turn, with its bootstrap interval."""
    return median(over / under)


def slope(sizes: Sequence[float], seconds: Mapping[float, Doubles]) -> Estimate:
    """Return the slope of log time over log size; ``seconds`` holds the repeats of each size.

    1 is proportional, below 1 grows more slowly than the size. The interval resamples repeats.
    """
    rng = np.random.default_rng(SEED)
    logs = np.log(np.asarray(sizes, np.float64))

    def fitted(pick: Callable[[Doubles], Doubles]) -> float:
        middles = np.log([np.median(pick(seconds[size])) for size in sizes])
        return float(np.polyfit(logs, middles, 1)[0])

    drawn = [
        fitted(lambda repeats: repeats[rng.integers(0, len(repeats), len(repeats))])
        for _ in range(RESAMPLES // 4)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(fitted(lambda repeats: repeats), float(low), float(high))


def line(x: Doubles, y: Doubles) -> Estimate:
    """Return the slope of a straight line with a bootstrap interval over blocks of neighbours."""
    rng = np.random.default_rng(SEED)
    blocks = np.array_split(np.arange(len(x)), min(len(x), 20))
    drawn = []
    for _ in range(RESAMPLES // 4):
        rows = np.concatenate([blocks[one] for one in rng.integers(0, len(blocks), len(blocks))])
        drawn.append(np.polyfit(x[rows], y[rows], 1)[0] if np.ptp(x[rows]) else 0.0)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(float(np.polyfit(x, y, 1)[0]), float(low), float(high))


def machine() -> dict[str, Any]:
    """Describe the machine and what it does beside us."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cores usable": len(os.sched_getaffinity(0)),
        "memory GB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load average": [round(one, 2) for one in os.getloadavg()],
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (one.partition(":")[2].strip() for one in lines if one.startswith("model name"))
    return next(names, platform.machine())


def resident_mb(pid: int | str = "self") -> float:
    """Return the resident memory of one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
