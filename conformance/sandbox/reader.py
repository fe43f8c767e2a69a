"""What a product makes of the charts: another program is asked, and its tables are shown.

The suite knows nothing of the product that it is run for. A reader is a command. It gets one JSON
object on its input (``fhir``, ``patients``, ``facts``) and the token in the environment, and
writes one JSON object: ``title``, ``tables`` (``title``, ``columns``, ``rows``), ``notes`` and
``files`` (``name``, ``text``).
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from typing import Any

from conformance.sandbox.run import Run

_PATIENCE_S = 600.0


class ReaderFailed(Exception):
    """The reader gave nothing that can be shown; the message is one sentence."""


def ask_reader(command: str, run: Run, token: str, token_variable: str) -> Mapping[str, Any]:
    """Run the command on the patients of a run. Raises ReaderFailed."""
    environment = {name: value for name, value in os.environ.items() if name != token_variable}
    if token:
        environment[token_variable] = token
    question = {"fhir": run.fhir, "patients": run.patients, "facts": run.facts}
    try:
        done = subprocess.run(  # noqa: S603  # the user's own command, without a shell
            shlex.split(command),
            input=json.dumps(question),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            env=environment,
            check=False,
        )
    except (OSError, ValueError) as exc:
        raise ReaderFailed("The reader cannot be started.") from exc
    except subprocess.TimeoutExpired as exc:
        raise ReaderFailed(f"The reader did not end within {_PATIENCE_S:.0f} s.") from exc
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ReaderFailed(f"The reader ended with status {done.returncode}: {last[:300]}")
    return _checked(done.stdout)


def _checked(text: str) -> Mapping[str, Any]:
    try:
        reading = json.loads(text)
    except ValueError as exc:
        raise ReaderFailed("The reader wrote no JSON.") from exc
    if not isinstance(reading, dict) or not all(
        isinstance(reading.get(name, []), list) for name in ("tables", "notes", "files")
    ):
        raise ReaderFailed("The reader wrote JSON of another form than documented.")
    return reading
