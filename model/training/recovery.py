"""Does the network find what was planted? With and without the consistency loss.

``python -m model.training.recovery`` trains both on ``model/synthetic.py``'s cohort and prints
how well SHAP values and attention name the planted causes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.table import Table

from model.sentence_encoder import MiniLMEncoder
from model.shapley import shapley_values
from model.synthetic import TERMS, PlantedCase, Term, planted_cohort
from model.tokens import Embed, TokenConfig, VariableSpec, tokenize
from model.training.cohort import Case, CaseFacts, Cohort
from model.training.loop import train_network
from model.training.losses import ConsistencySettings
from model.training.metrics import auroc
from model.training.network import FusionNetwork
from model.training.predict import RowGame, predict_logits
from model.training.settings import TrainingSettings

TASK = "in_hospital_death"
STRONGEST = 5  # k of precision@k
PAIRS = 4


@dataclass(frozen=True, slots=True)
class Recovery:
    """Means over test cases, beside the AUROC and that of the true logit."""

    auroc: float
    oracle_auroc: float
    shap_precision: float  # of the 5 strongest by SHAP, the share among the 5 strongest in truth
    shap_pearson: float  # with the closed-form Shapley values
    attention_precision: float


def planted_tokens(cases: Sequence[PlantedCase], embed: Embed) -> Cohort:
    """Return the planted records as a cohort of one view."""
    config = _vocabulary(cases)
    return Cohort(config, tuple(_case(case, config, embed) for case in cases))


def _vocabulary(cases: Sequence[PlantedCase]) -> TokenConfig:
    record = cases[0].record
    charted = sorted({measurement.variable for measurement in record.measurements})
    worn = sorted({series.channel for series in record.device_series})
    return TokenConfig(
        variables=tuple(VariableSpec(name, name, "", "general") for name in charted),
        channels=tuple(VariableSpec(name, name, "", "general") for name in worn),
        note_types=(record.notes[0].note_type,),
        unit_types=(),
    )


def _case(case: PlantedCase, config: TokenConfig, embed: Embed) -> Case:
    patient = case.record.demographics.source
    facts = CaseFacts("planted", patient, patient, "", "whole", {TASK: float(case.died)})
    return Case(tokenize(case.record, config, embed), facts)


def true_attributions(case: PlantedCase, labels: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the closed-form Shapley values in token order, from token ids.

    A channel of the cohort is worn for one patch, whose token has the channel's value.
    """
    names = [name.rpartition("/")[0] if name.startswith("device/") else name for name in labels]
    return np.array([case.shapley[name] for name in names])


def measure(
    network: FusionNetwork, cohort: Cohort, cases: Sequence[PlantedCase], *, explained: int
) -> Recovery:
    """Compare the network's attributions on the first ``explained`` cases with the truth."""
    generator = np.random.default_rng(0)
    rows = []
    for case, planted in zip(cohort.cases[:explained], cases[:explained], strict=True):
        game = RowGame(network, case.tokens)
        values = shapley_values(game, len(game), PAIRS, generator)[0].values
        truth = true_attributions(planted, [label.token_id for label in case.tokens.labels])
        causes = _strongest(truth)
        rows.append(
            (
                len(causes & _strongest(values)) / STRONGEST,
                float(np.corrcoef(values, truth)[0, 1]),
                len(causes & _strongest(game.attention())) / STRONGEST,
            )
        )
    outcomes = cohort.labels(TASK)
    logits = predict_logits(network, cohort.tokens())[:, 0]
    shap_precision, pearson, attention_precision = np.mean(rows, axis=0)
    return Recovery(
        auroc=auroc(outcomes, logits),
        oracle_auroc=auroc(outcomes, np.array([case.logit for case in cases])),
        shap_precision=float(shap_precision),
        shap_pearson=float(pearson),
        attention_precision=float(attention_precision),
    )


def _strongest(values: npt.NDArray[np.float64]) -> set[int]:
    return set(np.argsort(-np.abs(values), kind="stable")[:STRONGEST].tolist())


def before_and_after(
    embed: Embed,
    settings: TrainingSettings,
    *,
    stays: int,
    explained: int,
    seed: int = 0,
    terms: tuple[Term, ...] = TERMS,
) -> dict[str, Recovery]:
    """Train without and with the consistency loss, on the same cases from the same seed."""
    training = list(planted_cohort(stays, seed=2 * seed, terms=terms))
    test = list(planted_cohort(max(explained, stays // 2), seed=2 * seed + 1, terms=terms))
    train_cohort, test_cohort = (planted_tokens(cases, embed) for cases in (training, test))
    off = replace(settings.consistency, kl_weight=0.0, mass_weight=0.0)
    results = {}
    for name, consistency in (("without", off), ("with", settings.consistency)):
        one = replace(settings, consistency=consistency, seed=seed)
        network = train_network(train_cohort, None, one).network
        results[name] = measure(network, test_cohort, test, explained=explained)
    return results


def main() -> None:
    """Run the experiment and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stays", type=int, default=4000, help="training stays")
    parser.add_argument("--explained", type=int, default=200, help="test stays to explain")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = before_and_after(
        MiniLMEncoder().encode,
        TrainingSettings(consistency=ConsistencySettings()),
        stays=arguments.stays,
        explained=arguments.explained,
        seed=arguments.seed,
    )
    table = Table(title=f"Planted causes, {arguments.stays:,} training stays")
    for heading in (
        "consistency loss",
        "AUROC",
        "of the truth",
        "SHAP precision@5",
        "SHAP Pearson",
        "attention precision@5",
    ):
        table.add_column(heading, justify="right")
    for name, result in results.items():
        figures = (
            result.auroc,
            result.oracle_auroc,
            result.shap_precision,
            result.shap_pearson,
            result.attention_precision,
        )
        table.add_row(name, *(f"{figure:.3f}" for figure in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
