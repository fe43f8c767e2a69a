"""The command line: ``meam COMMAND``. Each command says what it did, or one sentence why not."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
from sqlalchemy.exc import SQLAlchemyError

from cds_hooks.errors import ServiceError
from fhir_adapters.errors import FhirError
from model.errors import ModelError

P = ParamSpec("P")
T = TypeVar("T")
_CONFIG_VARIABLE = "MEAM_CONFIG"
_TOKEN_VARIABLE = "MEAM_FHIR_TOKEN"  # noqa: S105  # the name of a variable, not a secret
_CONFIG_OPTION = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar=_CONFIG_VARIABLE,
    help="TOML file with the service's settings.",
)

_DATA_OPTION = click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder that holds the open data sets, each in a folder of its own.",
)

_BULK_OPTION = click.option(
    "--bulk",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder of a FHIR Bulk Data export: NDJSON files, packed by gzip or not.",
)


def _in_one_sentence(command: Callable[P, T]) -> Callable[P, T]:
    """Turn our own errors into one sentence on stderr and exit code 1."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except (ServiceError, FhirError, ModelError) as exc:
            raise click.ClickException(str(exc)) from exc
        except FileNotFoundError as exc:  # data that a user named
            raise click.ClickException(str(exc)) from exc
        except SQLAlchemyError as exc:
            raise click.ClickException(f"The database cannot be used: {exc}") from exc

    return wrapped


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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="meam-cds")
def main() -> None:
    """Clinical decision support over CDS Hooks and FHIR, with explanations.

    Research software: not a medical device, not validated on patients.
    """


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
@_in_one_sentence
def demo(
    once: bool, fhir_port: int, service_port: int, ehr_port: int, seed: int, fhir_venv: Path
) -> None:
    """Show the main job on sample patients: open charts, see cards.

    Starts a FHIR server with sample patients, the service and a practice EHR, all on this
    machine only, opens every patient's chart as an EHR would and prints the cards.
    """
    from cds_hooks.demo import Ports, run_demo

    run_demo(Ports(fhir_port, service_port, ehr_port), fhir_venv, seed=seed, once=once)


@main.command()
@_CONFIG_OPTION
@_in_one_sentence
def serve(config: Path | None) -> None:
    """Run the service under gunicorn, as the settings say.

    Without --config, settings come from the file that MEAM_CONFIG names and from the
    environment; see README.md.
    """
    environment = _environment(config)
    _settings(config)  # a sentence about a wrong setting rather than gunicorn's traceback
    command = [sys.executable, "-m", "gunicorn", "-c", "python:cds_hooks.gunicorn_conf"]
    os.execve(sys.executable, command, environment)  # noqa: S606  # no shell, our own arguments


@main.group()
def keys() -> None:
    """Make the keys that encrypt stored explanations and sign links."""


