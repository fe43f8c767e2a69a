"""Our own keys as a client of FHIR servers (SMART Backend Services): make, rotate, publish.

They are not the keys that encrypt stored data (``meam keys``). A server that lets us in without a
user checks our signature against our JWK Set, which it gets as a file or
from the service's own address /.well-known/jwks.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from cds_hooks.commands import in_one_sentence
from cds_hooks.errors import SettingsError
from fhir_adapters.signing_keys import Algorithm, KeyFolder, SigningKeyError

if TYPE_CHECKING:
    from fhir_adapters.backend_auth import BackendServices


def backend_services(
    fhir_base_url: str, client_id: str, folder: Path, algorithm: Algorithm
) -> BackendServices:
    """Return what gets tokens for us at a FHIR server. Raises SettingsError without a key."""
    from fhir_adapters.backend_auth import BackendServices

    keys = KeyFolder(folder)
    try:
        keys.signing_key(algorithm)
    except SigningKeyError as exc:
        raise SettingsError(f"{exc}; 'meam backend-keys make' makes one") from exc
    return BackendServices(fhir_base_url, client_id, lambda: keys.signing_key(algorithm))


_folder_option = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the private keys; signing_keys in the settings names the same.",
)
algorithm_option = click.option(
    "--algorithm",
    type=click.Choice(get_args(Algorithm)),
    default="ES384",
    show_default=True,
    help="What the FHIR server takes: ES384 or RS384.",
)


@click.group("backend-keys")
def backend_keys() -> None:
    """Make, rotate and publish the keys by which FHIR servers know us (Backend Services)."""


@backend_keys.command()
@_folder_option
@algorithm_option
@in_one_sentence
def make(folder: Path, algorithm: Algorithm) -> None:
    """Make the first key of an algorithm. It signs at once."""
    if any(key["alg"] == algorithm for key in _published(folder)["keys"]):
        raise SettingsError(f"{folder} holds an {algorithm} key already; rotate it instead")
    _say_new(folder, algorithm)


@backend_keys.command()
@_folder_option
@algorithm_option
@in_one_sentence
def rotate(folder: Path, algorithm: Algorithm) -> None:
    """Add a key that signs in an hour, and remove those that have long been replaced."""
    if not any(key["alg"] == algorithm for key in _published(folder)["keys"]):
        raise SettingsError(f"{folder} holds no {algorithm} key to rotate; make one first")
    _say_new(folder, algorithm)


@backend_keys.command()
@_folder_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@in_one_sentence
def publish(folder: Path, out: Path | None) -> None:
    """Print the public JWK Set, or write it to a file for the FHIR server's operator.

    The service shows the same at /.well-known/jwks.json.
    """
    published = _published(folder)
    if not published["keys"]:
        raise SettingsError(f"{folder} holds no key; make one first")
    text = json.dumps(published, indent=2)
    if out is None:
        click.echo(text)
        return
    try:
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as exc:
        raise click.ClickException(f"{out} cannot be written: {exc.strerror}.") from exc
    click.echo(f"Wrote {out}.", err=True)


def _say_new(folder: Path, algorithm: Algorithm) -> None:
    try:
        key = KeyFolder(folder).rotate(algorithm)
    except SigningKeyError as exc:
        raise SettingsError(str(exc)) from exc
    except OSError as exc:
        raise SettingsError(f"{folder} cannot be written: {exc.strerror}") from exc
    click.echo(f"Made the {algorithm} key {key.key_id}.")


def _published(folder: Path) -> dict[str, list[dict[str, str]]]:
    try:
        return KeyFolder(folder).jwk_set()
    except SigningKeyError as exc:
        raise SettingsError(str(exc)) from exc
