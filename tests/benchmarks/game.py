"""One chart as a game, three ways to ask for its values, and near-exact Shapley values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fhir_adapters.record_builder import build_record
from model.explain import TokenGame, _note_columns, content_seed, estimate
from model.predictor import Predictor
from model.record import PatientRecord
from model.sentence_encoder import MiniLMEncoder
from model.shapley import shapley_values
from model.tokens import tokenize
from tests.benchmarks.charts import NOW, Size, chart_of

Booleans = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
NEAR_EXACT_EVALUATIONS = 16_000


@dataclass(frozen=True)
class ChartGame:
    """The tokens of one chart as players."""

    predictor: Predictor
    record: PatientRecord
    players: int
    notes: slice
    sentences: tuple[str, ...]

    def fused(self) -> TokenGame:
        """Our value function: encoded once, a coalition is a mask of the fusion."""
        tokens = self.predictor.tokenize(self.record)
        return TokenGame(self.predictor.network, self.predictor.network.encode(tokens), task=0)

    def encoding_anew(self, encoder: MiniLMEncoder) -> ReEncodingGame:
        """The same values as somebody computes them who explains the model as a black box."""
        return ReEncodingGame(self, encoder)

    def near_exact(self, evaluations: int = NEAR_EXACT_EVALUATIONS) -> Doubles:
        """Shapley values from many antithetic pairs."""
        pairs = max(2, -(-evaluations // (2 * self.players)))
        rng = np.random.default_rng(12345)
        return shapley_values(self.fused(), self.players, pairs, rng)[0].values

    def ours(self) -> Doubles:
        """Shapley values as a hook estimates them, LIME among the evaluations."""
        tokens = self.predictor.tokenize(self.record)
        memory = self.predictor.network.encode(tokens)
        game = TokenGame(self.predictor.network, memory, task=0)
        seed, budget = content_seed(tokens.labels), self.predictor.budget
        return estimate(game, tokens, seed, budget, None).samples.values


@dataclass(frozen=True)
class ReEncodingGame:
    """Each coalition goes the whole way: tokens, its sentences through the encoder, fusion.

    The encoder forgets between coalitions, as a function of text does that a package calls.
    """

    chart: ChartGame
    encoder: MiniLMEncoder

    def __call__(self, mask: Booleans) -> Doubles:
        """Coalitions (C, N) -> logits (C,)."""
        return np.array([self._one(row) for row in np.asarray(mask, bool)])

    def _one(self, row: Booleans) -> float:
        network, notes = self.chart.predictor.network, self.chart.notes
        visible = row[notes]

        def embed(texts: object) -> npt.NDArray[np.float32]:
            rows = np.zeros((len(visible), self.encoder.width), np.float32)
            if visible.any():
                asked = [
                    one for one, seen in zip(self.chart.sentences, visible, strict=True) if seen
                ]
                rows[visible] = self.encoder.embed(asked)
            return rows

        tokens = tokenize(self.chart.record, self.chart.predictor.checkpoint.tokens, embed)
        return float(network.fuse(network.encode(tokens), row[None]).logits[0, 0])


def chart_game(predictor: Predictor, size: Size, variant: int = 0) -> ChartGame:
    """Return the game of a benchmark chart."""
    record = build_record(chart_of(size, variant=variant), NOW)
    tokens = predictor.tokenize(record)
    texts = [label.evidence for label in tokens.labels if label.modality == "note"]
    sentences = tuple(one.text for one in texts)  # type: ignore[union-attr]
    return ChartGame(predictor, record, tokens.token_count, _note_columns(tokens), sentences)


def error_of(values: Doubles, truth: Doubles) -> float:
    """Normalised mean squared error."""
    return float(((values - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())


def top_five(values: Doubles, truth: Doubles) -> float:
    """Share of the five strongest that both name."""
    named = [set(np.argsort(-np.abs(one))[:5].tolist()) for one in (values, truth)]
    return len(named[0] & named[1]) / 5
