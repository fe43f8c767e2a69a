"""``meam check-settings``: what is wrong with a settings file, before the service is started."""

from __future__ import annotations

from pathlib import Path

import click

from cds_hooks.commands import in_one_sentence


@click.command("check-settings")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@in_one_sentence
def check_settings_command(file: Path) -> None:
    """Check a settings file and the files that it names; list every fault with its line.

    Nothing is started, no address is called. The exit code is 1 if there is a fault.
    """
    from cds_hooks.settings_check import check_settings

    faults = check_settings(file)
    for fault in faults:
        place = f"{file}:{fault.line}" if fault.line else str(file)
        click.echo(f"{place}: {fault.message}")
        if fault.fix:
            click.echo(f"    fix: {fault.fix}")
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise click.ClickException(f"{file} has {count}.")
    click.echo(f"{file} has no fault.")
