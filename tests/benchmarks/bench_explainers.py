"""Our explanation beside the packages shap and lime: error and time of each, taking turns.

Run as ``python -m tests.benchmarks.bench_explainers [--quick]`` from the repository root. Three
ways to the same game (the logit of the shipped model, tokens as players):

ours     encoded once; antithetic pairs and LIME in batched calls of the fusion
stock    shap's PermutationExplainer and KernelExplainer, and lime, on our value function
anew     the same packages where each coalition encodes its record and its sentences again, which
         is what explaining a text model as a black box does

Errors are against near-exact Shapley values (16,000 evaluations). The packages' budget at our
error is read off the line through the errors of PermutationExplainer, their better one; the time
of "anew" is the number of evaluations at that budget, and of lime's 512 samples, times the time of
one, which is measured on a sample of coalitions, because all of them take minutes. Processor time
of one thread. Our time holds LIME's evaluations too.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.lime_sentences import SAMPLES
from model.predictor import load_predictor
from model.sentence_encoder import MiniLMEncoder
from tests.benchmarks.charts import SMALL, TYPICAL
from tests.benchmarks.game import ChartGame, Doubles, chart_game, error_of, top_five
from tests.benchmarks.harness import median, ratio, take_turns
from tests.benchmarks.saved import Result, options, run

CHECKPOINT = Path("model/checkpoints/meam-risk")
PERMUTATIONS = (1, 2, 4, 8)
KERNEL_SAMPLES = (256, 1024, 4096)
VARIANTS = 3
ROUNDS = 3
SAMPLED = 4  # coalitions that are encoded anew


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure as the options say."""
    given = options(__doc__, arguments)
    run("explainers", given, measure)


def measure(result: Result) -> None:
    """Measure the small and the typical chart."""
    predictor = load_predictor(CHECKPOINT, threads=1)
    encoder = MiniLMEncoder(threads=1)
    for size in (SMALL,) if result.quick else (SMALL, TYPICAL):
        variants = 1 if result.quick else VARIANTS
        games = [chart_game(predictor, size, number) for number in range(variants)]
        _compare(result, size.name, games, encoder)


def _compare(result: Result, name: str, games: list[ChartGame], encoder: MiniLMEncoder) -> None:
    truths = [game.near_exact(2_000 if result.quick else 16_000) for game in games]
    ways = _ways(result.quick)
    rounds = 1 if result.quick else ROUNDS
    first = games[0]
    works: dict[str, Any] = {"ours": first.ours}
    works |= {way: lambda way=way: ways[way](first) for way in ways}
    works["lime, 512 samples"] = lambda: lime_values(first)
    works |= {f"anew, {SAMPLED} coalitions": _anew(first, encoder)}
    taken = take_turns(works, rounds=rounds, clock=time.process_time)
    ours = [game.ours() for game in games]
    goal = float(np.mean([error_of(v, t) for v, t in zip(ours, truths, strict=True)]))
    table = {
        "ours": _row(
            goal, [top_five(v, t) for v, t in zip(ours, truths, strict=True)], taken["ours"]
        )
    }
    for way, explain in ways.items():
        values = [explain(game) for game in games]
        errors = [error_of(v, t) for v, t in zip(values, truths, strict=True)]
        tops = [top_five(v, t) for v, t in zip(values, truths, strict=True)]
        table[way] = _row(float(np.mean(errors)), tops, taken[way])
    one_anew = taken[f"anew, {SAMPLED} coalitions"] / SAMPLED
    walks = walks_at(goal, {count: table[_walks(count)]["nmse"] for count in _counts(result.quick)})
    largest = max(_counts(result.quick))
    shap_s = taken[_walks(largest)] * walks / largest  # its time is proportional to the walks
    lime_s = taken["lime, 512 samples"]
    stock = ratio(shap_s + lime_s, taken["ours"])
    evaluations = round(walks * 2 * first.players) + SAMPLES
    anew = ratio(one_anew * evaluations, taken["ours"])
    result.figures[name] = {
        "players": first.players,
        "sentences": len(first.sentences),
        "table": table,
        "lime_ms": median(lime_s * 1e3).to_json(),
        "anew_ms_each": median(one_anew * 1e3).to_json(),
        "walks_at_equal_error": walks,
        "evaluations_at_equal_error": evaluations,
        "stock_over_ours": stock.to_json(),
        "anew_over_ours": anew.to_json(),
    }
    for way, row in table.items():
        result.say(
            f"{name}, {way}: error {row['nmse']:.4f}, top five {row['top_five']:.2f}, "
            f"{row['ms']['value']:.0f} processor-ms"
        )
    result.say(
        f"{name}: at our error ({goal:.4f}), {walks:.1f} walks and lime on our value function take "
        f"{stock.shown()} times as long; encoding anew ({median(one_anew * 1e3).value:.0f} ms a "
        f"coalition, {evaluations} of them) {anew.shown()} times"
    )


