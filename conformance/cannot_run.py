"""A run that cannot be made ends with 2, as a wrong use does: 1 says that a rule is not kept."""

from __future__ import annotations

import ssl
from pathlib import Path

import click

from conformance.addresses import BadBase, checked_base


class CannotRun(click.ClickException):
    """One sentence for whoever started the run."""

    exit_code = 2


def check_reports(files: dict[str, Path | None]) -> None:
    """Raise CannotRun where a report has no folder to be written to: before anything is sent."""
    for path in files.values():
        if path and not path.parent.is_dir():
            raise CannotRun(f"{path} cannot be written: there is no folder {path.parent}.")


def checked_option(url: str, option: str, example: str) -> str:
    """Return a base URL. Raises UsageError, which names the option and an example."""
    try:
        return checked_base(url, option, example)
    except BadBase as exc:
        raise click.UsageError(str(exc)) from exc


def check_tls(authority: Path | None, ours: tuple[Path, Path] | None = None) -> None:
    """Raise CannotRun where certificates cannot be used: an authority's, and ours with its key."""
    for file in (authority, *(ours or ())):
        if file and not file.is_file():
            raise CannotRun(f"There is no file {file}.")
    context = ssl.create_default_context()
    try:
        if authority:
            context.load_verify_locations(authority)
    except (OSError, ValueError) as exc:
        raise CannotRun(f"{authority} holds no certificate in PEM.") from exc
    try:
        if ours:
            context.load_cert_chain(*ours, password=b"")
    except (OSError, ValueError) as exc:
        named = " and ".join(map(str, ours or ()))
        raise CannotRun(f"{named} are no certificate and its key, PEM without password.") from exc
