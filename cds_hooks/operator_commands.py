"""Commands for those who run the service: serve, keys, verify-audit, purge."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import click

from cds_hooks.commands import config_option, environment, in_one_sentence, settings_of


@click.command()
@config_option
@in_one_sentence
def serve(config: Path | None) -> None:
    """Run the service under gunicorn, as the settings say.

    Without --config, settings come from the file that MEAM_CONFIG names and from the
    environment; see README.md.
    """
    settings_of(config)  # a sentence about a wrong setting rather than gunicorn's traceback
    command = [sys.executable, "-m", "gunicorn", "-c", "python:cds_hooks.gunicorn_conf"]
    os.execve(sys.executable, command, environment(config))  # noqa: S606  # no shell, our own arguments


@click.group()
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


@click.command("verify-audit")
@config_option
@in_one_sentence
def verify_audit_command(config: Path | None) -> None:
    """Check the audit log: any line edited, removed or reordered is found."""
    from cds_hooks.audit import verify_audit
    from cds_hooks.store import Store

    settings = settings_of(config)
    store = Store(settings.database_url, settings.key_ring())
    lines = verify_audit(store.engine, store.keys)
    store.close()
    click.echo(f"The audit log is whole: {lines} lines.")


@click.command()
@config_option
@in_one_sentence
def purge(config: Path | None) -> None:
    """Delete expired explanations, and cards and feedback older than keep_cards_days."""
    from cds_hooks.store import Store

    settings = settings_of(config)
    store = Store(settings.database_url, settings.key_ring())
    counts = store.purge(timedelta(days=settings.keep_cards_days))
    store.close()
    click.echo("Deleted: " + ", ".join(f"{count} {name}" for name, count in counts.items()) + ".")
