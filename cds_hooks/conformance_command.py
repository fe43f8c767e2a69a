"""``meam conformance``: the door to the conformance suite, which we never import."""

from __future__ import annotations

import os
import shlex
import sys

import click


@click.command(
    name="conformance",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def conformance(arguments: tuple[str, ...]) -> None:
    """Try any CDS service against the CDS Hooks specification, or look over a FHIR server.

    ARGUMENTS go to the suite as they are: `meam conformance run --help` and
    `meam conformance sandbox --help` list its options, and `python -m conformance` is the same.
    """
    command = [sys.executable, "-m", "conformance", *(with_reader(arguments) or ("--help",))]
    os.execve(sys.executable, command, dict(os.environ))  # noqa: S606  # no shell, our own program


def with_reader(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Let ``sandbox`` say what we would read of the charts, unless another reader is named."""
    named = any(one.partition("=")[0] == "--reader" for one in arguments)
    if arguments[:1] != ("sandbox",) or named:
        return arguments
    reader = shlex.join((sys.executable, "-m", "cds_hooks.sandbox_reader"))
    return ("sandbox", "--reader", reader, *arguments[1:])
