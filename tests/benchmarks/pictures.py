"""The figures of the report page; one function for each benchmark, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from model.training.figures import BLUE, GREEN, GREY, ORANGE, SERIES, Picture, as_svg, drawing

Figures = Mapping[str, Any]
SCENES = ("warm", "cold", "live")
SHOWN_STAGES = 8


def stages(figures: Figures) -> list[Picture]:
    """A bar for each scene, by stage; and before and after where another tree took turns."""
    names = [name for name in figures if isinstance(figures[name], dict)]
    if not names:
        return []
    drawn = [_stage_bars("stages", {name: figures[name]["stages_cpu_ms"] for name in names})]
    both = [name for name in names if "other_stages_cpu_ms" in figures[name]]
    for name in both:
        bars = {
            "before": figures[name]["other_stages_cpu_ms"],
            "now": figures[name]["stages_cpu_ms"],
        }
        drawn.append(_stage_bars(f"stages-{name.replace('/', '-')}", bars, f"{name}: "))
    return drawn


def _stage_bars(name: str, bars: Mapping[str, Mapping[str, float]], lead: str = "") -> Picture:
    total = {
        stage: sum(bar.get(stage, 0.0) / sum(bar.values()) for bar in bars.values())
        for bar in bars.values()
        for stage in bar
    }
    largest = sorted(total, key=lambda stage: -total[stage])[:SHOWN_STAGES]
    figure, axes = drawing(8.6, max(2.8, 1.2 + 0.42 * len(bars)), name)  # the legend's height
    left = np.zeros(len(bars))
    shades = (
        "#0072B2",
        "#D55E00",
        "#009E73",
        "#CC79A7",
        "#E69F00",
        "#56B4E9",
        "#F0E442",
        "#000000",
    )
    whole = np.array([sum(bar.values()) for bar in bars.values()])
    for stage, shade in zip(largest, shades, strict=False):
        width = np.array([bar.get(stage, 0.0) for bar in bars.values()]) / whole * 100
        axes.barh(list(bars), width, left=left, color=shade, label=stage)
        left += width
    axes.barh(list(bars), 100 - left, left=left, color="#bbbbbb", label="all others")
    axes.set(xlabel="share of the processor time, %", xlim=(0, 100))
    axes.set_yticks(
        range(len(bars)), [f"{n}, {t:.0f} ms" for n, t in zip(bars, whole, strict=True)]
    )
    axes.invert_yaxis()
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    slowest = max(bars, key=lambda one: sum(bars[one].values()))
    first = max(bars[slowest], key=lambda stage: bars[slowest][stage])
    title = f"{lead}the largest part of '{slowest}' is '{first}'"
    return Picture(
        title, as_svg(figure, name, title), "Processor time of all threads, median of the rounds."
    )


def explainers(figures: Figures) -> list[Picture]:
    """Error against time, log-log."""
    drawn = []
    for size in (one for one in ("small", "typical") if one in figures):
        one = figures[size]
        figure, axes = drawing(6.4, 4.4, f"explainers-{size}")
        kinds = (
            ("shap permutation", ORANGE, "s"),
            ("shap kernel", GREEN, "^"),
            ("ours", BLUE, "o"),
        )
        for kind, colour, marker in kinds:
            rows = [row for way, row in one["table"].items() if way.startswith(kind)]
            x, y = [row["ms"]["value"] for row in rows], [row["nmse"] for row in rows]
            axes.plot(x, y, color=colour, marker=marker, label=kind)
        anew = one["anew_ms_each"]["value"] * one["evaluations_at_equal_error"]
        axes.plot(
            [anew],
            [one["table"]["ours"]["nmse"]],
            "X",
            color=GREY,
            label="encoding anew, shap and lime",
        )
        axes.set(xscale="log", yscale="log", xlabel="processor time, ms", ylabel="error (NMSE)")
        axes.legend()
        times = one["anew_over_ours"]["value"]
        title = f"{size} chart: at equal error, encoding anew costs {times:.0f} times as much"
        caption = (
            f"{one['players']} tokens, {one['sentences']} sentences. Our time holds LIME's "
            "evaluations."
        )
        drawn.append(Picture(title, as_svg(figure, f"explainers-{size}", title), caption))
    return drawn


def healthchain(figures: Figures) -> list[Picture]:
    """Processor time of a hook by service and size."""
    sizes = [size for size in ("small", "typical", "large") if size in figures]
    if not sizes:
        return []
    figure, axes = drawing(6.4, 3.8, "healthchain")
    labels = list(figures[sizes[0]])
    for number, (label, (colour, _, _)) in enumerate(zip(labels, SERIES, strict=False)):
        place = np.arange(len(sizes)) + 0.27 * (number - 1)
        axes.bar(
            place, [figures[s][label]["cpu_ms"] for s in sizes], 0.25, color=colour, label=label
        )
    axes.set(yscale="log", ylabel="processor-ms a hook")
    axes.set_xticks(range(len(sizes)), sizes)
    axes.legend()
    title = "An explained hook of ours beside unexplained ones"
    return [
        Picture(
            title, as_svg(figure, "healthchain", title), "Lower is better; the axis is logarithmic."
        )
    ]


def throughput(figures: Figures) -> list[Picture]:
    """Hooks a second and latency by clients; memory over hooks."""
    drawn = []
    if "clients" in figures:
        clients = [int(one) for one in figures["clients"]]
        rows = list(figures["clients"].values())
        figure = _two_axes(clients, rows)
        best = max(row["hooks_per_s"] for row in rows)
        title = f"Saturation at {best:.1f} hooks a second"
        drawn.append(
            Picture(
                title,
                as_svg(figure, "throughput", title),
                "Left rate, right latency of answered hooks.",
            )
        )
    if "memory" in figures:
        memory = figures["memory"]
        figure, axes = drawing(6.4, 3.6, "memory")
        axes.plot(memory["asked"], memory["mb"], color=BLUE)
        axes.set(xlabel="hooks", ylabel="resident, MB", ylim=(0, 1.2 * max(memory["mb"])))
        title = f"{memory['mb_per_thousand']['value']:.2f} MB a thousand hooks"
        drawn.append(
            Picture(
                title,
                as_svg(figure, "memory", title),
                f"{memory['hooks']} hooks; master and worker.",
            )
        )
    return drawn


def _two_axes(clients: list[int], rows: list[Mapping[str, Any]]) -> Figure:
    figure, left = drawing(6.8, 4.0, "throughput")
    left.plot(
        clients,
        [row["hooks_per_s"] for row in rows],
        color=BLUE,
        marker="o",
        label="hooks a second",
    )
    left.set(xscale="log", xlabel="clients", ylabel="hooks a second", ylim=(0, None))
    left.set_xticks(clients, [str(one) for one in clients])
    right: Axes = left.twinx()
    for key, (colour, style, marker) in zip(
        ("p50_ms", "p95_ms", "p99_ms"), SERIES[1:], strict=True
    ):
        right.plot(
            clients,
            [row[key] for row in rows],
            color=colour,
            linestyle=style,
            marker=marker,
            label=key[:3],
        )
    right.set(yscale="log", ylabel="latency, ms")
    left.legend(loc="upper left")
    right.legend(loc="lower right")
    return figure


def growth(figures: Figures) -> list[Picture]:
    """Time and memory against each kind of size, log-log."""
    drawn = []
    for name, one in figures.items():
        if not isinstance(one, dict):
            continue
        key = f"growth-{name.replace(' ', '-')}"
        figure, axes = drawing(4.6, 3.6, key)
        axes.plot(one["sizes"], one["ms"], color=BLUE, marker="o", label="processor-ms")
        axes.plot(
            one["sizes"],
            one["peak_mb"],
            color=ORANGE,
            linestyle="--",
            marker="s",
            label="MB at most",
        )
        axes.set(xscale="log", yscale="log", xlabel=one["unit"])
        axes.legend()
        slope = one["slope"]
        title = f"{name}: slope {slope['value']:.2f} ({slope['low']:.2f} to {slope['high']:.2f})"
        caption = f"Slope of the upper half of the sizes: {one['slope_upper_half']['value']:.2f}."
        drawn.append(Picture(title, as_svg(figure, key, title), caption))
    return drawn


def roofline(figures: Figures) -> list[Picture]:
    """Arithmetic speed against intensity, with both roofs."""
    peak = figures["peak"]
    figure, axes = drawing(6.8, 4.2, "roofline")
    x = np.logspace(-1, 3, 100)
    axes.plot(
        x,
        np.minimum(peak["gflops"], x * peak["gb_per_s"]),
        color=GREY,
        label="what one core can do",
    )
    graphs = [
        (name, one)
        for name, one in figures.items()
        if isinstance(one, dict) and "gflops" in one and name != "peak"
    ]
    for (name, one), (colour, _, marker) in zip(graphs, SERIES, strict=False):
        axes.plot(
            [one["flops_per_byte"]], [one["gflops"]], marker, color=colour, label=name, linestyle=""
        )
    axes.set(
        xscale="log", yscale="log", xlabel="floating-point operations a byte", ylabel="GFLOP/s"
    )
    axes.legend(loc="lower right")
    shares = ", ".join(
        f"{name.partition(',')[0]} {100 * one['share_of_bound']:.0f} %" for name, one in graphs
    )
    title = f"Share of the roofline: {shares}"
    return [
        Picture(
            title,
            as_svg(figure, "roofline", title),
            "Bytes without caches: a point may lie above the slope.",
        )
    ]
