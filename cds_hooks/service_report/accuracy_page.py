"""The section about predictions and the outcomes that the site supplied."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from cds_hooks.service_report.cells import Json
from cds_hooks.service_report.elements import (
    Row,
    count_text,
    document_table,
    estimate_text,
    section,
    share_text,
)
from cds_hooks.service_report.svg import calibration, dot

_HIGHEST_RATIO = 2.5  # observed to expected, where the strip ends


def accuracy_section(accuracy: Json, least: int) -> Markup:
    """Return it."""
    said = (
        f"{count_text(accuracy['matched'])} of {count_text(accuracy['outcomes'])} outcomes have a"
        " prediction; of each the first with an estimate counts, in active or in shadow mode."
        f" Outcomes without a prediction: {count_text(accuracy['outcomesWithoutPrediction'])}."
        " Predictions with an estimate and without an outcome:"
        f" {count_text(accuracy['predictionsWithoutOutcome'])}."
        f" Models: {', '.join(accuracy['models']) or 'none'}."
        " An outcome may have been changed by what was done after the card."
    )
    blocks = [block for task in accuracy["tasks"] for block in _task(task, least)]
    return section("Predictions and outcomes", said, *blocks)


def _task(task: Json, least: int) -> Iterator[Markup]:
    yield Markup("<h3>{}</h3>").format(task["task"].capitalize())
    if "auroc" not in task:
        yield Markup("<p>{}</p>").format(
            f"{count_text(task['n'])} outcomes, {count_text(task['events'])} events. Figures need"
            f" {max(least, 1)} events and as many others."
        )
        return
    ratio = task["observedToExpected"]
    rows = [
        Row(("Predictions with an outcome",), (count_text(task["n"]),)),
        Row(("Events",), (count_text(task["events"]),)),
        Row(("Mean predicted risk",), (f"{100 * task['meanRisk']:.1f} %",)),
        Row(("Observed share",), (share_text(task["observed"]),)),
        Row(("Observed to expected events (1 is right)",), (estimate_text(ratio),)),
        Row(("Area under the ROC curve",), (estimate_text(task["auroc"], 3),)),
        Row(("Calibration slope (1 is right)",), (estimate_text(task["calibrationSlope"]),)),
        Row(("Brier score",), (f"{task['brier']:.4f}",)),
    ]
    yield document_table(f"Figures with 95 % intervals: {task['task']}", ("figure", "value"), rows)
    if task["calibration"]:
        yield _calibration(task)
    for kind, groups in task["subgroups"].items():
        yield _subgroups(kind, groups, task)


def _calibration(task: Json) -> Markup:
    bins = task["calibration"]
    points = [
        (one["risk"], *(one["observed"][name] for name in ("share", "low", "high"))) for one in bins
    ]
    plot = calibration(points, f"Observed share over predicted risk: {task['task']}")
    caption = (
        "Each point is a group of predictions of similar risk, with its 95 % interval; on the"
        " dashed line observed and predicted agree."
    )
    rows = [
        Row((f"{number}",), (f"{100 * one['risk']:.1f} %", share_text(one["observed"])))
        for number, one in enumerate(bins, start=1)
    ]
    table = document_table(
        f"Calibration: {task['task']}", ("group", "mean predicted risk", "observed"), rows
    )
    figure = Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(plot, caption)
    return figure + table


def _subgroups(kind: str, groups: dict[str, Json], task: Json) -> Markup:
    rows = []
    for name, group in groups.items():
        ratio = group.get("observedToExpected")
        picture = None
        if ratio:
            ends = (ratio["low"], ratio["high"])
            picture = dot(ratio["value"], ends, low=0.0, high=_HIGHEST_RATIO, mark=1.0)
        figures = (
            count_text(group["n"]),
            count_text(group["events"]) if "events" in group else "hidden",
            estimate_text(group.get("auroc")),
            estimate_text(ratio),
        )
        rows.append(Row((name,), figures, picture))
    headings = ("", "n", "events", "area under ROC", "observed to expected", "")
    return document_table(f"By {kind}: {task['task']}", headings, rows)
