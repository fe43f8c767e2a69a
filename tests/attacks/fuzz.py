"""Sends every route what broken clients and attackers send, and judges every answer.

Run as ``python -m tests.attacks.fuzz [--requests 20000] [--seed 1]`` from the repository root.
Parts: ``schema`` (schemathesis, from the OpenAPI document), ``mutants`` (changed hook requests,
feedback, headers and encodings), ``jwt`` (forged and broken tokens, by hypothesis), ``model`` (the
mutants again, with the shipped model behind), ``sockets`` (raw bytes at a running gunicorn).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from random import Random

from tests.attacks import mutants
from tests.attacks.fuzz_jwt import forged_tokens
from tests.attacks.fuzz_schema import schema_cases
from tests.attacks.fuzz_sockets import raw_requests
from tests.attacks.results import Results
from tests.attacks.target import DISCOVERY, FEEDBACK, HOOK, Target, jwt_settings, target
from tests.cds_hooks import world

SHARES = {"schema": 0.1, "mutants": 0.65, "jwt": 0.15, "model": 0.05, "sockets": 0.05}


def fuzz(requests: int, seed: int, results: Results, parts: tuple[str, ...] = ()) -> None:
    """Run all parts, or those named; each gets its share of the requests."""
    counts = {name: round(requests * share) for name, share in SHARES.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        predictor = world.LinearPredictor()
        for part in parts or SHARES:
            if part == "sockets":
                raw_requests(folder / part, results, counts[part], seed)
                continue
            settings = jwt_settings() if part == "jwt" else {}
            use = None if part == "model" else predictor
            with target(folder / part, results, predictor=use, **settings) as made:
                if part == "schema":
                    schema_cases(made, counts[part], seed)
                elif part == "jwt":
                    forged_tokens(made, counts[part], seed)
                else:
                    mutant_requests(made, part, counts[part], seed)
            predictor.records.clear()


def mutant_requests(made: Target, row: str, count: int, seed: int) -> None:
    """Send changed requests; each one is repeated by its own number."""
    states = Random(seed)
    for _ in range(count):
        state = states.getrandbits(48)
        one_mutant(made, row, state)


def one_mutant(made: Target, row: str, state: int) -> int:
    """Send the request of one random state."""
    random = Random(state)
    example = f"random state {state}"
    kind = random.random()
    if kind < 0.65 or row == "model":
        body, headers = mutants.encoded(mutants.request(random), random)
        if random.random() < 0.1:
            headers |= mutants.headers(random)
        status = made.send(f"{row} hook", "POST", HOOK, body=body, headers=headers, example=example)
        if status == 200 and random.random() < 0.3:
            made.open_page(f"{row} page", example)
        return status
    if kind < 0.85:
        body, headers = mutants.encoded(mutants.feedback(random), random)
        return made.send(
            f"{row} feedback", "POST", FEEDBACK, body=body, headers=headers, example=example
        )
    method, path = random.choice(mutants.METHODS), random.choice((*mutants.PATHS, DISCOVERY))
    body, headers = mutants.encoded(world.hook_request({}), random)
    headers |= mutants.headers(random)
    return made.send(
        f"{row} route",
        method,
        path,
        body=body if random.random() < 0.5 else None,
        headers=headers,
        example=f"{example}: {method} {path[:60]}",
    )


def main() -> None:
    """Fuzz as the options say, and print what came back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", nargs="*", default=[], choices=SHARES)
    options = parser.parse_args()
    results = Results(f"fuzzed requests, seed {options.seed}")
    fuzz(options.requests, options.seed, results, tuple(options.parts))
    raise SystemExit(results.report())


if __name__ == "__main__":
    main()