def _row(error: float, tops: list[float], seconds: Doubles) -> dict[str, Any]:
    return {"nmse": error, "top_five": float(np.mean(tops)), "ms": median(seconds * 1e3).to_json()}


def walks_at(goal: float, errors: Mapping[int, float]) -> float:
    """How many of shap's walks give an error, between the budgets tried: log-log, least squares."""
    if len(errors) == 1:
        return float(next(iter(errors)))
    counts, logs = np.log(list(errors)), np.log(list(errors.values()))
    slope, start = np.polyfit(counts, logs, 1)
    return float(np.exp((np.log(goal) - start) / slope))


def _counts(quick: bool) -> tuple[int, ...]:
    return PERMUTATIONS[:1] if quick else PERMUTATIONS


def _walks(count: int) -> str:
    return f"shap permutation, {count} walks"


def _ways(quick: bool) -> dict[str, Callable[[ChartGame], Doubles]]:
    ways: dict[str, Callable[[ChartGame], Doubles]] = {
        _walks(count): lambda game, count=count: permutation(game, count)
        for count in _counts(quick)
    }
    return ways | {
        f"shap kernel, {count} samples": lambda game, count=count: kernel(game, count)
        for count in (KERNEL_SAMPLES[:1] if quick else KERNEL_SAMPLES)
    }


def permutation(game: ChartGame, walks: int) -> Doubles:
    """shap.PermutationExplainer with so many walks forward and back."""
    import shap

    players, value = game.players, game.fused()
    hidden = shap.maskers.Independent(np.zeros((1, players)), max_samples=1)
    explainer = shap.PermutationExplainer(lambda x: value(x > 0.5), hidden, seed=1)
    evaluations = walks * (2 * players + 1)
    answer = explainer(np.ones((1, players)), max_evals=evaluations, silent=True)
    return np.asarray(answer.values[0], np.float64)


def kernel(game: ChartGame, samples: int) -> Doubles:
    """shap.KernelExplainer with so many samples."""
    import shap

    players, value = game.players, game.fused()
    np.random.seed(1)  # the package draws from the global generator
    explainer = shap.KernelExplainer(lambda x: value(x > 0.5), np.zeros((1, players)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, about the package's own regression
        answer = explainer.shap_values(
            np.ones((1, players)), nsamples=samples, silent=True, l1_reg=False
        )
    return np.asarray(answer, np.float64).reshape(-1)


def lime_values(game: ChartGame) -> dict[int, float]:
    """lime.lime_text over sentences, on our value function."""
    from lime.lime_text import LimeTextExplainer

    value, notes = game.fused(), game.notes
    count = len(game.sentences)
    places = {f"s{number}": number for number in range(count)}

    def probabilities(texts: list[str]) -> Doubles:
        masks = np.ones((len(texts), game.players), np.bool_)
        for row, text in enumerate(texts):
            seen = np.zeros(count, np.bool_)
            seen[[places[word] for word in text.split() if word in places]] = True
            masks[row, notes] = seen
        logits = value(masks)
        return np.stack([-logits, logits], axis=1)

    explainer = LimeTextExplainer(split_expression=r"\s+", bow=True, random_state=1)
    answer = explainer.explain_instance(
        " ".join(places), probabilities, num_features=count, num_samples=SAMPLES
    )
    return dict(answer.as_map()[1])


def _anew(game: ChartGame, encoder: MiniLMEncoder) -> Callable[[], object]:
    """Some coalitions of a walk, evenly from few players to many."""
    value = game.encoding_anew(encoder)
    rank = np.random.default_rng(1).permutation(game.players)
    sizes = np.linspace(0, game.players, SAMPLED + 2)[1:-1]
    masks = rank[None] < sizes[:, None]
    return lambda: value(masks)


if __name__ == "__main__":
    main()
