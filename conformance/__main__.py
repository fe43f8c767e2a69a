"""``python -m conformance``: try a CDS service against the specification."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import click
from rich.console import Console

from conformance.case import LEVELS, Case, CaseError, Level, load_cases
from conformance.client_keys import ClientKeys, KeyFileError, new_key, read_key
from conformance.endpoint import JWKS_PATH, Chart, Endpoint, UpstreamChart
from conformance.exchange import Wire
from conformance.report_files import to_json, to_junit, to_test_report
from conformance.report_page import to_page
from conformance.report_terminal import print_run, verdict_progress
from conformance.runner import Run, most_requests, run_cases
from conformance.sample import ENCOUNTER_ID, PATIENT_ID, SampleChart
from conformance.sandbox.command import sandbox
from conformance.target import Target

TOKEN_VARIABLE = "CONFORMANCE_FHIR_TOKEN"  # noqa: S105  # the name of a variable, not a secret
_FAILED = 1  # exit status: a case failed; 2 is a fault of usage, as click has it
_REPORTS = {"json": to_json, "junit": to_junit, "html": to_page, "test-report": to_test_report}
_file = click.Path(dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Try CDS services against the CDS Hooks specification, and FHIR servers, over HTTP alone."""


@main.command()
@click.option("--service", required=True, help="Base URL of the service, before /cds-services.")
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
@click.option("--no-prefetch", is_flag=True, help="Prefetch nothing: the service fetches all.")
@click.option("--no-fhir-access", is_flag=True, help="Requests name no FHIR server to call.")
@click.option("--ca", type=_file, help="Who certified the service, PEM; else the system's.")
@click.option("--certificate", type=_file, help="Our certificate for mutual TLS, PEM.")
@click.option("--certificate-key", type=_file, help="The key of that certificate, PEM.")
@click.option("--feedback", is_flag=True, help="Send feedback too; the service will store it.")
@click.option("--budget-ms", default=500.0, show_default=True, help="Time for a hook's answer.")
@click.option("--rate", default=5.0, show_default=True, help="Most requests a second; 0: no limit.")
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
    no_prefetch: bool,
    no_fhir_access: bool,
    ca: Path | None,
    certificate: Path | None,
    certificate_key: Path | None,
    feedback: bool,
    budget_ms: float,
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

    Exit status: 0 where no case of --fail-on or stronger failed, 1 where one did, 2 for a fault of
    usage.
    """
    if bool(fhir) != bool(patient):
        raise click.UsageError("--fhir and --patient belong together.")
    if bool(certificate) != bool(certificate_key):
        raise click.UsageError("--certificate and --certificate-key belong together.")
    ours = (certificate, certificate_key) if certificate and certificate_key else None
    console = Console(stderr=False)
    cases = _chosen(names, version)
    with _endpoint(fhir, listen, endpoint_url) as endpoint:
        target = Target(
            service_base=service,
            version=version,
            keys=None
            if no_jwt
            else _keys(
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
        _say_plan(console, target, endpoint, cases, fhir, rate)
        if plan_only:
            return
        done = _run(console, target, cases, endpoint, _wire(rate, ca, ours))
    print_run(console, done, everything=everything)
    _write(console, done, report_files)
    sys.exit(_FAILED if done.failed(fail_on) else 0)


def _chosen(names: tuple[str, ...], version: str) -> list[Case]:
    try:
        cases = [case for case in load_cases() if version in case.versions]
    except CaseError as exc:
        raise click.ClickException(str(exc)) from exc
    unknown = sorted(set(names) - {case.id for case in cases})
    if unknown:
        raise click.UsageError(f"There is no case {unknown[0]} for CDS Hooks {version}.")
    return [case for case in cases if not names or case.id in names]


def _endpoint(fhir: str, listen: str, endpoint_url: str) -> Endpoint:
    host, _, port = listen.rpartition(":")
    chart: Chart = (
        UpstreamChart(fhir, os.environ.get(TOKEN_VARIABLE, "")) if fhir else SampleChart()
    )
    try:
        return Endpoint(chart, host or "127.0.0.1", int(port), endpoint_url)
    except (OSError, ValueError, OverflowError) as exc:
        raise click.ClickException(f"{listen} cannot be listened on; name HOST:PORT.") from exc


def _keys(
    endpoint: Endpoint, key_file: Path | None, issuer: str, kid: str, jku: str, tenant: str
) -> ClientKeys:
    try:
        key = read_key(key_file) if key_file else new_key()
    except KeyFileError as exc:
        raise click.ClickException(str(exc)) from exc
    keys = ClientKeys(issuer or endpoint.url, key, kid, jku, tenant)
    endpoint.key_sets = {"home": keys.jwk_set(), "foreign": keys.jwk_set(other=True)}
    return keys


def _say_plan(
    console: Console, target: Target, endpoint: Endpoint, cases: list[Case], fhir: str, rate: float
) -> None:
    patient = f"patient {target.patient_id}, read from {fhir}" if fhir else "a made-up patient"
    pace = f"at most {rate:g} a second" if rate else "as fast as they are answered"
    signed = "signed" if target.keys else "without JWTs"
    kept = "Feedback is sent, and the service will store it." if target.feedback else "No feedback."
    lines = [
        f"{len(cases)} cases of CDS Hooks {target.version}: up to {most_requests(cases)} requests "
        f"to {target.discovery_url}, {signed}, {pace}, about {patient}. {kept}",
        f"FHIR endpoint of the suite: {endpoint.url}/fhir"
        + (
            f", JWK Set: {target.keys.jku or 'not served'}, iss {target.keys.issuer}"
            if target.keys
            else ""
        ),
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _wire(rate: float, authority: Path | None, ours: tuple[Path, Path] | None) -> Wire:
    for file in (authority, *(ours or ())):
        if file and not file.is_file():
            raise click.ClickException(f"There is no file {file}.")
    return Wire(rate, authority=authority, certificate=ours)


def _run(
    console: Console, target: Target, cases: list[Case], endpoint: Endpoint, wire: Wire
) -> Run:
    try:
        with verdict_progress(console, len(cases)) as tell:
            return run_cases(target, cases, endpoint, wire, tell)
    finally:
        wire.close()


def _write(console: Console, done: Run, report_files: dict[str, Path | None]) -> None:
    for name, path in report_files.items():
        if path is None:
            continue
        kind = name.removesuffix("_file").replace("_", "-")
        try:
            path.write_text(_REPORTS[kind](done), encoding="utf-8")
        except OSError as exc:
            raise click.ClickException(f"{path} cannot be written: {exc.strerror}.") from exc
        console.print(f"Written: {path}", highlight=False, soft_wrap=True)


main.add_command(sandbox)

if __name__ == "__main__":
    main(prog_name="meam conformance")
