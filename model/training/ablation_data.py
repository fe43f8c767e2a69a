"""What the arms are trained and tested on. Every arm and seed sees the same stays."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from model.prediction import Modality
from model.synthetic import planted_cohort
from model.tokens import Embed, TokenArrays
from model.training.cohort import Case, Cohort
from model.training.recovery import planted_tokens, true_attributions
from model.training.splits import tuning_split

Doubles = npt.NDArray[np.float64]

TRAIN_SEED, TEST_SEED = 2012, 2013  # of the planted cohorts
PLANTED_TUNING_SHARE = 0.15


@dataclass(frozen=True, slots=True, eq=False)
class AblationData:
    """Stays that train, that fit the calibration, and that test; the first of these explained."""

    name: str
    training: Cohort
    tuning: Cohort
    test: Cohort
    explained: int
    truth: tuple[Doubles, ...] = ()  # closed-form Shapley values of the explained, where planted

    @property
    def fingerprint(self) -> str:
        """Digest of which stays they are and how many tokens each has."""
        digest = sha256(json.dumps(self.test.config.to_json(), sort_keys=True).encode())
        for part in (self.training, self.tuning, self.test):
            for case in part.cases:
                facts = case.facts
                line = f"{facts.data_set}/{facts.stay_id}/{facts.view}/{case.tokens.token_count}"
                digest.update(line.encode())
        digest.update(str(self.explained).encode())
        return digest.hexdigest()[:12]


def planted_data(embed: Embed, *, stays: int, test_stays: int, explained: int) -> AblationData:
    """Return the synthetic benchmark: planted causes with closed-form Shapley values."""
    training = planted_tokens(list(planted_cohort(stays, seed=TRAIN_SEED)), embed)
    planted = list(planted_cohort(test_stays, seed=TEST_SEED))
    test = planted_tokens(planted, embed)
    task = next(iter(training.cases[0].facts.labels))
    rows, held = tuning_split(training.groups(), training.labels(task), share=PLANTED_TUNING_SHARE)
    truth = tuple(
        true_attributions(one, [label.token_id for label in case.tokens.labels])
        for one, case in zip(planted[:explained], test.cases, strict=False)
    )
    return AblationData(
        "synthetic", training.select(rows), training.select(held), test, explained, truth
    )


def with_shuffled_labels(cohort: Cohort, seed: int) -> Cohort:
    """Deal the stays' outcomes out anew; all views of a stay keep one outcome."""
    outcomes = {(c.facts.data_set, c.facts.stay_id): c.facts.labels for c in cohort.cases}
    generator = np.random.default_rng(seed)
    order: Sequence[int] = generator.permutation(len(outcomes)).tolist()
    dealt = list(outcomes.values())
    new = {stay: dealt[place] for stay, place in zip(outcomes, order, strict=True)}
    cases = (
        Case(
            case.tokens,
            replace(case.facts, labels=new[(case.facts.data_set, case.facts.stay_id)]),
            case.summary,
        )
        for case in cohort.cases
    )
    return Cohort(cohort.config, tuple(cases))


def with_modalities(data: AblationData, modalities: Collection[Modality]) -> AblationData:
    """Leave nothing of the other modalities: their sentences and patches are gone, and every
    structured variable counts as not measured. The planted truth, which is by token, goes as well.
    """
    training, tuning, test = (
        Cohort(
            part.config,
            tuple(
                Case(_only(case.tokens, modalities), case.facts, case.summary)
                for case in part.cases
            ),
        )
        for part in (data.training, data.tuning, data.test)
    )
    return replace(data, training=training, tuning=tuning, test=test, truth=())


def _only(tokens: TokenArrays, modalities: Collection[Modality]) -> TokenArrays:
    if "structured" not in modalities:
        tokens = replace(
            tokens,
            structured_stats=np.full_like(tokens.structured_stats, np.nan),
            structured_measured=np.zeros_like(tokens.structured_measured),
        )
    if "note" not in modalities:
        tokens = replace(
            tokens,
            sentence_embeddings=tokens.sentence_embeddings[:0],
            sentence_features=tokens.sentence_features[:0],
            sentence_note_type=tokens.sentence_note_type[:0],
        )
    if "device" not in modalities:
        tokens = replace(
            tokens,
            patch_stats=tokens.patch_stats[:0],
            patch_channel=tokens.patch_channel[:0],
            patch_index=tokens.patch_index[:0],
        )
    return replace(tokens, labels=())
