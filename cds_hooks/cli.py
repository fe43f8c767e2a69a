"""The command line: ``meam COMMAND``. Each command says what it did, or one sentence why not."""

from __future__ import annotations

import os
from pathlib import Path

import click

from cds_hooks.audit_commands import archive_audit_command, verify_audit_command
from cds_hooks.backend_keys import backend_keys
from cds_hooks.commands import in_one_sentence
from cds_hooks.conformance_command import conformance
from cds_hooks.database_commands import database, purge
from cds_hooks.edge_commands import export, quantise_encoder_command
from cds_hooks.feedback_command import feedback
from cds_hooks.key_commands import keys
from cds_hooks.model_commands import evaluate, explain, score, train
from cds_hooks.operator_commands import serve
from cds_hooks.recommendations_command import check_recommendations_command
from cds_hooks.report_command import report
from cds_hooks.settings_command import check_settings_command
from cds_hooks.study_commands import ablate, audit


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="meam-cds")
def main() -> None:
    """Clinical decision support over CDS Hooks and FHIR, with explanations.

    Research software: not a medical device, not validated on patients.
    """
    # Before NumPy is loaded: on matrices as small as ours a second thread of OpenBLAS only spins.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@main.command()
@click.option("--once", is_flag=True, help="Stop after the cards instead of waiting for Ctrl-C.")
@click.option("--fhir-port", default=8085, show_default=True, help="Port of the FHIR server.")
@click.option("--service-port", default=8086, show_default=True, help="Port of the service.")
@click.option("--ehr-port", default=8087, show_default=True, help="Port of the practice EHR.")
@click.option("--seed", default=2026, show_default=True, help="Seed of the sample patients.")
@click.option(
    "--fhir-venv",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".venv-fhir-server"),
    show_default=True,
    help="Environment in which sekmet-fhir is installed.",
)
@in_one_sentence
def demo(
    once: bool, fhir_port: int, service_port: int, ehr_port: int, seed: int, fhir_venv: Path
) -> None:
    """Show the main job on sample patients: open charts, see cards.

    Starts a FHIR server with sample patients, the service and a practice EHR, all on this
    machine only, opens every patient's chart as an EHR would and prints the cards.
    """
    from cds_hooks.demo import Ports, run_demo

    run_demo(Ports(fhir_port, service_port, ehr_port), fhir_venv, seed=seed, once=once)


for _command in (
    serve,
    check_settings_command,
    check_recommendations_command,
    keys,
    backend_keys,
    explain,
    score,
    train,
    evaluate,
    audit,
    ablate,
    quantise_encoder_command,
    export,
    feedback,
    report,
    database,
    purge,
    verify_audit_command,
    archive_audit_command,
    conformance,
):
    main.add_command(_command)

if __name__ == "__main__":
    main()
