"""Where results go: build/bench holds a JSON file and a text for each benchmark, and the page."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.harness import machine

OUT = Path("build/bench")


@dataclass
class Result:
    """What one benchmark found: sentences for people, figures for the page."""

    name: str
    quick: bool
    machine: dict[str, Any] = field(default_factory=machine)
    began: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    lines: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def say(self, line: str) -> None:
        """Write a line now and into the text."""
        self.lines.append(line)
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def options(description: str | None, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options that all benchmarks have."""
    parser = parser_of(description)
    return parser.parse_args(arguments)


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--quick", action="store_true", help="a run of seconds: does it work at all"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the results and the page")
    return parser


def run(name: str, given: argparse.Namespace, work: Callable[[Result], None]) -> Result:
    """Do the work, save its result, and draw the page anew."""
    result = Result(name, given.quick)
    start = time.perf_counter()
    work(result)
    result.figures["seconds"] = round(time.perf_counter() - start, 1)
    save(result, given.out)
    from tests.benchmarks import page  # here: it draws with matplotlib, which takes a second

    result.say(f"report page: {page.write(given.out)}")
    return result


def save(result: Result, out: Path) -> None:
    """Write JSON and text."""
    out.mkdir(parents=True, exist_ok=True)
    kept = {
        "name": result.name,
        "quick": result.quick,
        "began": result.began,
        "machine": result.machine,
        "lines": result.lines,
        "figures": result.figures,
    }
    (out / f"{result.name}.json").write_text(json.dumps(kept, indent=1) + "\n")
    (out / f"{result.name}.txt").write_text("\n".join(result.lines) + "\n")
