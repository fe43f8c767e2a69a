"""Precision and recall of the assertion flags on assertion_sentences.csv.

Run from the repository root: ``python -m tests.fhir_adapters.assertion_figures``. The rules were
written against the half "develop"; the half "held-out" was only ever measured.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fhir_adapters.sentences import split_sentences
from model.record import Sentence

FLAGS = ("negated", "historical", "family", "hypothetical")
LABELS = Path(__file__).with_name("assertion_sentences.csv")


@dataclass(frozen=True)
class Label:
    """What a sentence says about the target words in it."""

    sentence: str
    target: str
    flags: frozenset[str]
    half: str


@dataclass(frozen=True)
class Figure:
    """Counts of one flag."""

    flag: str
    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        return self.right / max(1, self.right + self.missed)


def read_labels(half: str) -> list[Label]:
    with LABELS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Label(
            row["sentence"],
            row["target"],
            frozenset(flag for flag in FLAGS if row[flag] == "1"),
            row["half"],
        )
        for row in rows
        if row["half"] == half
    ]


def found_flags(label: Label) -> frozenset[str]:
    """Return the flags of the piece that holds the target; raises if no piece does."""
    sentence = next(piece for piece in _pieces(label.sentence) if label.target in _whole(piece))
    return frozenset(flag for flag in FLAGS if getattr(sentence, flag))


def _pieces(text: str) -> Iterator[Sentence]:
    yield from split_sentences(text)


def _whole(sentence: Sentence) -> str:
    return f"{sentence.section}: {sentence.text}"


def figures(half: str) -> tuple[list[Figure], float]:
    """Return the figures of each flag, and the share of targets with all flags right."""
    pairs = [(label.flags, found_flags(label)) for label in read_labels(half)]
    by_flag = [
        Figure(
            flag,
            right=sum(flag in wanted and flag in found for wanted, found in pairs),
            wrong=sum(flag not in wanted and flag in found for wanted, found in pairs),
            missed=sum(flag in wanted and flag not in found for wanted, found in pairs),
        )
        for flag in FLAGS
    ]
    return by_flag, sum(wanted == found for wanted, found in pairs) / len(pairs)


def table() -> str:
    lines = []
    for half in ("develop", "held-out"):
        by_flag, all_right = figures(half)
        lines.append(f"{half}: {len(read_labels(half))} targets, all flags right {all_right:.3f}")
        lines += [
            f"  {figure.flag:13} n={figure.right + figure.missed:3}  "
            f"precision {figure.precision:.3f}  recall {figure.recall:.3f}"
            for figure in by_flag
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
