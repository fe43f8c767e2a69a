"""Labelled token arrays, in memory and on disk.

A *case* is one view of one stay: the same stay may be seen at 24 h and at 48 h, or with its
monitor's values as charted ones. The file is one ``.npz`` without pickle; sentences are stored
once, since coded notes repeat them from stay to stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.tokens import TokenArrays, TokenConfig

FORMAT = 1
_STORED = {"f": np.float32, "i": np.int64, "b": np.bool_}  # by kind of array


class CohortError(ValueError):
    """A cohort file or selection is not usable."""


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What is known of a case beside its tokens. Nothing here is an input of the model."""

    data_set: str  # "physionet2012-a", "eicu-demo", ...
    stay_id: str
    group: str  # the patient; splits never separate a group
    site: str
    view: str  # "device@48h", "charted@24h", ...
    labels: Mapping[str, float]  # by task
    age_years: float | None = None
    sex: str = "unknown"
    unit_type: str = ""
    reference_scores: Mapping[str, float] = field(default_factory=dict)
    note_text: str = ""  # all sentences; for the bag-of-words baseline


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One view of one stay."""

    tokens: TokenArrays
    facts: CaseFacts
    summary: npt.NDArray[np.float32] | None = None  # (F,) features of the baselines, with NaN


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Cases with the configuration that they were tokenised with."""

    config: TokenConfig
    cases: tuple[Case, ...]

    def __len__(self) -> int:
        return len(self.cases)

    def select(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Cohort:
        """Return some of the cases."""
        return Cohort(self.config, tuple(self.cases[int(row)] for row in rows))

    def with_view(self, *views: str) -> Cohort:
        """Return the cases of these views."""
        return Cohort(self.config, tuple(c for c in self.cases if c.facts.view in views))

    def of(self, *data_sets: str) -> Cohort:
        """Return the cases of these data sets."""
        return Cohort(self.config, tuple(c for c in self.cases if c.facts.data_set in data_sets))

    def labels(self, task: str) -> npt.NDArray[np.float64]:
        """Return outcomes (n,), NaN where unknown."""
        return np.array([case.facts.labels.get(task, np.nan) for case in self.cases])

    def groups(self) -> npt.NDArray[np.str_]:
        """Return the patient of each case (n,)."""
        return np.array([f"{c.facts.data_set[:4]}/{c.facts.group}" for c in self.cases])

    def tokens(self) -> list[TokenArrays]:
        """Return the token arrays of each case."""
        return [case.tokens for case in self.cases]


def join(cohorts: Sequence[Cohort]) -> Cohort:
    """Put cohorts of one configuration together."""
    config = cohorts[0].config
    if any(cohort.config != config for cohort in cohorts):
        raise CohortError("cohorts of different token configurations cannot be joined")
    return Cohort(config, tuple(case for cohort in cohorts for case in cohort.cases))


def data_digest(cohort: Cohort) -> str:
    """Return a digest of all that a training learns from: labels, tokens and what trees read.

    Arrays are read as they are stored, so that a cohort from a file has the digest of the one in
    memory. The embeddings stand for the encoder that made them.
    """
    digest = sha256()
    for case in cohort.cases:
        facts = [sorted(case.facts.labels.items()), case.facts.note_text]
        digest.update(json.dumps(facts).encode())
        for part in (*_arrays(case.tokens), _summary(case)):
            digest.update(f"{part.shape}".encode())
            digest.update(np.ascontiguousarray(part, _STORED[part.dtype.kind]).tobytes())
    return digest.hexdigest()


def _arrays(tokens: TokenArrays) -> list[npt.NDArray[Any]]:
    return [getattr(tokens, part.name) for part in fields(tokens) if part.name != "labels"]


def save_cohort(path: Path, cohort: Cohort) -> None:
    """Write a cohort; the file appears whole or not at all."""
    tokens = cohort.tokens()
    sentences, sentence_index = _unique_sentences(tokens, cohort.config.embedding_width)
    header = {
        "format": FORMAT,
        "config": cohort.config.to_json(),
        "facts": [asdict(case.facts) for case in cohort.cases],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.npz")
    np.savez(
        unfinished,
        header=np.array(json.dumps(header)),
        structured_stats=np.stack([t.structured_stats for t in tokens]),
        structured_measured=np.stack([t.structured_measured for t in tokens]),
        sentences=sentences,
        sentence_index=sentence_index,
        sentence_count=np.array([len(t.sentence_features) for t in tokens]),
        sentence_features=np.concatenate([t.sentence_features for t in tokens]),
        sentence_note_type=np.concatenate([t.sentence_note_type for t in tokens]),
        patch_count=np.array([len(t.patch_stats) for t in tokens]),
        patch_stats=np.concatenate([t.patch_stats for t in tokens]),
        patch_channel=np.concatenate([t.patch_channel for t in tokens]),
        patch_index=np.concatenate([t.patch_index for t in tokens]),
        summaries=np.stack([_summary(case) for case in cohort.cases]),
    )
    unfinished.rename(path)


def _summary(case: Case) -> npt.NDArray[np.float32]:
    return np.zeros(0, np.float32) if case.summary is None else case.summary


def _unique_sentences(
    tokens: Sequence[TokenArrays], width: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the distinct embeddings and, for every sentence, which one it has."""
    numbers: dict[bytes, int] = {}
    index = [
        numbers.setdefault(row.tobytes(), len(numbers))
        for arrays in tokens
        for row in arrays.sentence_embeddings
    ]
    table = np.frombuffer(b"".join(numbers), np.float32).reshape(len(numbers), width)
    return table, np.array(index, np.int64)


def load_cohort(path: Path) -> Cohort:
    """Read a cohort. Raises CohortError where the file is of another format."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = json.loads(str(arrays.pop("header")))
    if header["format"] != FORMAT:
        raise CohortError(f"{path.name}: format {header['format']}, expected {FORMAT}")
    sentence_ends = np.cumsum(arrays["sentence_count"])
    patch_ends = np.cumsum(arrays["patch_count"])
    embeddings = arrays["sentences"]
    cases = []
    for row, facts in enumerate(header["facts"]):
        sentences = slice(sentence_ends[row] - arrays["sentence_count"][row], sentence_ends[row])
        patches = slice(patch_ends[row] - arrays["patch_count"][row], patch_ends[row])
        tokens = TokenArrays(
            structured_stats=arrays["structured_stats"][row],
            structured_measured=arrays["structured_measured"][row],
            sentence_embeddings=embeddings[arrays["sentence_index"][sentences]],
            sentence_features=arrays["sentence_features"][sentences],
            sentence_note_type=arrays["sentence_note_type"][sentences],
            patch_stats=arrays["patch_stats"][patches],
            patch_channel=arrays["patch_channel"][patches],
            patch_index=arrays["patch_index"][patches],
        )
        cases.append(Case(tokens, CaseFacts(**facts), arrays["summaries"][row]))
    return Cohort(TokenConfig.from_json(header["config"]), tuple(cases))


@dataclass(frozen=True, slots=True)
class SavedCohort:
    """A cohort file: what another process needs to open it for itself."""

    path: Path

    def open(self) -> Cohort:
        """Read it."""
        return load_cohort(self.path)


def restrict(cohort: Cohort, config: TokenConfig) -> Cohort:
    """Re-express tokens in a smaller vocabulary of variables and channels.

    Note and unit types must be the same. Used to leave out what training never measured.
    """
    variables = [cohort.config.variable_index[spec.name] for spec in config.variables]
    channels = np.full(len(cohort.config.channels), -1)
    for position, spec in enumerate(config.channels):
        channels[cohort.config.channel_index[spec.name]] = position
    cases = [
        Case(_restrict_tokens(case.tokens, variables, channels), case.facts, case.summary)
        for case in cohort.cases
    ]
    return Cohort(config, tuple(cases))


def _restrict_tokens(
    tokens: TokenArrays, variables: Sequence[int], channels: npt.NDArray[np.int64]
) -> TokenArrays:
    kept = channels[tokens.patch_channel] >= 0
    return TokenArrays(
        structured_stats=tokens.structured_stats[variables],
        structured_measured=tokens.structured_measured[variables],
        sentence_embeddings=tokens.sentence_embeddings,
        sentence_features=tokens.sentence_features,
        sentence_note_type=tokens.sentence_note_type,
        patch_stats=tokens.patch_stats[kept],
        patch_channel=channels[tokens.patch_channel[kept]],
        patch_index=tokens.patch_index[kept],
    )


def vocabulary_of(cohort: Cohort, *, minimum_share: float = 0.005) -> TokenConfig:
    """Keep the variables and channels that at least this share of some data set's cases has.

    A variable that almost nobody has cannot be learnt, and its not-measured token would be one
    more player in every explanation.
    """
    config = cohort.config
    kept_variables: set[int] = set()
    kept_channels: set[int] = set()
    for data_set in {case.facts.data_set for case in cohort.cases}:
        tokens = cohort.of(data_set).tokens()
        measured = np.mean([t.structured_measured for t in tokens], axis=0)
        worn = np.mean(
            [np.bincount(t.patch_channel, minlength=len(config.channels)) > 0 for t in tokens],
            axis=0,
        )
        kept_variables |= set(np.flatnonzero(measured >= minimum_share).tolist())
        kept_channels |= set(np.flatnonzero(worn >= minimum_share).tolist())
    kept: dict[str, Any] = config.to_json()
    kept["variables"] = [kept["variables"][i] for i in sorted(kept_variables)]
    kept["channels"] = [kept["channels"][i] for i in sorted(kept_channels)]
    return TokenConfig.from_json(kept)
