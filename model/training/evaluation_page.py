"""The page of an evaluation: curves, calibration, subgroups and modality subsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model.training.card_figures import (
    COLUMNS,
    SUBGROUP_COLUMNS,
    figure_text,
    subgroup_cell,
)
from model.training.figures import (
    Picture,
    banded_curves,
    calibration_plot,
    forest_plot,
    forest_row,
)
from model.training.report_page import PageTable, Section, write_page

FUSED = "fused"
DATA_SETS = (  # key of evaluation.json, heading, what the stays are
    ("physionet2012", "PhysioNet 2012 set B, 48 h after admission", "stays that trained nothing"),
    ("eicu_demo", "eICU demo, 24 h after admission", "stays predicted out of fold"),
    (
        "eicu_demo_by_hospital",
        "eICU demo, whole hospitals held out",
        "stays predicted out of fold",
    ),
    ("physionet2012_a", "PhysioNet 2012 set A, 48 h", "stays predicted out of fold"),
)
SUBGROUP_KINDS = ("age", "sex", "unit", "data")
KIND_WORDS = {"data": "available"}


def write_evaluation_page(path: Path, model: str, evaluation: Mapping[str, Any]) -> None:
    """Write the page from what evaluation.json holds."""
    sections = []
    for key, heading, stays in DATA_SETS:
        if key in evaluation:
            sections += _data_set(key, heading, stays, evaluation[key])
    if "explanations" in evaluation:
        sections.append(_explanations(evaluation["explanations"]))
    lead = (
        "Figures on stays that trained nothing of the network, with 95 % bootstrap intervals. "
        "Research software: not a medical device, not validated on patients in use."
    )
    write_page(path, f"Evaluation of {model}", lead, sections)


def _data_set(key: str, heading: str, stays: str, figures: Mapping[str, Any]) -> list[Section]:
    caption = f"{figures['n']:,} {stays}, {figures['events']:,} deaths."
    pictures = []
    if "curves" in figures:
        pictures = [
            _roc(key, figures, caption),
            _precision_recall(key, figures, caption),
            _calibration(key, figures, caption),
        ]
    sections = [Section(heading, pictures=pictures, tables=[_systems(figures, caption)])]
    subsets = _subsets(figures)
    if len(subsets) > 2:
        sections.append(
            Section(f"{heading}: modalities", pictures=[_subset_forest(key, figures, caption)])
        )
    rows = figures.get("subgroups", [])
    drawn = [row for row in rows if isinstance(row.get("auroc"), list)]
    pictures = [] if not drawn else _subgroup_forests(key, figures, drawn, caption)
    if rows:
        sections.append(
            Section(f"{heading}: subgroups", pictures=pictures, tables=[_subgroups(rows, caption)])
        )
    return sections


def _auroc(figures: Mapping[str, Any], system: str) -> str:
    return figure_text(figures["systems"][system]["auroc"], 3)


def _roc(key: str, figures: Mapping[str, Any], caption: str) -> Picture:
    others = [name for name in figures["curves"] if name != figures["reference"]]
    title = f"AUROC {_auroc(figures, figures['reference'])}"
    title += "".join(f"; {name} {_auroc(figures, name)}" for name in others)
    svg = banded_curves(
        f"{key}-roc",
        {name: curve["roc"] for name, curve in figures["curves"].items()},
        x_label="1 - specificity",
        y_label="sensitivity",
        description=title,
        diagonal=True,
    )
    return Picture(title, svg, f"{caption} Bands: 95 % bootstrap, pointwise.")


def _precision_recall(key: str, figures: Mapping[str, Any], caption: str) -> Picture:
    reference = figures["systems"][figures["reference"]]
    rate = figures["events"] / figures["n"]
    title = f"AUPRC {figure_text(reference['auprc'], 3)}; {rate:.1%} of the stays end in death"
    svg = banded_curves(
        f"{key}-pr",
        {name: curve["precision_recall"] for name, curve in figures["curves"].items()},
        x_label="sensitivity (recall)",
        y_label="precision",
        description=title,
        level=(rate, f"share of deaths {rate:.1%}"),
    )
    return Picture(title, svg, f"{caption} Bands: 95 % bootstrap, pointwise.")


def _calibration(key: str, figures: Mapping[str, Any], caption: str) -> Picture:
    reference = figures["systems"][figures["reference"]]
    title = _scaling(reference["calibration_slope"])
    svg = calibration_plot(
        f"{key}-calibration",
        {name: curve["calibration"] for name, curve in figures["curves"].items()},
        title,
    )
    return Picture(title, svg, f"{caption} Tenths of the stays; bars: Wilson intervals.")


def _scaling(estimate: Sequence[float] | None) -> str:
    if estimate is None:
        return "Predicted risks have no calibration slope"
    slope, low, high = estimate
    word = "well scaled" if low <= 1 <= high else "too timid" if slope > 1 else "too extreme"
    return f"Predicted risks are {word}: calibration slope {figure_text(estimate, 2)}"


def _subsets(figures: Mapping[str, Any]) -> dict[str, Sequence[float]]:
    return {
        "all three" if name == FUSED else name.removeprefix(f"{FUSED}: "): system["auroc"]
        for name, system in figures["systems"].items()
        if name.startswith(FUSED)
    }


def _subset_forest(key: str, figures: Mapping[str, Any], caption: str) -> Picture:
    subsets = _subsets(figures)
    ordered = sorted(subsets.items(), key=lambda item: -item[1][0])
    differences = figures["auroc_differences"]
    single = {
        name.removeprefix(f"{FUSED}: "): estimate
        for name, estimate in differences.items()
        if name.startswith(FUSED)
    }
    name, (value, low, high) = min(single.items(), key=lambda item: item[1][0])
    shown = "is better than" if low > 0 else "is worse than" if high < 0 else "cannot be told from"
    title = (
        f"The fusion {shown} the best of its parts ({name}): "
        f"{value:+.3f} ({low:+.3f} to {high:+.3f})"
    )
    svg = forest_plot(
        f"{key}-subsets",
        [forest_row(label, estimate, f"{estimate[0]:.3f}") for label, estimate in ordered],
        x_label="AUROC",
        description=title,
    )
    return Picture(title, svg, f"{caption} Other modalities' tokens are hidden. Paired difference.")


def _subgroup_forests(
    key: str, figures: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], caption: str
) -> list[Picture]:
    ordered = sorted(rows, key=lambda row: (SUBGROUP_KINDS.index(row["kind"]), row["group"]))
    worst = min(ordered, key=lambda row: row["auroc"][0])
    best = max(ordered, key=lambda row: row["auroc"][0])
    overall = figures["systems"][figures["reference"]]["auroc"][0]
    title = (
        f"AUROC is lowest for {_group(worst)} ({worst['auroc'][0]:.2f}) "
        f"and highest for {_group(best)} ({best['auroc'][0]:.2f})"
    )
    notes = {id(row): f"n {row['n']:,}, {row['events']} deaths" for row in ordered}
    discrimination = forest_plot(
        f"{key}-groups",
        [forest_row(_group(row), row["auroc"], notes[id(row)]) for row in ordered],
        x_label="AUROC; dashed: all stays",
        description=title,
        reference=overall,
    )
    off = [row for row in ordered if not _covers(row["observed_to_expected"], 1.0)]
    ratio_title = (
        "Observed deaths agree with predicted ones in every subgroup"
        if not off
        else "Observed and predicted deaths differ for " + ", ".join(_group(row) for row in off)
    )
    ratio = forest_plot(
        f"{key}-ratio",
        [forest_row(_group(row), row["observed_to_expected"], notes[id(row)]) for row in ordered],
        x_label="observed / expected deaths (exact Poisson interval)",
        description=ratio_title,
        reference=1.0,
    )
    return [
        Picture(title, discrimination, f"{caption} Bars: 95 % bootstrap intervals."),
        Picture(ratio_title, ratio, f"{caption} Above 1 the model understates the risk."),
    ]


def _covers(estimate: Sequence[float], value: float) -> bool:
    return estimate[1] <= value <= estimate[2]


def _group(row: Mapping[str, Any]) -> str:
    return f"{KIND_WORDS.get(row['kind'], row['kind'])}: {row['group']}"


def _systems(figures: Mapping[str, Any], caption: str) -> PageTable:
    rows = [
        (name, *(figure_text(system[column], digits) for column, _, digits in COLUMNS))
        for name, system in figures["systems"].items()
    ]
    return PageTable(caption, ("system", *(heading for _, heading, _ in COLUMNS)), rows)


def _subgroups(rows: Sequence[Mapping[str, Any]], caption: str) -> PageTable:
    headings = ("subgroup", "n", "deaths", *(heading for _, heading, _ in SUBGROUP_COLUMNS))
    cells = [
        (
            _group(row),
            f"{row['n']:,}",
            str(row["events"]),
            *(subgroup_cell(row.get(name), digits) for name, _, digits in SUBGROUP_COLUMNS),
        )
        for row in rows
    ]
    return PageTable(f"{caption} Figures need 100 stays and 10 deaths.", headings, cells)


def _explanations(figures: Mapping[str, Any]) -> Section:
    rows = [
        (
            sample,
            str(row["n"]),
            *(
                "-" if row[name] is None else f"{row[name]:.3f}"
                for name in (
                    *("attention_shap_top5", "attention_shap_spearman"),
                    "shap_lime_notes_common_share",
                )
            ),
            f"{row['largest_efficiency_gap_logit']:.1e}",
        )
        for sample, row in figures.items()
    ]
    headings = (
        *("sample", "n", "attention-SHAP top 5", "attention-SHAP rank corr."),
        *("SHAP-LIME notes in common", "largest efficiency gap"),
    )
    table = PageTable("Means over a sample, by the estimators that serve.", headings, rows)
    return Section("Explanations", tables=[table])
