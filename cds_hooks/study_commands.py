"""Commands that put a model to the proof: audit, ablate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cds_hooks.commands import in_one_sentence
from cds_hooks.model_commands import concept_map_option, require_training_libraries


@click.command()
@click.argument("checkpoint", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the open data sets: audit on their stays.",
)
@click.option(
    "--bulk",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a FHIR Bulk Data export: audit on a site's own patients.",
)
@concept_map_option
@click.option("--records", type=click.IntRange(1), default=16, show_default=True)
@click.option("--quick", is_flag=True, help="Fewer sampling seeds; a few seconds a record.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/audit"),
    show_default=True,
    help="Folder for audit.json and audit.html.",
)
@in_one_sentence
def audit(
    checkpoint: Path | None,
    data: Path | None,
    bulk: Path | None,
    concept_map: Path | None,
    records: int,
    quick: bool,
    output: Path,
) -> None:
    """Check the explanations of CHECKPOINT (default: the shipped one).

    On sample patients, or with --data or --bulk on others: the served Shapley values against
    near-exact ones and against packages shap and lime, stability, deletion curves, agreement with
    attention, explainers that were not in the loss, and controls. The exit code is 1 where a line
    with a bound fails. Needs the extra "train".
    """
    require_training_libraries()
    from cds_hooks import model_audit_command, train_command

    if data is not None and bulk is not None:
        raise click.UsageError("Name either --data or --bulk.")
    if concept_map is not None and bulk is None:
        raise click.UsageError("--concept-map belongs to --bulk.")
    places = model_audit_command.AuditPlaces(
        checkpoint or train_command.CHECKPOINT, output, data, bulk, records, concept_map
    )
    if not model_audit_command.audit(places, quick=quick):
        raise SystemExit(1)


@click.command()
@click.option(
    "--data",
    metavar="synthetic|FOLDER",
    default="synthetic",
    show_default=True,
    help="The cohort with planted causes, or the folder with the open data sets.",
)
@click.option(
    "--held-out",
    type=click.Choice(["tuning", "b"]),
    default="tuning",
    show_default=True,
    help="Of the open data, test on set A's tuning stays or on set B.",
)
@click.option("--arms", multiple=True, help="Name of an arm; repeat for more. Default: all.")
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--epochs", type=click.IntRange(1), help="Number of epochs, if not the usual.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True)
@click.option("--stays", type=click.IntRange(100), default=1600, show_default=True)
@click.option("--test-stays", type=click.IntRange(50), default=4000, show_default=True)
@click.option("--explained", type=click.IntRange(5), default=50, show_default=True)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/ablation"),
    show_default=True,
    help="Folder for ablation.json, ablation.html and the single runs.",
)
@in_one_sentence
def ablate(data: str, held_out: str, arms: tuple[str, ...], output: Path, **numbers: Any) -> None:
    """Train with and without each part and compare the arms over seeds.

    Every arm and seed is one file of the output folder; a run that was stopped goes on where it
    was. --stays and --test-stays are of the planted cohort, --explained holds for both. Needs the
    extra "train".
    """
    require_training_libraries()
    from cds_hooks import ablate_command

    folder = None if data == ablate_command.SYNTHETIC else Path(data)
    plan = ablate_command.AblationPlan(output, folder, held_out, arms, **numbers)
    ablate_command.ablate(plan)