@keys.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
def generate(out: Path | None) -> None:
    """Make a fresh key; print it, or write a new file that only you may read.

    A key ring file holds one key a line: new data use the first, old data may use any.
    """
    from cds_hooks.keys import new_key

    if out is None:
        click.echo(new_key())
        return
    try:
        with open(out, "x", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(new_key() + "\n")
    except FileExistsError as exc:
        raise click.ClickException(f"{out} exists already and was not changed.") from exc
    except OSError as exc:
        raise click.ClickException(f"{out} cannot be written: {exc.strerror}.") from exc
    click.echo(f"Wrote {out}.", err=True)


@main.command()
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
@click.option("--top", default=15, show_default=True, help="Number of findings to list.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
@_in_one_sentence
def explain(
    patient_id: str | None,
    fhir: str | None,
    bundle: Path | None,
    at: datetime | None,
    checkpoint: Path | None,
    top: int,
    as_json: bool,
) -> None:
    """Predict one patient's risk and show the reasons.

    PATIENT_ID is an id on the FHIR server (--fhir) or in the file (--bundle, where it may be
    left out if there is only one patient). Nothing after the moment of the prediction is used.
    """
    from cds_hooks.explain_command import chart_of_bundle, chart_of_server, explained
    from cds_hooks.terminal import console, print_explained

    if (fhir is None) == (bundle is None):
        raise click.UsageError("Name either --fhir or --bundle.")
    moment = at or datetime.now(UTC)
    if fhir is not None:
        if patient_id is None:
            raise click.UsageError("PATIENT_ID is needed with --fhir.")
        chart = chart_of_server(fhir, patient_id, os.environ.get(_TOKEN_VARIABLE, ""), moment)
    elif bundle is not None:
        chart = chart_of_bundle(bundle, patient_id)
    result = explained(chart, moment, checkpoint)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
    else:
        print_explained(console(), result, top)


@main.command()
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
@_in_one_sentence
def score(
    bulk: Path,
    output: Path,
    left_out: Path | None,
    checkpoint: Path | None,
    prediction_time: Any,
) -> None:
    """Score every patient of a FHIR Bulk Data export.

    Writes a FHIR R4 RiskAssessment for each patient; its probabilityDecimal is a percentage, as
    R4 has it. Where the model does not apply, status is cancelled and there is no prediction. Who
    could not be read stands in another file, as OperationOutcomes. A run that was stopped goes on
    where it was, with the moment at which it began.
    """
    from cds_hooks import score_command

    score_command.score(
        bulk, output, left_out=left_out, checkpoint=checkpoint, prediction_time=prediction_time
    )


@main.command()
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
    help="CSV with patient_id, prediction_time, outcome [, encounter_id, group, site].",
)
@click.option("--output", type=click.Path(path_type=Path), help="New folder to write with --bulk.")
@click.option("--epochs", type=click.IntRange(1), help="Number of epochs, if not the usual.")
@click.option("--seed", default=0, show_default=True, help="Seed of all that is random.")
@click.option(
    "--consistency/--no-consistency",
    default=True,
    show_default=True,
    help="Align attention with SHAP and LIME in training.",
)
@click.option("--fresh", is_flag=True, help="Start anew instead of going on where it stopped.")
@_in_one_sentence
def train(
    data: Path | None,
    checkpoint: Path | None,
    bulk: Path | None,
    labels: Path | None,
    output: Path | None,
    **options: Any,
) -> None:
    """Train a checkpoint: the shipped one (--data) or a site's own (--bulk).

    The outcome of --labels is 1 for a patient who died in hospital. A training that was stopped
    goes on where it was. Needs the extra "train".
    """
    _require_training_libraries()
    from cds_hooks import bulk_training, train_command

    if data is not None and (bulk, labels, output) == (None, None, None):
        places = train_command.Places(data=data, checkpoint=checkpoint or train_command.CHECKPOINT)
        train_command.train(places, **options)
    elif bulk and labels and output and (data, checkpoint) == (None, None):
        bulk_training.train_from_bulk(bulk_training.SitePlaces(bulk, labels, output), **options)
    else:
        raise click.UsageError(
            "Name --data and perhaps --checkpoint, or --bulk with --labels and --output."
        )


@main.command()
@_DATA_OPTION
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Folder of the checkpoint.")
@click.option("--folds/--no-folds", default=True, show_default=True, help="Cross-validate, too.")
@click.option("--quick-folds", is_flag=True, help="Cross-validate in a fraction of the time.")
@_in_one_sentence
def evaluate(data: Path, checkpoint: Path | None, folds: bool, quick_folds: bool) -> None:
    """Measure a checkpoint on the open data sets and write its figures and model card.

    Discrimination, calibration and explanations on stays that did not train it, beside the
    baselines. With --folds, five more networks are trained for a data set that has no test
    set of its own; with --quick-folds on fewer stays and without the consistency loss.
    Needs the extra "train".
    """
    _require_training_libraries()
    from cds_hooks import evaluate_command, train_command

    places = train_command.Places(data=data, checkpoint=checkpoint or train_command.CHECKPOINT)
    evaluate_command.evaluate(places, folds=folds, quick_folds=quick_folds)


@main.command("verify-audit")
@_CONFIG_OPTION
@_in_one_sentence
def verify_audit_command(config: Path | None) -> None:
    """Check the audit log: any line edited, removed or reordered is found."""
    from cds_hooks.audit import verify_audit
    from cds_hooks.store import Store

    settings = _settings(config)
    store = Store(settings.database_url, settings.key_ring())
    lines = verify_audit(store.engine, store.keys)
    store.close()
    click.echo(f"The audit log is whole: {lines} lines.")


@main.command()
@_CONFIG_OPTION
@_in_one_sentence
def purge(config: Path | None) -> None:
    """Delete expired explanations, and cards and feedback older than keep_cards_days."""
    from cds_hooks.store import Store

    settings = _settings(config)
    store = Store(settings.database_url, settings.key_ring())
    counts = store.purge(timedelta(days=settings.keep_cards_days))
    store.close()
    click.echo("Deleted: " + ", ".join(f"{count} {name}" for name, count in counts.items()) + ".")


def _require_training_libraries() -> None:
    if importlib.util.find_spec("torch") is None:
        raise click.ClickException(
            "Training needs the extra \"train\": pip install -c constraints.txt '.[train]'"
        )


def _environment(config: Path | None) -> dict[str, str]:
    if config is None:
        return dict(os.environ)
    return {**os.environ, _CONFIG_VARIABLE: str(config)}


def _settings(config: Path | None) -> Any:
    from cds_hooks.settings import load_settings

    return load_settings(_environment(config))


if __name__ == "__main__":
    main()
