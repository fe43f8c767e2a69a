"""The ablation as tables, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from model.training.ablation_arms import ARMS, DOSES, FULL, UNALIGNED
from model.training.ablation_claims import COLUMNS, MARGIN, ClaimResult, arm_table
from model.training.ablation_summary import Ablation
from model.training.figures import (
    ForestRow,
    Picture,
    before_after_plot,
    dose_plot,
    forest_plot,
)
from model.training.report_page import PageTable, Section, write_page

SHORT = (  # columns of the terminal's table
    *("auroc", "brier", "calibration_slope", "attention_shap_top5", "attention_shap_spearman"),
    *("attention_occlusion_top5", "attention_deletion_share", "attention_precision"),
    *("shap_pearson", "shap_across_seeds_top5"),
)
BEFORE_AFTER = (
    ("attention_shap_top5", "attention-SHAP, top 5"),
    ("attention_shap_spearman", "attention-SHAP, rank corr."),
    ("attention_occlusion_top5", "attention-occlusion, top 5"),
    ("attention_precision", "attention names causes"),
)


def arms_table(ablation: Ablation, title: str) -> Table:
    """Return one line an arm, the figures that decide most."""
    table = Table(title=title)
    table.add_column("arm")
    shown = [figure for figure in SHORT if any(ablation.has(arm, figure) for arm in ablation.arms)]
    for figure in shown:
        table.add_column(COLUMNS[figure], justify="right")
    for arm in ablation.arms:
        table.add_row(arm, *(_short(ablation, arm, figure) for figure in shown))
    for arm, reason in ablation.skipped.items():
        table.add_row(arm, f"skipped: {reason}")
    return table


def _short(ablation: Ablation, arm: str, figure: str) -> str:
    if not ablation.has(arm, figure):
        return "-"
    return f"{ablation.estimate(arm, figure).value:.3f}"


def claims_table(results: Sequence[ClaimResult]) -> Table:
    """Return one line a claim."""
    table = Table(title="What was claimed, and what the arms say")
    for heading, justify in (
        *(("claim", "left"), ("measured", "left"), ("value", "right")),
        *(("95 % interval", "right"), ("verdict", "right")),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    colours = {"holds": "green", "refuted": "bold red", "not shown": "yellow"}
    for one in results:
        interval = f"{one.low:.3f} to {one.high:.3f}"
        verdict = f"[{colours[one.verdict]}]{one.verdict}[/]"
        table.add_row(one.words, one.measured, f"{one.value:.3f}", interval, verdict)
    return table


def ablation_document(
    about: Mapping[str, Any], ablation: Ablation, results: Sequence[ClaimResult]
) -> dict[str, Any]:
    """Return what ablation.json holds."""
    return {
        **about,
        **counts(ablation),
        "arms": arm_table(ablation),
        "skipped": ablation.skipped,
        "not_calibrated": ablation.not_calibrated,
        "claims": [one.to_json() for one in results],
    }


def counts(ablation: Ablation) -> dict[str, Any]:
    """Return seeds, test stays, events and explained stays."""
    return {
        "seeds": list(ablation.seeds),
        "n": len(ablation.outcomes),
        "events": int(ablation.outcomes.sum()),
        "explained": ablation.explained,
    }


def write_ablation_page(
    path: Path, about: Mapping[str, Any], ablation: Ablation, results: Sequence[ClaimResult]
) -> None:
    """Write the page beside the JSON."""
    facts = counts(ablation)
    caption = (
        f"{len(facts['seeds'])} seeds, {facts['n']:,} test stays, {facts['events']:,} events; "
        f"explanations of {facts['explained']} stays a seed. Bars: 95 % bootstrap over patients "
        "and seeds."
    )
    held = sum(one.verdict == "holds" for one in results)
    lead = (
        f"Data: {about['data']}. {held} of {len(results)} claims hold; "
        f"{sum(one.verdict == 'refuted' for one in results)} are refuted. {caption} "
        "Training stays are the same in every run, so that the intervals do not hold their luck."
    )
    sections = [Section("Claims", tables=[_claims(results)])]
    if FULL in ablation.arms and UNALIGNED in ablation.arms:
        pictures = [_before_after(ablation, caption)]
        if _doses(ablation):
            pictures.append(_dose_response(ablation, caption))
        sections.append(Section("The consistency loss", pictures=pictures))
    if FULL in ablation.arms and len(ablation.arms) > 1:
        pictures = [_forest(ablation, "auroc", caption), _agreement(ablation, caption)]
        sections.append(Section("Each part against the whole", pictures=pictures))
    sections.append(Section("All figures", tables=[_figures(ablation), _arms(ablation)]))
    write_page(path, f"Ablation of MEAM on {about['data']}", lead, sections)


def _claims(results: Sequence[ClaimResult]) -> PageTable:
    rows = [
        (r.words, r.measured, f"{r.value:.3f}", f"{r.low:.3f} to {r.high:.3f}", r.verdict)
        for r in results
    ]
    caption = (
        "holds: the 95 % interval lies wholly on the claim's side; refuted: wholly on the other; "
        "not shown: it holds both."
    )
    headings = ("claim", "measured", "value", "95 % interval", "verdict")
    return PageTable(caption, headings, rows)


def _arms(ablation: Ablation) -> PageTable:
    rows = [
        (
            arm.name,
            arm.question,
            "ran" if arm.name in ablation.arms else _why_not(arm.name, ablation),
        )
        for arm in ARMS
    ]
    return PageTable("The arms.", ("arm", "question", "state"), rows)


def _why_not(arm: str, ablation: Ablation) -> str:
    reason = ablation.skipped.get(arm)
    return "not asked for" if reason is None else f"skipped: {reason}"


def _figures(ablation: Ablation) -> PageTable:
    table = arm_table(ablation)
    shown = [figure for figure in COLUMNS if any(figure in row for row in table.values())]
    rows = [
        (arm, *(_with_interval(row.get(figure)) for figure in shown)) for arm, row in table.items()
    ]
    return PageTable(
        "Means over seeds with 95 % intervals.", ("arm", *(COLUMNS[f] for f in shown)), rows
    )


def _with_interval(estimate: Sequence[float] | None) -> str:
    if estimate is None:
        return "-"
    value, low, high = estimate
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _before_after(ablation: Ablation, caption: str) -> Picture:
    panels = {}
    for figure, words in BEFORE_AFTER:
        if ablation.has(FULL, figure):
            before, after = (
                np.nanmean(ablation.arms[arm].figures[figure], axis=1).tolist()
                for arm in (UNALIGNED, FULL)
            )
            panels[words] = list(zip(before, after, strict=True))
    found = ablation.difference(FULL, UNALIGNED, "attention_shap_top5")
    title = (
        f"The loss changes the top-5 agreement of attention and SHAP by {found.value:+.2f} "
        f"({found.low:+.2f} to {found.high:+.2f})"
    )
    return Picture(
        title, before_after_plot("beforeafter", panels, title), f"One line a seed. {caption}"
    )


def _doses(ablation: Ablation) -> dict[float, str]:
    arms = {0.0: UNALIGNED} | {dose: f"lambda {dose:g}" for dose in DOSES}
    found = {dose: arm for dose, arm in arms.items() if arm in ablation.arms}
    return found if len(found) > 2 else {}


def _dose_response(ablation: Ablation, caption: str) -> Picture:
    doses = _doses(ablation)
    panels = {}
    for figure in ("attention_shap_top5", "auroc", "shap_pearson"):
        if all(ablation.has(arm, figure) for arm in doses.values()):
            estimates = [ablation.estimate(arm, figure) for arm in doses.values()]
            panels[COLUMNS[figure]] = [(e.value, e.low, e.high) for e in estimates]
    first, last = (
        panels[COLUMNS["attention_shap_top5"]][0],
        panels[COLUMNS["attention_shap_top5"]][-1],
    )
    title = (
        f"From lambda 0 to {max(doses):g}, top-5 agreement goes "
        f"from {first[0]:.2f} to {last[0]:.2f}"
    )
    return Picture(title, dose_plot("dose", list(doses), panels, title), caption)


def _forest(ablation: Ablation, figure: str, caption: str) -> Picture:
    rows = []
    for arm in ablation.arms:
        if arm in (FULL, "random labels"):  # half an AUROC away, it would flatten all others
            continue
        found = ablation.difference(arm, FULL, figure)
        note = f"{ablation.estimate(arm, figure).value:.3f}"
        rows.append(ForestRow(arm, found.value, found.low, found.high, note))
    whole = ablation.estimate(FULL, figure).value
    title = f"AUROC of each arm minus that of the full model ({whole:.3f})"
    svg = forest_plot(
        "aurocforest",
        rows,
        x_label=f"difference of AUROC; grey: the margin of {MARGIN:g}",
        description=title,
        reference=0.0,
        shaded=(-MARGIN, MARGIN),
    )
    return Picture(title, svg, caption)


def _agreement(ablation: Ablation, caption: str) -> Picture:
    figure = "attention_shap_top5"
    rows = [
        ForestRow(arm, found.value, found.low, found.high, f"{found.value:.2f}")
        for arm in ablation.arms
        if ablation.has(arm, figure) and (found := ablation.estimate(arm, figure))
    ]
    title = "Top 5 in common of attention (or the head's guesses) and SHAP, by arm"
    svg = forest_plot(
        "agreementforest",
        rows,
        x_label="share of the five strongest tokens in common",
        description=title,
        reference=0.8,
    )
    return Picture(title, svg, f"{caption} Dashed: the bound of 0.80.")
