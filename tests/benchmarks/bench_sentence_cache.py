"""Times a hook of the typical chart just after a start, with and without the sentence cache.

Run as ``python -m tests.benchmarks.bench_sentence_cache`` from the repository root. Two services
in this process take turns, one with a cache that an earlier hook has filled; before each hook the
encoder's own memory is emptied, as it is after a start. Time is that of the whole hook, without
the network. A third turn keeps the memory: the notes were seen by this very process.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from cds_hooks.app import create_app
from cds_hooks.parts import parts_of
from cds_hooks.settings import development_settings
from cds_hooks.telemetry import configure_logging
from model.sentence_encoder import WordPieceEncoder
from tests.benchmarks.charts import TYPICAL, chart_of, hook_body
from tests.benchmarks.harness import median, ratio, take_turns

ROUNDS = 7


def main() -> None:
    """Print the times and their ratio."""
    chart = chart_of(TYPICAL, now=datetime.now(UTC))
    body = hook_body(chart)
    with tempfile.TemporaryDirectory() as folder:
        cached = service(Path(folder) / "with", sentence_cache=Path(folder) / "sentences.sqlite")
        plain = service(Path(folder) / "without")
        configure_logging(StringIO())  # a line an answer is not for the terminal
        call(*cached, body)()  # fills the file
        times = take_turns(
            {
                "cold": call(*plain, body),
                "cache": call(*cached, body),
                "memory": call(*plain, body, keeps_memory=True),
            },
            rounds=ROUNDS,
        )
        size = sum(one.stat().st_size for one in Path(folder).glob("sentences*"))
    for name, what in (
        ("cold", "just started, no cache"),
        ("cache", "just started, sentences in the cache"),
        ("memory", "notes seen by this process"),
    ):
        report(f"{what}: p50 {median(times[name]).value * 1e3:.0f} ms")
    faster = ratio(times["cold"], times["cache"])
    report(f"with the cache {faster.shown('.1f')} times as fast; file of {size / 1e3:.0f} kB")


def service(folder: Path, **changes: Any) -> tuple[FlaskClient, WordPieceEncoder]:
    """Return a service and the encoder in it."""
    settings = development_settings(folder, deadline_ms=60_000, hard_limit_ms=120_000, **changes)
    app = create_app(settings)
    predictor: Any = parts_of(app).adviser.predictor
    return app.test_client(), predictor.encoder


def call(
    client: FlaskClient, encoder: WordPieceEncoder, body: bytes, *, keeps_memory: bool = False
) -> Callable[[], None]:
    """Return what sends the hook."""

    def hook() -> None:
        if not keeps_memory:
            encoder.forget()
        answer = client.post("/cds-services/meam-risk", data=body, content_type="application/json")
        if answer.status_code != 200:
            raise SystemExit(f"{answer.status_code} {answer.text[:300]}")

    return hook


def report(line: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
