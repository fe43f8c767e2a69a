"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from model.training.card_figures import COLUMNS, figure_text
from model.training.loop import Trained
from model.training.model_card import FOLD_TABLES


def training_table(trained: Trained) -> Table:
    """Return one line an epoch."""
    title = "Training" + (" (stopped: the consistency loss cost AUROC)" * trained.stopped_early)
    table = Table(title=title)
    for heading in ("epoch", "BCE", "KL", "mass", "lambda", "tuning AUROC", "s", "of it teaching"):
        table.add_column(heading, justify="right")
    for report in trained.history:
        table.add_row(
            str(report.epoch + 1),
            f"{report.cross_entropy:.4f}",
            f"{report.divergence:.3f}",
            f"{report.mass:.4f}",
            f"{report.kl_weight:.2f}",
            "-" if report.tuning_auroc is None else f"{report.tuning_auroc:.4f}",
            f"{report.seconds:.1f}",
            f"{report.teaching_seconds:.1f}",
        )
    return table


def print_evaluation(evaluation: Mapping[str, Any], console: Console) -> None:
    """Print every table of evaluation.json."""
    if "physionet2012" in evaluation:
        console.print(comparison_table("PhysioNet 2012 set B, 48 h", evaluation["physionet2012"]))
    if "eicu_demo" in evaluation:
        eicu = evaluation["eicu_demo"]
        console.print(comparison_table("eICU demo, 24 h, out of fold", eicu))
        console.print(comparison_table("eICU demo, stays with APACHE IVa", eicu["with_apache"]))
    for key, heading in FOLD_TABLES.items():
        if key in evaluation:
            console.print(comparison_table(heading, evaluation[key]))
    if "explanations" in evaluation:
        console.print(explanation_table(evaluation["explanations"]))


def comparison_table(title: str, comparison: Mapping[str, Any]) -> Table:
    """Return one line a system."""
    table = Table(title=f"{title}: {comparison['n']:,} stays, {comparison['events']} events")
    table.add_column("system")
    for _, heading, _ in COLUMNS:
        table.add_column(heading, justify="right")
    for name, figures in comparison["systems"].items():
        cells = [figure_text(figures[column], digits) for column, _, digits in COLUMNS]
        table.add_row(name, *cells)
    return table


def explanation_table(figures: Mapping[str, Any]) -> Table:
    """Return one line a sample."""
    names = ("attention_shap_top5", "attention_shap_spearman", "shap_lime_notes_common_share")
    table = Table(title="Explanations: means over a sample")
    for heading in ("sample", "n", "top 5", "Spearman", "SHAP-LIME notes", "efficiency gap"):
        table.add_column(heading, justify="right")
    for sample, row in figures.items():
        cells = ["-" if row[name] is None else f"{row[name]:.3f}" for name in names]
        gap = f"{row['largest_efficiency_gap_logit']:.1e}"
        table.add_row(sample, str(row["n"]), *cells, gap)
    return table
