"""The self-test of an exported folder: is it whole, and does it say what its exporter said?

Run as ``self-test`` in the folder, on the machine that is to serve. Each line begins with ok or
FAIL; the exit code is 1 where one failed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from cds_hooks.app import create_app
from cds_hooks.edge_golden import differences, prefetch, read_golden, said
from cds_hooks.errors import ServiceError
from cds_hooks.settings import Settings, development_settings, load_settings
from fhir_adapters.chart import Chart
from model.errors import ModelError
from model.predictor import Predictor, load_predictor

USAGE = "usage: self-test [--keep-going]"
Line = tuple[bool, str]


def main(folder: Path, arguments: list[str]) -> int:
    """Run all checks; stop at the first that fails unless told to keep going."""
    if arguments not in ([], ["--keep-going"]):
        sys.exit(USAGE)
    failed = 0
    for passed, sentence in checks(folder):
        sys.stdout.write(f"{'ok  ' if passed else 'FAIL'} {sentence}\n")
        failed += not passed
        if failed and not arguments:
            break
    sys.stdout.write("The self-test passed.\n" if not failed else "The self-test FAILED.\n")
    return 1 if failed else 0


def checks(folder: Path) -> Iterator[Line]:
    """Yield one line a check."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    yield files_are_whole(folder, manifest["sha256"])
    start = time.perf_counter()
    try:
        settings = load_settings({"MEAM_CONFIG": str(folder / "trial.toml")})
        predictor = load_predictor(
            settings.checkpoint,
            encoder_variant=settings.encoder_variant,
            threads=settings.model_threads,
        )
    except (ServiceError, ModelError) as exc:
        yield False, str(exc)
        return
    seconds = time.perf_counter() - start
    version = predictor.checkpoint.info.name, predictor.version
    yield True, f"model {' '.join(version)} loaded in {seconds:.1f} s"
    yield from predictions_agree(folder, predictor)
    yield hook_is_answered(settings, predictor, read_golden(folder / "golden.json")[0][0])


def files_are_whole(folder: Path, digests: dict[str, str]) -> Line:
    """Compare every file with the manifest."""
    for name, expected in digests.items():
        file = folder / name
        if not file.is_file():
            return False, f"{name} is missing"
        with file.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != expected:
                return False, f"{name} was changed since it was exported"
    return True, f"{len(digests)} files are those that were exported"


def predictions_agree(folder: Path, predictor: Predictor) -> Iterator[Line]:
    """Predict and explain each invented patient again."""
    rows = read_golden(folder / "golden.json")
    largest = 0.0
    for chart, record, expected in rows:
        found, _ = said(predictor, record)
        faults = differences(expected, found)
        if faults:
            yield False, f"{chart.patient_id}: {'; '.join(faults)}"
            return
        if found is not None:
            largest = max(largest, abs(found.logit - expected.logit))
    yield (
        True,
        f"{len(rows)} patients: the same five reasons; logits differ by {largest:.1e} at most",
    )


def hook_is_answered(settings: Settings, predictor: Predictor, chart: Chart) -> Line:
    """Send one hook through the whole service, with a database of its own."""
    logging.disable()
    with tempfile.TemporaryDirectory() as scratch:
        trial = development_settings(
            Path(scratch), deadline_ms=9000, encoder_variant=settings.encoder_variant
        )
        client = create_app(trial, predictor=predictor).test_client()
        start = time.perf_counter()
        answer = client.post(
            "/cds-services/meam-risk",
            json={
                "hook": "patient-view",
                "hookInstance": str(uuid.uuid4()),
                "context": {"userId": "Practitioner/self-test", "patientId": chart.patient_id},
                "prefetch": prefetch(chart),
            },
        )
        milliseconds = (time.perf_counter() - start) * 1e3
    if answer.status_code != 200 or "cards" not in answer.get_json():
        return False, f"a hook was answered with status {answer.status_code}"
    cards = len(answer.get_json()["cards"])
    return True, f"a hook was answered in {milliseconds:.0f} ms with {cards} card(s)"
