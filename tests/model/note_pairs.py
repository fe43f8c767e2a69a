"""Negation, numbers and laterality in notes: do the flags see them, and does the model?

Run from the repository root: ``python -m tests.model.note_pairs [CHECKPOINT]``. Each row of
note_pairs.csv is a pair of sentences that differ in what they assert. Two questions:

* the assertion flags: the worse sentence has none, the milder one the flag of its kind;
* the model: in the same chart, the worse sentence's Shapley value is higher than the milder one's.
  For left and right it has to be the same, within SAME_LOGIT.

Both values of a pair are estimated with the same random orders, so that they differ by the
sentence alone.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from fhir_adapters.datasets.sample_patients import sample_charts
from fhir_adapters.record_builder import build_record
from fhir_adapters.sentences import split_sentences
from model.explain import TokenGame
from model.predictor import Predictor, load_predictor
from model.record import Note, PatientRecord, Sentence
from model.shapley import shapley_values
from model.training.curves import wilson

PAIRS = Path(__file__).with_name("note_pairs.csv")
CHECKPOINT = Path("model/checkpoints/meam-risk")
NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
NEUTRAL = (Sentence("Seen on the morning round."), Sentence("Family updated by phone."))
FLAGS = ("negated", "historical", "family", "hypothetical")
SAME_LOGIT = 0.01  # left and right are the same to the outcome
ORDERS = 4  # antithetic pairs
PATIENTS = 2  # charts that each sentence is put into


@dataclass(frozen=True)
class Pair:
    """Two sentences and what tells them apart."""

    kind: str
    worse: str
    milder: str
    flag: str  # of the milder sentence; "" for numbers and laterality


def read_pairs() -> list[Pair]:
    """Return every row of the file."""
    with PAIRS.open(encoding="utf-8", newline="") as file:
        return [Pair(**row) for row in csv.DictReader(file)]


def flags_of(text: str) -> set[str]:
    """Return the flags that the service's own reader gives a sentence."""
    return {flag for sentence in split_sentences(text) for flag in FLAGS if getattr(sentence, flag)}


def flags_pass(pair: Pair) -> bool:
    """Whether only the milder sentence is flagged, and with its own flag."""
    expected = {pair.flag} if pair.flag else set()
    return not flags_of(pair.worse) and flags_of(pair.milder) == expected


def charts() -> list[PatientRecord]:
    """Return sample patients without their notes."""
    built = (build_record(chart, NOW) for chart in sample_charts(NOW).values())
    return [replace(record, notes=()) for record in built][:PATIENTS]


def effect(predictor: Predictor, record: PatientRecord, text: str) -> float:
    """Return the Shapley value of a sentence in a chart, in logits."""
    note_type = predictor.checkpoint.tokens.note_types[0]
    sentences = (*NEUTRAL, *split_sentences(text))
    note = Note(note_type, NOW - timedelta(hours=2), sentences, "DocumentReference/pair")
    tokens = predictor.tokenize(replace(record, notes=(note,)))
    game = TokenGame(predictor.network, predictor.network.encode(tokens), task=0)
    samples, _, _ = shapley_values(game, tokens.token_count, ORDERS, np.random.default_rng(0))
    first = len(tokens.structured_stats) + len(NEUTRAL)
    return float(samples.values[first : first + len(sentences) - len(NEUTRAL)].sum())


def difference(predictor: Predictor, records: Sequence[PatientRecord], pair: Pair) -> float:
    """Return the effect of the worse sentence minus that of the milder one, mean over charts."""
    return float(
        np.mean(
            [effect(predictor, r, pair.worse) - effect(predictor, r, pair.milder) for r in records]
        )
    )


def model_passes(pair: Pair, found: float) -> bool:
    """Whether the model puts the two sentences in the right order, or holds them for equal."""
    return abs(found) <= SAME_LOGIT if pair.kind == "laterality" else found > 0


def report(line: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{line}\n")


def rates(heading: str, passes: Iterable[tuple[str, bool]]) -> None:
    """Print the pass rate of each kind and of all, with Wilson intervals."""
    rows = list(passes)
    report(heading)
    for kind in (*dict.fromkeys(kind for kind, _ in rows), "all"):
        inside = [passed for name, passed in rows if kind in (name, "all")]
        low, high = wilson(sum(inside), len(inside))
        report(
            f"  {kind:13s} {sum(inside):2d} of {len(inside):2d}  "
            f"{sum(inside) / len(inside):.2f} ({low:.2f} to {high:.2f})"
        )


def main() -> None:
    """Print both pass rates."""
    pairs = read_pairs()
    rates("assertion flags", ((pair.kind, flags_pass(pair)) for pair in pairs))
    for pair in pairs:
        if not flags_pass(pair):
            worse, milder = sorted(flags_of(pair.worse)), sorted(flags_of(pair.milder))
            report(f"  wrong: {pair.worse!r} {worse}; {pair.milder!r} {milder}")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKPOINT
    predictor = load_predictor(folder, threads=1)
    records = charts()
    found = [difference(predictor, records, pair) for pair in pairs]
    info = predictor.checkpoint.info
    rates(
        f"direction of the sentence's effect, {info.name} {info.version}, {len(records)} charts",
        ((p.kind, model_passes(p, value)) for p, value in zip(pairs, found, strict=True)),
    )
    sizes = np.abs(found)
    report(f"  median size of a pair's difference: {np.median(sizes):.4f} logits")


if __name__ == "__main__":
    main()
