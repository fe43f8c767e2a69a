"""``meam conformance``: the door to the conformance suite, which we never import."""

from __future__ import annotations

import os
import sys

import click


@click.command(
    name="conformance",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def conformance(arguments: tuple[str, ...]) -> None:
    """Try any CDS service against the CDS Hooks specification.

    ARGUMENTS go to the suite as they are: `meam conformance run --help` lists its options, and
    `python -m conformance` is the same.
    """
    command = [sys.executable, "-m", "conformance", *(arguments or ("--help",))]
    os.execve(sys.executable, command, dict(os.environ))  # noqa: S606  # no shell, our own program
