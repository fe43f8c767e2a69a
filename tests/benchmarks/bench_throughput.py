"""Hooks a second against the number of clients, what happens beyond, and memory over many hooks.

Run as ``python -m tests.benchmarks.bench_throughput [--quick] [--hooks 100000]`` from the root of
the repository. gunicorn as shipped answers clients of this machine, each on a connection of its
own, as fast as they can ask; charts are the typical one in eight variants, prefetched, with notes
seen before. Clients do as little as they can, since they take the service's cores: they send bytes
that were made before and look at the status and for a card. The processor time of the service for
each answered hook says what an idle machine would carry, that of the clients what they took.
Declared is: up to ``max_concurrent_hooks`` + ``max_waiting_hooks`` (4 + 32) hooks at
once are answered, more get 503 with Retry-After, and so does who waits longer than
``max_wait_ms``. With ``--hooks`` the memory of the service is watched over that many hooks of the
small chart.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from tests.benchmarks.bench_healthchain import Server
from tests.benchmarks.bench_hook import resident_mb, service
from tests.benchmarks.charts import SMALL, TYPICAL, chart_of, hook_body
from tests.benchmarks.harness import line
from tests.benchmarks.saved import Result, parser_of, run, save

CLIENTS = (1, 2, 4, 8, 16, 32, 64, 128)
SECONDS = 8.0
VARIANTS = 8
WATCHED_CLIENTS = 4
LOOKS = 200
CORES = len(os.sched_getaffinity(0))
HOOK = "/cds-services/meam-risk"
CARD = b'"indicator":'  # every card has one


@dataclass
class Load:
    """What some clients met."""

    seconds: list[float] = field(default_factory=list)  # of answered hooks
    refused_s: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0
    clients_s: float = 0.0  # processor time of all clients


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure as the options say."""
    parser = parser_of(__doc__)
    parser.add_argument("--hooks", type=int, default=2_000, help="for the watch over memory")
    parser.add_argument(
        "--setting", action="append", default=[], help="of the service, as in meam.toml: workers=2"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each number of clients")
    given = parser.parse_args(arguments)
    run("throughput", given, lambda result: measure(given, result))


def measure(given: argparse.Namespace, result: Result) -> None:
    """Load, then watch."""
    now = datetime.now(UTC)
    size, variants = (SMALL, 2) if given.quick else (TYPICAL, VARIANTS)
    bodies = [hook_body(chart_of(size, now=now, variant=number)) for number in range(variants)]
    with tempfile.TemporaryDirectory() as name, _service(Path(name), given) as (url, process):
        server = Server(url, process.pid)
        loaded(url, bodies, clients=1, hooks=3 * len(bodies))  # until every note is known
        for clients in (1, 2) if given.quick else CLIENTS:
            before = server.used_s()
            load = loaded(url, bodies, clients, seconds=1.0 if given.quick else given.seconds)
            _tell(result, clients, load, server.used_s() - before)
        save(result, given.out)  # what follows may take hours
        watched = [hook_body(chart_of(SMALL, now=now))]
        watch(result, url, process.pid, watched, 20 if given.quick else given.hooks)


def _service(
    folder: Path, given: argparse.Namespace
) -> AbstractContextManager[tuple[str, subprocess.Popen[bytes]]]:
    return service(folder, limits="".join(f"{one}\n" for one in given.setting))


def loaded(
    url: str, bodies: list[bytes], clients: int, *, seconds: float = 1e9, hooks: int = 10**9
) -> Load:
    """Let clients ask until the time is over or so many hooks were asked."""
    load, lock, asked = Load(), threading.Lock(), iter(range(hooks))
    end = time.perf_counter() + seconds

    def client(number: int) -> None:
        with closing(HTTPConnection(urlsplit(url).netloc, timeout=120)) as connection:
            while time.perf_counter() < end:
                with lock:
                    turn = next(asked, None)
                if turn is None:
                    return
                said, took = _ask(connection, bodies[(number + turn) % len(bodies)])
                with lock:
                    load.answers[said] += 1
                    (load.seconds if said == "200" else load.refused_s).append(took)
                if said.startswith("503"):
                    time.sleep(0.1)  # an EHR would wait longer: Retry-After is a second or more

    team = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    start, used = time.perf_counter(), time.process_time()
    for one in team:
        one.start()
    for one in team:
        one.join()
    load.took_s, load.clients_s = time.perf_counter() - start, time.process_time() - used
    return load


def _ask(connection: HTTPConnection, body: bytes) -> tuple[str, float]:
    place = body.index(b'"hookInstance": "') + 17
    fresh = body[:place] + str(uuid.uuid4()).encode() + body[place + 36 :]
    start = time.perf_counter()
    try:
        connection.request("POST", HOOK, fresh, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
    except (OSError, HTTPException) as exc:
        connection.close()  # the next request opens it anew
        return type(exc).__name__, time.perf_counter() - start
    took = time.perf_counter() - start
    if answer.status == 200:
        return ("200" if CARD in said else "200 without a card"), took
    waits = "with" if answer.getheader("Retry-After") else "without"
    return f"{answer.status} {waits} Retry-After", took


def _tell(result: Result, clients: int, load: Load, used_s: float) -> None:
    took = np.array(load.seconds or [float("nan")]) * 1e3
    p50, p95, p99 = np.percentile(took, [50, 95, 99])
    rate = len(load.seconds) / load.took_s
    used, theirs = (s / max(1, len(load.seconds)) * 1e3 for s in (used_s, load.clients_s))
    busy = (used_s + load.clients_s) / load.took_s / CORES
    refused = f", refused after {np.median(load.refused_s) * 1e3:.0f} ms" if load.refused_s else ""
    result.say(
        f"{clients} clients: {rate:.1f} hooks a second, p50 {p50:.0f} ms, p95 {p95:.0f} ms, "
        f"p99 {p99:.0f} ms, {used:.0f} processor-ms a hook and {theirs:.1f} of the client, "
        f"cores {busy:.0%} busy; {dict(load.answers)}{refused}; "
        f"load average {os.getloadavg()[0]:.1f}"
    )
    result.figures.setdefault("clients", {})[str(clients)] = {
        "hooks_per_s": rate,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "cpu_ms": used,
        "client_cpu_ms": theirs,
        "busy": busy,
        "answers": dict(load.answers),
        "load_average": os.getloadavg()[0],
    }


def watch(result: Result, url: str, pid: int, bodies: list[bytes], hooks: int) -> None:
    """Look at the memory of the service between many hooks."""
    each = max(1, hooks // LOOKS)
    done, answers, seen = 0, Counter[str](), []
    while done < hooks:
        load = loaded(url, bodies, WATCHED_CLIENTS, hooks=each)
        answers.update(load.answers)
        done += sum(load.answers.values())
        seen.append((done, resident_mb(pid)))
    asked, memory = (np.array(column, np.float64) for column in zip(*seen, strict=True))
    later = asked >= asked[-1] / 5  # caches fill first
    growth = line(asked[later] / 1_000, memory[later])
    result.say(
        f"memory over {done} hooks: {memory[0]:.1f} MB at first, {memory[-1]:.1f} MB at the end; "
        f"{growth.shown()} MB a thousand hooks after the first fifth; {dict(answers)}"
    )
    result.figures["memory"] = {
        "hooks": done,
        "asked": asked.tolist(),
        "mb": memory.tolist(),
        "mb_per_thousand": growth.to_json(),
        "answers": dict(answers),
    }


if __name__ == "__main__":
    main()
