"""Figures for the report pages: inline SVG whose title says the finding.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; lines and markers differ
as well. Text stays text, so that it can be read out, searched and enlarged.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#595959"
SERIES = ((BLUE, "-", "o"), (ORANGE, "--", "s"), (GREEN, "-.", "^"), (PINK, ":", "D"))
STYLE: Any = {  # matplotlib's own type lists every key
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",  # which matplotlib brings along to measure text with
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelsize": 11,
    "legend.frameon": False,
    "legend.fontsize": 10,
}
ROW_INCHES = 0.34  # height of one row of a forest plot


@dataclass(frozen=True, slots=True)
class Picture:
    """One figure: what it shows in a sentence, the drawing, and n and events."""

    title: str
    svg: str
    caption: str


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One row of a forest plot; without a value it is an empty line with its label."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""  # at the right: "n 1,024, 109 deaths"


def forest_row(label: str, estimate: Sequence[float], note: str) -> ForestRow:
    """Return the row of [value, low, high]."""
    value, low, high = estimate
    return ForestRow(label, value, low, high, note)


def drawing(width: float, height: float, name: str) -> tuple[Figure, Axes]:
    """Return an empty figure with one pair of axes, in our style."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots()


def as_svg(figure: Figure, name: str, description: str) -> str:
    """Return the figure as an SVG element for a page; ``name`` keeps its ids apart from others'."""
    buffer = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    drawn = buffer.getvalue()
    element = drawn[drawn.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', element)
    element = re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", element)
    label = escape(description, quote=True)
    return element.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip()


def banded_curves(
    name: str,
    named: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    x_label: str,
    y_label: str,
    description: str,
    diagonal: bool = False,
    level: tuple[float, str] | None = None,
) -> str:
    """Draw curves with their intervals; each has x, value, low and high."""
    figure, axes = drawing(5.6, 4.6, name)
    if diagonal:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
    if level is not None:
        axes.axhline(level[0], color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.annotate(level[1], (1.0, level[0]), ha="right", va="bottom", color=GREY, fontsize=9)
    for (label, curve), (colour, line, _) in zip(named.items(), SERIES, strict=False):
        axes.plot(curve["x"], curve["value"], color=colour, linestyle=line, label=label)
        if "low" in curve:
            axes.fill_between(
                curve["x"], curve["low"], curve["high"], color=colour, alpha=0.15, linewidth=0
            )
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.legend(loc="best", frameon=False)
    return as_svg(figure, name, description)


def calibration_plot(
    name: str, named: Mapping[str, Sequence[Mapping[str, float]]], description: str
) -> str:
    """Draw observed against predicted risk, one point a tenth of the cases."""
    figure, axes = drawing(5.6, 4.6, name)
    largest = max(row["high"] for rows in named.values() for row in rows)
    axes.plot([0, largest], [0, largest], color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
    for (label, rows), (colour, _, marker) in zip(named.items(), SERIES, strict=False):
        observed = [row["observed"] for row in rows]
        below = [row["observed"] - row["low"] for row in rows]
        above = [row["high"] - row["observed"] for row in rows]
        axes.errorbar(
            [row["predicted"] for row in rows],
            observed,
            yerr=[below, above],
            color=colour,
            fmt=marker,
            markersize=5,
            capsize=2,
            linewidth=1,
            label=label,
        )
    axes.set(xlabel="predicted risk", ylabel="observed share (95 % interval)")
    axes.legend(loc="upper left", frameon=False)
    return as_svg(figure, name, description)


def forest_plot(
    name: str,
    rows: Sequence[ForestRow],
    *,
    x_label: str,
    description: str,
    reference: float | None = None,
    shaded: tuple[float, float] | None = None,
    limits: tuple[float, float] | None = None,
) -> str:
    """Draw one estimate with its interval a row, from top to bottom.

    ``reference`` is a line to compare with; ``shaded`` a margin inside which nothing is shown.
    """
    figure, axes = drawing(8.4, 1.0 + ROW_INCHES * len(rows), name)
    if shaded is not None:
        axes.axvspan(*shaded, color=GREY, alpha=0.12, linewidth=0)
    if reference is not None:
        axes.axvline(reference, color=GREY, linewidth=0.9, linestyle=(0, (2, 3)))
    for place, row in enumerate(rows):
        if row.value is not None:
            low, high = row.low, row.high
            if low is not None and high is not None:
                axes.plot([low, high], [place, place], color=BLUE, linewidth=1.6)
            axes.plot([row.value], [place], marker="o", markersize=6, color=BLUE)
        axes.annotate(
            row.note,
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            color=GREY,
            annotation_clip=False,
        )
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    if limits is not None:
        axes.set_xlim(*limits)
    axes.set_xlabel(x_label)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    return as_svg(figure, name, description)


def dose_plot(
    name: str,
    doses: Sequence[float],
    panels: Mapping[str, Sequence[tuple[float, float, float]]],
    description: str,
) -> str:
    """Draw each panel's value and interval over the doses, on evenly spaced steps."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(4.2 * len(panels), 3.8), layout="constrained")
        many = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (label, estimates), (colour, _, marker) in zip(
        many, panels.items(), SERIES, strict=False
    ):
        values = [value for value, _, _ in estimates]
        errors = [
            [value - low for value, low, _ in estimates],
            [high - value for value, _, high in estimates],
        ]
        axes.errorbar(
            range(len(doses)), values, yerr=errors, color=colour, marker=marker, capsize=3
        )
        axes.set_xticks(range(len(doses)), [f"{dose:g}" for dose in doses])
        axes.set(xlabel="lambda, weight of the consistency loss", ylabel=label)
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    return as_svg(figure, name, description)


def before_after_plot(
    name: str,
    panels: Mapping[str, Sequence[tuple[float, float]]],
    description: str,
) -> str:
    """Draw one line a seed from without to with the loss, one panel a figure."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(2.9 * len(panels), 3.8), layout="constrained")
        many = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (label, pairs) in zip(many, panels.items(), strict=True):
        for before, after in pairs:
            axes.plot([0, 1], [before, after], color=BLUE, marker="o", linewidth=1, alpha=0.7)
        axes.set_xticks([0, 1], ["without", "with"])
        axes.set_xlim(-0.3, 1.3)
        axes.set_ylim(0, 1.02)
        axes.set_title(label, fontsize=10)
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    return as_svg(figure, name, description)
