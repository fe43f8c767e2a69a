"""How long an answer is waited for, and how fast requests follow: options of both commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from conformance.bounded import LONGEST_S


def pace_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--timeout`` and ``--rate``: the command takes ``longest_s`` and ``rate``."""
    for option in (_RATE, _TIMEOUT):
        command = option(command)
    return command


_TIMEOUT = click.option(
    "--timeout",
    "longest_s",
    default=LONGEST_S,
    show_default=True,
    type=click.FloatRange(0.1, 600),
    help="Seconds that an answer is waited for.",
)
_RATE = click.option(
    "--rate",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Most requests a second; 0: no limit.",
)
