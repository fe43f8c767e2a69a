"""How far do sampled Shapley values lie from near-exact ones, by budget and way of drawing orders?

Run from the repository root: ``python -m tests.model.sampling_study [CHECKPOINT]``. The charts are
six sample patients and two of the benchmarks'; each budget is tried with six seeds. "In strata" is
how the service draws orders, "apart" is the same number of orders that know nothing of each other.
Printed are means over charts and seeds: the squared error as a share of the values' squares, the
five strongest in common with the near-exact ones and between two seeds, the evaluations spent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fhir_adapters.datasets.sample_patients import sample_charts
from fhir_adapters.record_builder import build_record
from model.alignment import top_overlap
from model.explain import ExplanationBudget, TokenGame, estimate
from model.predictor import Predictor, load_predictor
from model.shapley import pair_masks, pair_samples, random_orders, shapley_values
from model.tokens import TokenArrays
from tests.benchmarks.charts import NOW, SIZES, chart_of

CHECKPOINT = Path("model/checkpoints/meam-risk")
SAMPLE_PATIENTS, SEEDS, REFERENCE_PAIRS = 6, 6, 160
Doubles = npt.NDArray[np.float64]
Answer = tuple[Doubles, int]  # values, evaluations
Estimator = Callable[[TokenGame, TokenArrays, int], Answer]


def drawn(pairs: int, *, in_strata: bool) -> Estimator:
    """Return an estimator of a fixed number of pairs."""

    def run(game: TokenGame, tokens: TokenArrays, seed: int) -> Answer:
        n, rng = tokens.token_count, np.random.default_rng([seed, pairs])
        alone = [random_orders(n, 1, rng) for _ in range(pairs)]
        orders = random_orders(n, pairs, rng) if in_strata else np.concatenate(alone)
        ends = game(np.array([[False] * n, [True] * n])).tolist()
        masks = pair_masks(orders)
        return pair_samples(orders, game(masks), *ends).values, len(masks) + 2

    return run


def spent(budget: ExplanationBudget) -> Estimator:
    """Return the estimator that serves, with a budget."""

    def run(game: TokenGame, tokens: TokenArrays, seed: int) -> Answer:
        found = estimate(game, tokens, seed, budget, None)
        return found.samples.values, found.evaluations

    return run


STUDY: dict[str, Estimator] = {
    **{f"{p} pairs, apart": drawn(p, in_strata=False) for p in (2, 4, 8)},
    **{f"{p} pairs, in strata": drawn(p, in_strata=True) for p in (2, 4, 8, 16)},
    "as served": spent(ExplanationBudget()),
}


def games(predictor: Predictor) -> Iterator[tuple[TokenGame, TokenArrays]]:
    """Yield the explanation of each chart as a game."""
    charts = [*islice(sample_charts(NOW).values(), SAMPLE_PATIENTS)]
    for chart in (*charts, chart_of(SIZES["typical"]), chart_of(SIZES["large"])):
        tokens = predictor.tokenize(build_record(chart, NOW))
        yield TokenGame(predictor.network, predictor.network.encode(tokens), 0), tokens


def figures_of(
    run: Estimator, game: TokenGame, tokens: TokenArrays, reference: Doubles
) -> Sequence[float]:
    """Return error, agreement with the reference, agreement between seeds, evaluations."""
    answers = [run(game, tokens, seed) for seed in range(SEEDS)]
    sizes = [np.abs(values) for values, _ in answers]
    errors = [((values - reference) ** 2).sum() / (reference**2).sum() for values, _ in answers]
    agreement = [top_overlap(one, np.abs(reference)) for one in sizes]
    stability = [top_overlap(one, other) for one, other in combinations(sizes, 2)]
    evaluations = [count for _, count in answers]
    return [
        float(np.mean(np.array(column, np.float64)))
        for column in (errors, agreement, stability, evaluations)
    ]


def main() -> None:
    """Print a line for each way."""
    checkpoint = Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKPOINT
    predictor = load_predictor(checkpoint, threads=1)
    found: dict[str, list[Sequence[float]]] = {name: [] for name in STUDY}
    for game, tokens in games(predictor):
        rng = np.random.default_rng(1)
        reference = shapley_values(game, tokens.token_count, REFERENCE_PAIRS, rng)[0].values
        for name, run in STUDY.items():
            found[name].append(figures_of(run, game, tokens, reference))
    for name, rows in found.items():
        error, agreement, stability, evaluations = np.mean(rows, axis=0)
        sys.stdout.write(
            f"{name:20s} error {error:.4f}, top 5 {agreement:.3f}, between seeds {stability:.3f}, "
            f"{evaluations:.0f} evaluations\n"
        )


if __name__ == "__main__":
    main()
