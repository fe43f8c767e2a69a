"""``python -m conformance``: try a CDS service against the specification."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import click
from rich.console import Console

from conformance.cannot_run import CannotRun, check_reports, check_tls, checked_option
from conformance.case import LEVELS, Case, CaseError, Level, load_cases
from conformance.endpoint import JWKS_PATH, Endpoint, UpstreamChart
from conformance.exchange import Wire
from conformance.pace import pace_options
from conformance.plain_text import plain
from conformance.report_files import to_json, to_junit, to_test_report
from conformance.report_page import to_page
from conformance.report_terminal import print_run, verdict_progress
from conformance.run_plan import say_plan
from conformance.run_setup import client_keys, open_endpoint, require_patient
from conformance.runner import Run, run_cases
from conformance.sample import ENCOUNTER_ID, PATIENT_ID, SampleChart
from conformance.sandbox.command import sandbox
from conformance.target import DISCOVERY, Target

TOKEN_VARIABLE = "CONFORMANCE_FHIR_TOKEN"  # noqa: S105  # the name of a variable, not a secret
_FAILED = 1  # exit status: a case failed; 2, as click has it: the run could not be made
_REPORTS: Mapping[str, Callable[[Run, Level], str]] = {
    "json": lambda run, _: to_json(run),
    "junit": to_junit,
    "html": lambda run, _: to_page(run),
    "test-report": to_test_report,
}
_file = click.Path(dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Try CDS services against the CDS Hooks specification, and FHIR servers, over HTTP alone."""


