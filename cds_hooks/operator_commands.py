"""``meam serve``: the service in a process of its own."""

from __future__ import annotations

import os
import sys
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
    from cds_hooks.site_codes import site_codes

    # A sentence about a wrong setting or ConceptMap rather than gunicorn's traceback.
    site_codes(settings_of(config).concept_map)
    command = [sys.executable, "-m", "gunicorn", "-c", "python:cds_hooks.gunicorn_conf"]
    os.execve(sys.executable, command, environment(config))  # noqa: S606  # no shell, our own arguments
