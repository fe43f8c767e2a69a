"""Commands that use or make a model: explain, score, train, evaluate."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cds_hooks.backend_keys import algorithm_option, backend_services
from cds_hooks.commands import in_one_sentence
from fhir_adapters.signing_keys import Algorithm

_TOKEN_VARIABLE = "MEAM_FHIR_TOKEN"  # noqa: S105  # the name of a variable, not a secret
_INCOMPLETE = 3  # exit code; click's own are 1 and 2
_BULK_OPTION = click.option(
    "--bulk",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder of a FHIR Bulk Data export: NDJSON files, packed by gzip or not.",
)

concept_map_option = click.option(
    "--concept-map",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="FHIR ConceptMap (JSON) from the site's own codes to LOINC, 11073 MDC or SNOMED CT.",
)


def _prediction_time(_: click.Context, __: click.Parameter, value: str) -> datetime | str | None:
    """Read now (None), last, or a time with its offset."""
    if value in ("now", "last"):
        return None if value == "now" else value
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise click.BadParameter(
            "expected now, last, or a time with its offset, such as 2026-11-23T07:40:00+00:00"
        )
    return time


@click.command()
@click.argument("patient_id", required=False)
@click.option("--fhir", help="Base URL of a FHIR R4 server. Its access token: MEAM_FHIR_TOKEN.")
@click.option(
    "--bundle",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with a Bundle of the patient's resources.",
)
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]),
    help="Moment of the prediction with its offset, such as 2026-11-23T07:40:00+00:00.",
)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Folder of a checkpoint.")
@concept_map_option
@click.option("--client-id", help="Our name at the FHIR server, for SMART Backend Services.")
@click.option(
    "--signing-keys",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the keys that sign for --client-id; see meam backend-keys.",
)
@algorithm_option
@click.option("--top", default=15, show_default=True, help="Number of findings to list.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
@in_one_sentence
def explain(
    patient_id: str | None,
    fhir: str | None,
    bundle: Path | None,
    at: datetime | None,
    checkpoint: Path | None,
    concept_map: Path | None,
    client_id: str | None,
    signing_keys: Path | None,
    algorithm: Algorithm,
    top: int,
    as_json: bool,
) -> None:
    """Predict one patient's risk and show the reasons.

    PATIENT_ID is an id on the FHIR server (--fhir) or in the file (--bundle, where it may be
    left out if there is only one patient). Nothing after the moment of the prediction is used.
    A server is entered with the token in MEAM_FHIR_TOKEN, or as --client-id by our signature.
    """
    from cds_hooks.explain_command import chart_of_bundle, chart_of_server, explained
    from cds_hooks.site_codes import site_codes
    from cds_hooks.terminal import console, print_explained

    if (fhir is None) == (bundle is None):
        raise click.UsageError("Name either --fhir or --bundle.")
    moment = at or datetime.now(UTC)
    codes = site_codes(concept_map)
    if fhir is not None:
        if patient_id is None:
            raise click.UsageError("PATIENT_ID is needed with --fhir.")
        if (client_id is None) != (signing_keys is None):
            raise click.UsageError("--client-id and --signing-keys belong together.")
        backend = (
            backend_services(fhir, client_id, signing_keys, algorithm)
            if client_id and signing_keys
            else None
        )
        token = os.environ.get(_TOKEN_VARIABLE, "")
        chart = chart_of_server(fhir, patient_id, token, moment, codes, backend)
    elif bundle is not None:
        chart = chart_of_bundle(bundle, patient_id)
    result = explained(chart, moment, checkpoint, codes, live=at is None)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
    else:
        print_explained(console(), result, top)


@click.command()
@_BULK_OPTION
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("risk-assessments.ndjson"),
    show_default=True,
    help="File for the RiskAssessments, one a line.",
)
@click.option(
    "--left-out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for who was not scored and why; by default OUTPUT's name with .left-out.",
)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Folder of a checkpoint.")
@click.option(
    "--prediction-time",
    metavar="now|last|TIME",
    default="now",
    show_default=True,
    callback=_prediction_time,
    help="Moment of the predictions. last: that of each patient's newest data.",
)
@concept_map_option
@click.option(
    "--parquet",
    type=click.Path(dir_okay=False, path_type=Path),
    help='File for the results as a table, too; needs the extra "score".',
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes or actors that score; by default as many as there are cores, at most 4 here.",
)
@click.option(
    "--engine",
    type=click.Choice(["processes", "ray"]),
    default="processes",
    show_default=True,
    help='ray: actors of a Ray cluster; needs the extra "ray".',
)
@click.option(
    "--ray-address",
    default="",
    help="host:port of a Ray cluster, or auto; without it one is started on this machine.",
)
@in_one_sentence
def score(
    bulk: Path,
    output: Path,
    left_out: Path | None,
    checkpoint: Path | None,
    prediction_time: Any,
    concept_map: Path | None,
    parquet: Path | None,
    workers: int | None,
    engine: Any,
    ray_address: str,
) -> None:
    """Score every patient of a FHIR Bulk Data export.

    Writes a FHIR R4 RiskAssessment for each patient; its probabilityDecimal is a percentage, as
    R4 has it. Where the model does not apply, status is cancelled and there is no prediction. Who
    could not be read stands in another file, as OperationOutcomes. A run that was stopped goes on
    where it was, with the moment at which it began.

    Exit code 0: every patient was scored, or the model does not apply to them. 3: done, but
    patients failed or the export has faults; the summary counts them. See docs/scoring.md.
    """
    from cds_hooks import score_command

    if ray_address and engine != "ray":
        raise click.UsageError("--ray-address belongs to --engine ray.")
    asked = score_command.ScoreRequest(
        bulk,
        output,
        left_out=left_out,
        parquet=parquet,
        checkpoint=checkpoint,
        prediction_time=prediction_time,
        concept_map=concept_map,
        workers=workers,
        engine=engine,
        ray_address=ray_address,
    )
    if not score_command.score(asked).complete:
        sys.exit(_INCOMPLETE)


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder that holds the open data sets, each in a folder of its own.",
)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Folder to write with --data.")
@click.option(
    "--bulk",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a FHIR Bulk Data export: train on a site's own patients instead.",
)
@click.option(
    "--labels",
    type=click.Path(dir_okay=False, path_type=Path),
    help=(
        "CSV with patient_id, prediction_time, outcome [, encounter_id, group, site]; for several"
        " tasks, outcome_NAME columns."
    ),
)
@click.option("--output", type=click.Path(path_type=Path), help="New folder to write with --bulk.")
@concept_map_option
@click.option(
    "--tasks",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML with the name, display, horizon and words of each outcome of --labels.",
)
@click.option(
    "--encoder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a Hugging Face encoder for note sentences (BERT, RoBERTa, DistilBERT, MPNet).",
)
@click.option("--epochs", type=click.IntRange(1), help="Number of epochs, if not the usual.")
@click.option("--seed", default=0, show_default=True, help="Seed of all that is random.")
@click.option(
    "--consistency/--no-consistency",
    default=True,
    show_default=True,
    help="Align attention with SHAP and LIME in training.",
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes of this machine that train together, each with its share of the cores.",
)
@click.option("--fresh", is_flag=True, help="Start anew instead of going on where it stopped.")
@in_one_sentence
def train(
    data: Path | None,
    checkpoint: Path | None,
    bulk: Path | None,
    labels: Path | None,
    output: Path | None,
    concept_map: Path | None,
    tasks: Path | None,
    encoder: Path | None,
    **options: Any,
) -> None:
    """Train a checkpoint: the shipped one (--data) or a site's own (--bulk).

    The column outcome of --labels is 1 for a patient who died in hospital; for other outcomes,
    and for several, see --tasks and docs/training.md. The encoder is exported once and travels
    with the checkpoint. A training that was stopped goes on where it was. Needs the extra
    "train".
    """
    require_training_libraries()
    from cds_hooks import bulk_training, train_command

    of_site = (bulk, labels, output, concept_map, tasks)
    if data is not None and not any(of_site):
        places = train_command.Places(
            data=data, checkpoint=checkpoint or train_command.CHECKPOINT, encoder=encoder
        )
        train_command.train(places, **options)
    elif bulk and labels and output and (data, checkpoint) == (None, None):
        places_of_site = bulk_training.SitePlaces(
            bulk, labels, output, encoder=encoder, concept_map=concept_map, tasks=tasks
        )
        bulk_training.train_from_bulk(places_of_site, **options)
    else:
        raise click.UsageError(
            "Name --data and perhaps --checkpoint, or --bulk with --labels and --output."
        )


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder that holds the open data sets, each in a folder of its own.",
)
@click.option(
    "--bulk",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a FHIR Bulk Data export: measure on a site's own patients instead.",
)
@click.option(
    "--labels",
    type=click.Path(dir_okay=False, path_type=Path),
    help="CSV with the outcomes of the export's patients, as for meam train.",
)
@concept_map_option
@click.option(
    "--tasks",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML with the name and column of each outcome of --labels, as for meam train.",
)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Folder of the checkpoint.")
@click.option("--folds/--no-folds", default=True, show_default=True, help="Cross-validate, too.")
@click.option("--quick-folds", is_flag=True, help="Cross-validate in a fraction of the time.")
@click.option("--card-only", is_flag=True, help="Measure nothing; write card and page anew.")
@click.option(
    "--report",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/evaluation"),
    show_default=True,
    help="Folder for evaluation.html, or for site-evaluation.json with --bulk.",
)
@in_one_sentence
def evaluate(
    data: Path | None,
    bulk: Path | None,
    labels: Path | None,
    concept_map: Path | None,
    tasks: Path | None,
    checkpoint: Path | None,
    folds: bool,
    quick_folds: bool,
    card_only: bool,
    report: Path,
) -> None:
    """Measure a checkpoint: on the open data sets (--data), or on a site's patients (--bulk).

    With --data: discrimination, calibration and explanations on stays that did not train it,
    beside the baselines; its figures and model card are written. With --folds, set A and the
    eICU demo are also cross-validated by patient, and the eICU demo by hospital, which trains ten
    more networks; with --quick-folds the eICU demo alone by patient, which trains five on fewer
    stays and without the consistency loss. With --card-only the figures of the last evaluation
    are used.

    With --bulk and --labels: discrimination and calibration of what the service would say, for
    each task, on patients who did not train it. The checkpoint stays as it is.

    Needs the extra "train".
    """
    require_training_libraries()
    from cds_hooks import evaluate_command, site_evaluation, train_command

    folder = checkpoint or train_command.CHECKPOINT
    if data is not None and not any((bulk, labels, concept_map, tasks)):
        places = train_command.Places(data=data, checkpoint=folder)
        if card_only:
            evaluate_command.rewrite_card(places, report=report)
        else:
            evaluate_command.evaluate(places, folds=folds, quick_folds=quick_folds, report=report)
    elif bulk and labels and not (data or quick_folds or card_only):
        site_evaluation.evaluate_site(
            site_evaluation.SiteCases(bulk, labels, folder, concept_map, tasks), report
        )
    else:
        raise click.UsageError("Name --data, or --bulk with --labels.")


def require_training_libraries() -> None:
    """Raise one sentence where torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise click.ClickException(
            "Training needs the extra \"train\": pip install -c constraints.txt '.[train]'"
        )
