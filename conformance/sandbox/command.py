"""``conformance sandbox``: what a FHIR server offers, before a service is connected to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.addresses import BadBase
from conformance.bounded import LARGEST_BYTES
from conformance.cannot_run import CannotRun, check_reports, check_tls
from conformance.client_keys import KeyFileError, read_key
from conformance.exchange import Wire
from conformance.pace import pace_options
from conformance.plain_text import plain
from conformance.report_terminal import progress_bar
from conformance.sandbox.access import DEFAULT_SCOPE, NoAccess, backend_token, token_of_file
from conformance.sandbox.checks import LEVELS, Level, load_checks
from conformance.sandbox.presets import Preset, load_presets
from conformance.sandbox.reader import ReaderFailed, ask_reader
from conformance.sandbox.reports import print_run, to_json, to_junit, to_page
from conformance.sandbox.run import Run, most_requests, run_checks
from conformance.sandbox.server import Server
from conformance.sandbox.session import Session, Wanted

TOKEN_VARIABLE = "CONFORMANCE_FHIR_TOKEN"  # noqa: S105  # the name of a variable, not a secret
_FAILED = 1  # exit status: a check failed; 2 is a fault of usage, as click has it
_REPORTS = {"json": to_json, "junit": to_junit, "html": to_page}
_file = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--fhir", default="", help="Base URL of a FHIR R4 server.")
@click.option("--preset", "preset_id", default="", help="A known public sandbox.")
@click.option("--list-presets", is_flag=True, help="Say which sandboxes are known, and stop.")
@click.option("--patient", "patients", multiple=True, help="Id of a patient; may be repeated.")
@click.option("--sample", default=3, show_default=True, help="Most patients that are looked for.")
@click.option("--token-file", type=_file, help="File that holds an access token.")
@click.option("--client-id", default="", help="Sign in by SMART Backend Services as this client.")
@click.option("--key", "key_file", type=_file, help="Private key of the client, PEM.")
@click.option("--kid", default="conformance-1", show_default=True, help="Name of the key.")
@click.option("--scope", default=DEFAULT_SCOPE, show_default=True, help="Scopes to ask for.")
@click.option("--ca", type=_file, help="Who certified the server, PEM; else the system's.")
@click.option("--write", "writing", is_flag=True, help="Create and delete a draft order and task.")
@pace_options
@click.option("--fail-on", default="needed", type=click.Choice(LEVELS), show_default=True)
@click.option("--reader", default="", help="Command that reads the charts and adds to the report.")
@click.option("--json", "json_file", type=_file, help="Write the report as JSON.")
@click.option("--junit", "junit_file", type=_file, help="Write the report as JUnit XML.")
@click.option("--html", "html_file", type=_file, help="Write the report as one HTML page.")
@click.option("--all", "everything", is_flag=True, help="Show what passed and was left out too.")
@click.option("--plan", "plan_only", is_flag=True, help="Say what would be sent, and send nothing.")
def sandbox(
    fhir: str,
    preset_id: str,
    list_presets: bool,
    patients: tuple[str, ...],
    sample: int,
    writing: bool,
    longest_s: float,
    rate: float,
    fail_on: Level,
    reader: str,
    everything: bool,
    plan_only: bool,
    token_file: Path | None,
    client_id: str,
    key_file: Path | None,
    kid: str,
    scope: str,
    ca: Path | None,
    **report_files: Path | None,
) -> None:
    """Check a FHIR R4 server for what a decision support service needs of it.

    It is only read, unless --write is given. A token comes from --token-file, from the environment
    variable CONFORMANCE_FHIR_TOKEN, or by --client-id and --key. Reports hold paths, statuses,
    counts and ids, and no other value of a chart.

    Exit status: 0 where no check of --fail-on or graver failed, 1 where one did, 2 where the run
    could not be made.
    """
    console = Console()
    if list_presets:
        _print_presets(console)
        return
    preset = _preset(preset_id)
    base_url = fhir or (preset.fhir if preset else "")
    if not base_url or "{" in base_url:
        raise click.UsageError(_what_is_missing(preset))
    check_reports(report_files)
    check_tls(ca)
    wanted = Wanted(patients or (preset.patients if preset else ()), sample)
    wire = Wire(rate, authority=ca, longest_s=longest_s, largest=LARGEST_BYTES)
    try:
        server = Server(base_url, wire)
        _say_plan(console, server, wanted, preset, rate, writing=writing, reader=reader)
        if plan_only:
            _print_checks(console, writing=writing)
            return
        token = _token(base_url, token_file, client_id, key_file, kid, scope, ca)
        server = Server(base_url, wire, token, writing=writing, authority=ca)
        done = _run(console, Session(server, wanted), writing=writing)
    except (BadBase, NoAccess) as exc:
        raise CannotRun(str(exc)) from exc
    finally:
        wire.close()
    if preset:
        done = replace(done, known=tuple(asdict(one) for one in preset.known))
    if reader and done.patients:
        done = replace(done, reading=_reading(console, reader, done, token))
    print_run(console, done, everything=everything)
    _write(console, done, report_files)
    sys.exit(_FAILED if done.failed(fail_on) else 0)


def _preset(preset_id: str) -> Preset | None:
    if not preset_id:
        return None
    found = load_presets().get(preset_id)
    if found is None:
        names = ", ".join(load_presets())
        raise click.UsageError(f"There is no preset {preset_id}; there are {names}.")
    return found


def _what_is_missing(preset: Preset | None) -> str:
    if preset is None:
        return "Name a server with --fhir, or a sandbox with --preset."
    return f"The address of {preset.name} is {preset.fhir}: name your own with --fhir."


def _token(
    fhir: str,
    token_file: Path | None,
    client_id: str,
    key_file: Path | None,
    kid: str,
    scope: str,
    ca: Path | None,
) -> str:
    if token_file:
        return token_of_file(token_file)
    if not client_id:
        return os.environ.get(TOKEN_VARIABLE, "")
    if key_file is None:
        raise click.UsageError("--client-id and --key belong together.")
    try:
        key = read_key(key_file)
    except KeyFileError as exc:
        raise CannotRun(str(exc)) from exc
    return backend_token(fhir, client_id, key, kid, scope, ca)


def _say_plan(
    console: Console,
    server: Server,
    wanted: Wanted,
    preset: Preset | None,
    rate: float,
    *,
    writing: bool,
    reader: str,
) -> None:
    count = len(wanted.patients) or wanted.sample
    pace = f"at most {rate:g} a second" if rate else "as fast as they are answered"
    who = f"{count} named" if wanted.patients else f"up to {count} found"
    kept = (
        "A draft ServiceRequest and a draft Task are created and deleted."
        if writing
        else "Nothing is written."
    )
    lines = [
        f"{len(load_checks())} checks: up to {most_requests(count)} requests to {server.base_url}, "
        f"{pace}, about {who} patients. {kept}"
    ]
    if reader:
        lines.append("Then the charts of these patients are read once more, by the reader.")
    if preset:
        lines.append(f"{preset.name}: {preset.sign_in}")
        lines += [f"Known ({one.as_of}): {one.fact}" for one in preset.known]
        if not preset.tried:
            lines.append("Not tried from here.")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _print_checks(console: Console, *, writing: bool) -> None:
    table = Table("Level", "Check", "Sends")
    for check in load_checks():
        if writing or not check.id.startswith("write-"):
            sends = check.sends or "nothing more"
            table.add_row(check.level, check.description, sends)
    console.print(table)


def _print_presets(console: Console) -> None:
    """An address is worth copying, so it stands on a line of its own."""
    for preset in load_presets().values():
        console.print(Text(preset.id, style="bold").append(f"  {preset.name}", style="not bold"))
        console.print(f"    {preset.fhir}", highlight=False, soft_wrap=True)
        console.print(f"    {preset.sign_in}", highlight=False, soft_wrap=True)
    console.print("\nNone of them was tried from here; --plan shows what is known of one.")


def _run(console: Console, session: Session, *, writing: bool) -> Run:
    checks = load_checks()
    with progress_bar(console) as bar:
        task = bar.add_task("Checks", total=len(checks))
        return run_checks(session, checks, lambda _: bar.advance(task), writing=writing)


def _reading(console: Console, reader: str, done: Run, token: str) -> Mapping[str, Any]:
    try:
        with console.status("Reading the charts ..."):
            return ask_reader(reader, done, token, TOKEN_VARIABLE)
    except ReaderFailed as exc:
        console.print(f"{exc}", style="red", highlight=False, soft_wrap=True, markup=False)
        return {"title": "The charts were not read", "notes": [str(exc)]}


def _write(console: Console, done: Run, report_files: Mapping[str, Path | None]) -> None:
    for name, path in report_files.items():
        if path is None:
            continue
        try:
            path.write_text(plain(_REPORTS[name.removesuffix("_file")](done)), encoding="utf-8")
        except OSError as exc:
            raise CannotRun(f"{path} cannot be written: {exc.strerror}.") from exc
        console.print(f"Written: {path}", highlight=False, soft_wrap=True, markup=False)