@main.command()
@click.option("--service", required=True, help="Base URL of the service, or of its discovery.")
@click.option("--service-id", default="", help="Which service of discovery; else the first.")
@click.option("--version", default="2.0.1", type=click.Choice(["2.0.1", "3.0"]), show_default=True)
@click.option("--fhir", default="", help="FHIR R4 server to read from; else a made-up patient.")
@click.option("--patient", default="", help="Id of the patient on the FHIR server.")
@click.option("--encounter", default="", help="Id of the patient's encounter there.")
@click.option("--user", default="Practitioner/conformance", show_default=True, help="userId.")
@click.option("--issuer", default="", help="iss of our JWTs; else our own address.")
@click.option("--key", "key_file", type=_file, help="Private key, PEM: EC P-384 or RSA.")
@click.option("--kid", default="", help="Name of the key; else one that is made up for the run.")
@click.option("--jku", default="", help="Where our JWK Set is; else at our own address.")
@click.option("--no-jku", is_flag=True, help="Our JWTs name no jku.")
@click.option("--tenant", default="", help="tenant of our JWTs.")
@click.option("--no-jwt", is_flag=True, help="Calls carry no JWT.")
@click.option("--origin", default="", help="Origin of a browser client that the service allows.")
@click.option("--listen", default="127.0.0.1:0", show_default=True, help="Our FHIR endpoint.")
@click.option("--endpoint-url", default="", help="How the service reaches our endpoint.")
@click.option("--foreign-listen", default="", help="Our second address; else beside the first.")
@click.option("--foreign-url", default="", help="How the service would reach our second address.")
@click.option("--no-prefetch", is_flag=True, help="Prefetch nothing: the service fetches all.")
@click.option("--no-fhir-access", is_flag=True, help="Requests name no FHIR server to call.")
@click.option("--ca", type=_file, help="Who certified the servers, PEM; else the system's.")
@click.option("--certificate", type=_file, help="Our certificate for mutual TLS, PEM.")
@click.option("--certificate-key", type=_file, help="The key of that certificate, PEM.")
@click.option("--feedback", is_flag=True, help="Send feedback too; the service will store it.")
@click.option(
    "--budget-ms",
    default=500.0,
    show_default=True,
    type=click.FloatRange(1),
    help="Time for a hook's answer.",
)
@pace_options
@click.option("--case", "names", multiple=True, help="Only this case; may be repeated.")
@click.option("--fail-on", default="SHALL", type=click.Choice(LEVELS), show_default=True)
@click.option("--json", "json_file", type=_file, help="Write the report as JSON.")
@click.option("--junit", "junit_file", type=_file, help="Write the report as JUnit XML.")
@click.option("--html", "html_file", type=_file, help="Write the report as one HTML page.")
@click.option("--test-report", "test_report_file", type=_file, help="Write a FHIR TestReport.")
@click.option("--all", "everything", is_flag=True, help="Show what passed and was left out too.")
@click.option("--plan", "plan_only", is_flag=True, help="Say what would be sent, and send nothing.")
def run(
    service: str,
    service_id: str,
    version: str,
    fhir: str,
    patient: str,
    encounter: str,
    user: str,
    issuer: str,
    key_file: Path | None,
    kid: str,
    jku: str,
    no_jku: bool,
    tenant: str,
    no_jwt: bool,
    origin: str,
    listen: str,
    endpoint_url: str,
    foreign_listen: str,
    foreign_url: str,
    no_prefetch: bool,
    no_fhir_access: bool,
    ca: Path | None,
    certificate: Path | None,
    certificate_key: Path | None,
    feedback: bool,
    budget_ms: float,
    longest_s: float,
    rate: float,
    names: tuple[str, ...],
    fail_on: Level,
    everything: bool,
    plan_only: bool,
    **report_files: Path | None,
) -> None:
    """Call a service as a CDS client does, and say which rules it keeps.

    Without --fhir the patient is made up, and no FHIR server is read. With it, a token is taken
    from the environment variable CONFORMANCE_FHIR_TOKEN, and the server is only read. Reports
    hold no data of patients.

    Exit status: 0 where no case of --fail-on or stronger failed, 1 where one did or could not be
    tried for want of an answer, 2 where the run could not be made.
    """
    if bool(fhir) != bool(patient):
        raise click.UsageError("--fhir and --patient belong together.")
    if bool(certificate) != bool(certificate_key):
        raise click.UsageError("--certificate and --certificate-key belong together.")
    ours = (certificate, certificate_key) if certificate and certificate_key else None
    check_reports(report_files)
    check_tls(ca, ours)
    base = service.rstrip("/").removesuffix(DISCOVERY)
    base = checked_option(base, "--service", "https://cds.example.org")
    patient = patient.removeprefix("Patient/")
    fhir = fhir and checked_option(fhir, "--fhir", "https://fhir.example.org/r4")
    token = os.environ.get(TOKEN_VARIABLE, "")
    chart = UpstreamChart(fhir, token, ca, longest_s) if fhir else SampleChart()
    console = Console(stderr=False)
    cases = _chosen(names, version)
    reached = (endpoint_url, foreign_url)
    with open_endpoint(chart, (listen, foreign_listen), reached) as endpoint:
        target = Target(
            service_base=base,
            version=version,
            keys=None
            if no_jwt
            else client_keys(
                endpoint,
                key_file,
                issuer,
                kid or f"conformance-{secrets.token_hex(4)}",
                "" if no_jku else jku or endpoint.url + JWKS_PATH,
                tenant,
            ),
            service_id=service_id,
            patient_id=patient or PATIENT_ID,
            encounter_id=encounter if fhir else ENCOUNTER_ID,
            user_id=user,
            prefetch=not no_prefetch,
            fhir_access=not no_fhir_access,
            feedback=feedback,
            cors_origin=origin,
            time_budget_ms=budget_ms,
        )
        say_plan(console, target, endpoint, cases, fhir, rate)
        if plan_only:
            return
        require_patient(chart, fhir, patient)
        wire = Wire(rate, authority=ca, certificate=ours, longest_s=longest_s)
        done = _run(console, target, cases, endpoint, wire)
    print_run(console, done, everything=everything)
    _write(console, done, report_files, fail_on)
    if done.failed(fail_on):
        sys.exit(_FAILED)
    if done.untried:  # or a wrong --service-id would be a good service
        raise CannotRun(f"No hook was fired: {done.untried}")


def _chosen(names: tuple[str, ...], version: str) -> list[Case]:
    try:
        cases = [case for case in load_cases() if version in case.versions]
    except CaseError as exc:
        raise CannotRun(str(exc)) from exc
    unknown = sorted(set(names) - {case.id for case in cases})
    if unknown:
        raise click.UsageError(f"There is no case {unknown[0]} for CDS Hooks {version}.")
    return [case for case in cases if not names or case.id in names]


def _run(
    console: Console, target: Target, cases: list[Case], endpoint: Endpoint, wire: Wire
) -> Run:
    try:
        with verdict_progress(console, len(cases)) as tell:
            return run_cases(target, cases, endpoint, wire, tell)
    finally:
        wire.close()


def _write(
    console: Console, done: Run, report_files: dict[str, Path | None], fail_on: Level
) -> None:
    for name, path in report_files.items():
        if path is None:
            continue
        kind = name.removesuffix("_file").replace("_", "-")
        try:
            path.write_text(plain(_REPORTS[kind](done, fail_on)), encoding="utf-8")
        except OSError as exc:
            raise CannotRun(f"{path} cannot be written: {exc.strerror}.") from exc
        console.print(f"Written: {path}", highlight=False, soft_wrap=True, markup=False)


main.add_command(sandbox)

if __name__ == "__main__":
    main(prog_name="meam conformance")
