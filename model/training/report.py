"""Tables for the terminal."""

from __future__ import annotations

from rich.table import Table

from model.training.loop import Trained


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
