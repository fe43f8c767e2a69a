"""The targets of the design's section 7, beside what the benchmarks found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Figures = Mapping[str, Mapping[str, Any]]
MISSING = "not measured here"


def rows(figures: Figures) -> list[list[str]]:
    """Return what, target, measured and verdict of each."""
    return [[what, target, *_measured(figures, judge)] for what, target, judge in _TARGETS]


def _measured(figures: Figures, judge: Callable[[Figures], tuple[str, bool]]) -> tuple[str, str]:
    try:
        shown, good = judge(figures)
    except KeyError:
        return MISSING, ""
    return shown, "pass" if good else "fail"


def _hook(figures: Figures) -> tuple[str, bool]:
    one = figures["stages"]["typical/warm"]
    p50, p95 = one["p50_ms"]["value"], one["p95_ms"]["value"]
    shown = f"p50 {p50:.0f} ms, p95 {p95:.0f} ms; {one['cpu_ms']:.0f} processor-ms"
    return shown, bool(p50 <= 60 and p95 <= 120)


def _cold(figures: Figures) -> tuple[str, bool]:
    stages = figures["stages"]
    encoding = (stages[f"typical/{how}"]["stages_cpu_ms"] for how in ("cold", "warm"))
    cold, warm = (one["sentence encoding"] for one in encoding)
    each = (cold - warm) / 60
    return f"{each:.1f} processor-ms a new sentence", bool(each <= 9)


def _stock(figures: Figures) -> tuple[str, bool]:
    one = figures["explainers"]["typical"]
    anew, stock = one["anew_over_ours"], one["stock_over_ours"]
    shown = (
        f"{anew['value']:.0f} times ({anew['low']:.0f} to {anew['high']:.0f}); on our value "
        f"function {stock['value']:.1f} times"
    )
    return shown, bool(anew["value"] >= 300)


def _throughput(figures: Figures) -> tuple[str, bool]:
    one = figures["throughput"]["clients"]["32"]
    errors = sum(count for said, count in one["answers"].items() if said != "200")
    shown = f"{one['hooks_per_s']:.1f} a second, p99 {one['p99_ms']:.0f} ms, {errors} not answered"
    return shown, bool(one["hooks_per_s"] >= 25 and one["p99_ms"] <= 1000 and not errors)


def _growth(figures: Figures) -> tuple[str, bool]:
    one = figures["growth"]["Observations"]
    ms = dict(zip(one["sizes"], one["ms"], strict=True))
    times = ms[10_000] / ms[300]
    slope = one["slope"]["value"]
    return f"{times:.1f} times the time, slope {slope:.2f}", bool(times <= 2)


def _memory(figures: Figures) -> tuple[str, bool]:
    one = figures["throughput"]["memory"]
    half = len(one["mb"]) // 2
    first, second = max(one["mb"][:half]), max(one["mb"][half:])
    shown = (
        f"at most {first:.0f} MB in the first half of {one['hooks']:,} hooks, {second:.0f} MB in "
        "the second"
    )
    # The highest, not the slope: a kernel takes idle pages of files back when it likes.
    return shown, bool(max(first, second) <= 400 and second <= 1.01 * first)


def _healthchain(figures: Figures) -> tuple[str, bool]:
    one = figures["healthchain"]["typical"]
    adapter, raw = one["HealthChain, adapter"], one["HealthChain, raw JSON"]
    shown = (
        f"theirs over ours: adapter {adapter['over_ours']['value']:.2f}, raw JSON "
        f"{raw['over_ours']['value']:.2f}; in processor time {adapter['over_ours_cpu']:.2f} and "
        f"{raw['over_ours_cpu']:.2f}"
    )
    slowest = min(adapter["over_ours"]["value"], raw["over_ours"]["value"])
    return shown, bool(slowest >= 1)


_TARGETS: tuple[tuple[str, str, Callable[[Figures], tuple[str, bool]]], ...] = (
    ("explained hook, typical chart, notes seen before", "p50 <= 60 ms, p95 <= 120 ms", _hook),
    ("a new sentence", "<= 9 ms", _cold),
    ("the same explanation by stock shap and lime, encoding anew", ">= 300 times slower", _stock),
    ("not slower than an unexplained HealthChain hook", "theirs over ours >= 1", _healthchain),
    ("32 clients", ">= 25 hooks a second, p99 <= 1 s, no error", _throughput),
    ("300 -> 10,000 Observations", "<= 2 times the time", _growth),
    ("memory over many hooks", "<= 400 MB, flat", _memory),
)
