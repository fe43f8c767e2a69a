"""What the int8 sentence encoder costs and saves, beside the encoder that it was made from.

Run as ``python -m tests.model.encoder_variants DATA`` from the repository root, DATA being the
folder that holds eicu-crd-demo. It makes the variant, and prints

* its size, and how many times faster it embeds, both timed in turns on one core;
* the cosine of each sentence's two vectors, over note_pairs.csv and all of the eICU demo's notes;
* the pass rate of the note pairs with both (the flags do not depend on the encoder);
* the change of the model's logits and of its AUROC on the eICU demo's stays at 24 h.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fhir_adapters.datasets.eicu import read_eicu
from fhir_adapters.record_builder import build_record
from model.exported_encoder import encoder_files
from model.predictor import Predictor, load_predictor
from model.record import PatientRecord
from model.sentence_encoder import WordPieceEncoder
from model.training.encoder_quantise import VARIANT, quantise_encoder
from model.training.metrics import auroc
from tests.model.note_pairs import CHECKPOINT, charts, difference, model_passes, read_pairs

Floats = npt.NDArray[np.float32]
TASK = "in_hospital_death"
HOURS = 24
TIMED = 160  # sentences
ROUNDS = 9
AT_ONCE = 512


def main() -> None:
    """Print all tables."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m tests.model.encoder_variants DATA [STAYS]")
    data = Path(sys.argv[1]) / "eicu-crd-demo"
    most = int(sys.argv[2]) if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as folder:
        variant = quantise_encoder(None, Path(folder) / "int8")
        whole = load_predictor(CHECKPOINT, threads=1)
        small = load_predictor(CHECKPOINT, encoder_path=variant, encoder_variant=VARIANT, threads=1)
        report_sizes(None, variant)
        stays = list(islice(read_eicu(data, HOURS), most))
        records = [build_record(stay.chart, stay.prediction_time) for stay in stays]
        outcomes = np.array([stay.labels[TASK] for stay in stays], np.float64)
        sentences = sentences_of(records)
        report_speed(whole.encoder, small.encoder, sentences)
        report_cosines("note_pairs.csv", whole.encoder, small.encoder, pair_sentences())
        report_cosines("eICU demo", whole.encoder, small.encoder, sentences)
        report_pairs(whole, small)
        report_logits(whole, small, records, outcomes)


def sentences_of(records: Sequence[PatientRecord]) -> list[str]:
    """Return the different sentences of all notes."""
    texts = (one.text for record in records for note in record.notes for one in note.sentences)
    return list(dict.fromkeys(texts))


def pair_sentences() -> list[str]:
    """Return the sentences of the note pairs."""
    return sorted({text for pair in read_pairs() for text in (pair.worse, pair.milder)})


def report_sizes(whole: Path | None, small: Path) -> None:
    """Print the megabytes of weights, graph and tokenizer."""
    sizes = []
    for folder in (whole, small):
        files = encoder_files(folder)
        bytes_ = sum(f.stat().st_size for f in (files.graph, files.weights, files.tokenizer))
        sizes.append(bytes_ / 1e6)
    report(f"size: float32 {sizes[0]:.1f} MB, int8 {sizes[1]:.1f} MB")


def report_speed(whole: WordPieceEncoder, small: WordPieceEncoder, texts: Sequence[str]) -> None:
    """Time both in turns, without any memory of sentences."""
    step = max(1, len(texts) // TIMED)
    chosen = list(texts)[::step][:TIMED]
    times = np.array([[seconds(one, chosen) for one in (whole, small)] for _ in range(ROUNDS)])
    ratios = times[:, 0] / times[:, 1]
    each = np.median(times, axis=0) / len(chosen) * 1e3
    report(
        f"time of a sentence: float32 {each[0]:.2f} ms, int8 {each[1]:.2f} ms; int8 is"
        f" {np.median(ratios):.2f} times as fast ({ratios.min():.2f} to {ratios.max():.2f})"
    )


def seconds(encoder: WordPieceEncoder, texts: Sequence[str]) -> float:
    """Return the time of embedding these anew."""
    start = time.perf_counter()
    encoder.embed(texts)
    return time.perf_counter() - start


def report_cosines(
    name: str, whole: WordPieceEncoder, small: WordPieceEncoder, texts: Sequence[str]
) -> None:
    """Print how far the vectors of the two point in the same direction."""
    found = [
        (
            whole.embed(texts[start : start + AT_ONCE])
            * small.embed(texts[start : start + AT_ONCE])
        ).sum(axis=1)
        for start in range(0, len(texts), AT_ONCE)
    ]
    cosines = np.concatenate(found)
    low, middle = np.percentile(cosines, [1, 50])
    report(
        f"cosine, {len(texts)} sentences of {name}: median {middle:.4f}, 1 % below {low:.4f},"
        f" least {cosines.min():.4f}"
    )


def report_pairs(whole: Predictor, small: Predictor) -> None:
    """Print how many note pairs each orders rightly, and how far their differences differ."""
    pairs, records = read_pairs(), charts()
    differences = np.array(
        [[difference(one, records, pair) for one in (whole, small)] for pair in pairs]
    )
    passes = [
        sum(model_passes(pair, float(value)) for pair, value in zip(pairs, column, strict=True))
        for column in differences.T
    ]
    moved = np.abs(differences[:, 0] - differences[:, 1])
    usual = np.median(np.abs(differences[:, 0]))
    report(
        f"note pairs: float32 {passes[0]} of {len(pairs)}, int8 {passes[1]} of {len(pairs)};"
        f" a pair's difference moves by {np.median(moved):.4f} logits in the median,"
        f" {moved.max():.4f} at most (its median size is {usual:.4f})"
    )


def report_logits(
    whole: Predictor,
    small: Predictor,
    records: Sequence[PatientRecord],
    outcomes: npt.NDArray[np.float64],
) -> None:
    """Print the change of the logits and of the AUROC."""
    place = [task.name for task in whole.checkpoint.info.tasks].index(TASK)
    logits = np.stack([one.logits(records)[:, place] for one in (whole, small)])
    moved = np.abs(logits[0] - logits[1])
    report(
        f"logits of {len(records)} stays: moved by {np.median(moved):.4f} in the median,"
        f" {np.percentile(moved, 99):.4f} at 99 %, {moved.max():.4f} at most;"
        f" their standard deviation is {logits[0].std():.3f}"
    )
    areas = [auroc(outcomes, 1 / (1 + np.exp(-row.astype(np.float64)))) for row in logits]
    report(
        f"AUROC, {int(outcomes.sum())} deaths: float32 {areas[0]:.4f}, int8 {areas[1]:.4f}"
        f" (the checkpoint has learnt from these stays: only the difference tells something)"
    )


def report(line: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
