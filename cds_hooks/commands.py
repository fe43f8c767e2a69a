"""What all commands share: errors as one sentence, and the settings file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click
from sqlalchemy.exc import SQLAlchemyError

from cds_hooks.errors import ServiceError
from fhir_adapters.errors import FhirError
from model.errors import ModelError

if TYPE_CHECKING:
    from cds_hooks.settings import Settings
    from cds_hooks.store import Store

P = ParamSpec("P")
T = TypeVar("T")
_CONFIG_VARIABLE = "MEAM_CONFIG"
config_option = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar=_CONFIG_VARIABLE,
    help="TOML file with the service's settings.",
)


def in_one_sentence(command: Callable[P, T]) -> Callable[P, T]:
    """Turn our own errors into one sentence on stderr and exit code 1."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except (ServiceError, FhirError, ModelError) as exc:
            raise click.ClickException(str(exc)) from exc
        except OSError as exc:  # of a file that a user named
            if exc.errno is None:  # one of our own, in words
                raise click.ClickException(str(exc)) from exc
            if exc.filename is None:  # of a pipe or a socket: nobody's file
                raise
            raise click.ClickException(f"{exc.filename}: {exc.strerror}.") from exc
        except SQLAlchemyError as exc:
            first_line = str(exc).splitlines()[0]
            raise click.ClickException(f"The database cannot be used: {first_line}") from exc

    return wrapped


def environment(config: Path | None) -> dict[str, str]:
    """Return our environment, naming the settings file."""
    if config is None:
        return dict(os.environ)
    return {**os.environ, _CONFIG_VARIABLE: str(config)}


def settings_of(config: Path | None) -> Settings:
    """Return the settings of a file. Raises SettingsError."""
    from cds_hooks.settings import load_settings

    return load_settings(environment(config))


@contextmanager
def progress_bar(label: str, length: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr; yields what is called with the number of rows that were done."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(label, total=length)
        yield lambda rows: bars.advance(task, rows)


@contextmanager
def opened_store(config: Path | None) -> Iterator[Store]:
    """The database of the settings, opened as the service does. Raises ServiceError."""
    from cds_hooks.store import Store

    settings = settings_of(config)
    store = Store(settings.database_url, settings.key_ring())
    try:
        yield store
    finally:
        store.close()
