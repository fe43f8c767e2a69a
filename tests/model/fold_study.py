"""What holds the network below trees + logistic regression? One fold of the training data.

Run from the repository root, with the open data sets beside it:

    python -m tests.model.fold_study DATA FOLD [--seeds 2] [--epochs 7] [--richer-labels] [--rivals]
        [--set network.blocks=2]

Trains without the consistency loss on everything but the fold's patients and prints AUROC on the
fold (set A at 48 h, after each epoch; at the end the eICU demo at 24 h as well), then that of the
seeds' mean. No epoch is chosen by it.
``--richer-labels`` adds boosted trees on the network's own tokens to the ensemble that softens the
labels. ``--rivals`` trains no network: it compares features, for logistic regression and trees.
Set B is never read.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lightgbm
import numpy as np
import numpy.typing as npt
from rich.console import Console

from cds_hooks.train_command import Places, training_cohorts
from model.training import ensemble, loop
from model.training.ablation_arms import Arm, settings_of_arm
from model.training.baselines import boosted_trees, logistic_regression
from model.training.cohort import Case, Cohort, join, restrict, vocabulary_of
from model.training.loop import train_network
from model.training.losses import ConsistencySettings
from model.training.metrics import auroc, logit
from model.training.predict import predict_logits
from model.training.settings import TrainingSettings
from model.training.splits import folds

Floats = npt.NDArray[np.float64]
TASK = "in_hospital_death"
TESTED: Mapping[str, str] = {"physionet2012-a": "device@48h", "eicu-demo": "device@24h"}
FOLDS = 5
FEWEST_VALUES = 50  # of a feature; with fewer it is left out
NO_LOSS = ConsistencySettings(kl_weight=0, mass_weight=0)


@dataclass(frozen=True)
class Fold:
    """Cases that train, and those of the fold by data set."""

    training: Cohort
    held_out: Mapping[str, Cohort]


def report(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def read_fold(data: Path, number: int) -> Fold:
    """Return one of five folds, patients apart."""
    whole = join(list(training_cohorts(Places(data), Console(stderr=True)).values()))
    return fold_of(restrict(whole, vocabulary_of(whole)), number)


def fold_of(cohort: Cohort, number: int) -> Fold:
    """Return one of five folds of the data sets that are tested, patients apart."""
    held_out = {}
    for name, view in TESTED.items():
        part = cohort.of(name).with_view(view)
        held_out[name] = part.select(folds(part.groups(), part.labels(TASK), FOLDS)[number])
    away = {group for part in held_out.values() for group in part.groups().tolist()}
    rows = [row for row, group in enumerate(cohort.groups().tolist()) if group not in away]
    return Fold(cohort.select(rows), held_out)


def token_features(cases: Sequence[Case]) -> Floats:
    """Return the network's own tokens as columns (n, F), NaN where there is none.

    Structured statistics, the statistics of each channel and patch, and of each channel over all
    patches: mean, least, greatest and coverage.
    """
    channels = 1 + max(int(c.tokens.patch_channel.max(initial=0)) for c in cases)
    patches = 1 + max(int(c.tokens.patch_index.max(initial=0)) for c in cases)
    rows = []
    for case in cases:
        tokens = case.tokens
        series = np.full((channels, patches, tokens.patch_stats.shape[1]), np.nan)
        series[tokens.patch_channel, tokens.patch_index] = tokens.patch_stats
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a channel without any patch
            over_all = (
                np.nanmean(series[..., 0], 1),
                np.nanmin(series[..., 3], 1),
                np.nanmax(series[..., 4], 1),
                np.nansum(series[..., 5], 1),
            )
        rows.append(np.concatenate([tokens.structured_stats.ravel(), series.ravel(), *over_all]))
    return np.stack(rows)


def usual_features(cases: Sequence[Case]) -> Floats:
    """Return the features that the rivals have (n, F)."""
    return np.stack([np.asarray(case.summary, np.float64) for case in cases])


def quick_trees(train: Floats, labels: Floats, test: Floats) -> Floats:
    """The rivals' trees with coarser bins: the matrix is twice as wide. Returns logits."""
    parameters = {
        "objective": "binary",
        "learning_rate": 0.03,
        "num_leaves": 15,
        "min_data_in_leaf": 20,
        "feature_fraction": 0.3,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "max_bin": 63,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "seed": 0,
        "verbosity": -1,
    }
    booster = lightgbm.train(parameters, lightgbm.Dataset(train, labels), num_boost_round=400)
    return logit(np.asarray(booster.predict(test)))


def richer_labels(cohort: Cohort, task: str) -> Floats:
    """Return soft labels (n,) out of fold: the ensemble's, and trees that see tokens as well."""
    labels = cohort.labels(task)
    usual = ensemble.soft_labels(cohort, task)
    if usual is None:
        raise SystemExit("The cohort is too small for soft labels.")
    features = np.concatenate([usual_features(cohort.cases), token_features(cohort.cases)], axis=1)
    features = features[:, np.isfinite(features).sum(0) > FEWEST_VALUES]
    trees = np.zeros(len(cohort))
    for held in folds(cohort.groups(), labels, ensemble.FOLDS):
        rest = np.setdiff1d(np.arange(len(cohort)), held)
        trees[held] = quick_trees(features[rest], labels[rest], features[held])
    richer = (logit(usual) + trees) / 2
    for name, view in TESTED.items():
        rows = [
            row
            for row, case in enumerate(cohort.cases)
            if (case.facts.data_set, case.facts.view) == (name, view)
        ]
        found = [auroc(labels[rows], scores[rows]) for scores in (logit(usual), richer)]
        report(f"soft labels, {name} {view}: {found[0]:.4f}, richer {found[1]:.4f}")
    return 1 / (1 + np.exp(-richer))


def train_seeds(fold: Fold, settings: TrainingSettings, seeds: int) -> None:
    """Train and print."""
    last: dict[str, list[Floats]] = {name: [] for name in fold.held_out}
    first = next(iter(fold.held_out.values()))
    for seed in range(seeds):
        network = train_network(
            fold.training,
            first,
            replace(settings, seed=seed, auroc_tolerance=1.0),
            on_epoch=lambda done: report(f"epoch {done.epoch + 1}: {done.tuning_auroc:.4f}"),
        ).network
        found = {
            name: predict_logits(network, part.tokens())[:, 0]
            for name, part in fold.held_out.items()
        }
        report(f"seed {seed}: {_aurocs(fold, found)}")
        for name, logits in found.items():
            last[name].append(logits)
    means = {name: np.asarray(np.mean(logits, axis=0)) for name, logits in last.items()}
    report(f"mean of {seeds} seeds: {_aurocs(fold, means)}")


def _aurocs(fold: Fold, logits: Mapping[str, Floats]) -> str:
    return ", ".join(
        f"{name} {auroc(fold.held_out[name].labels(TASK), found):.4f}"
        for name, found in logits.items()
    )


def compare_features(fold: Fold) -> None:
    """Print AUROC on set A by features and kind of model."""
    name, view = next(iter(TESTED.items()))
    training, test = fold.training.of(name).with_view(view), fold.held_out[name]
    labels, outcomes = training.labels(TASK), test.labels(TASK)
    both = [np.concatenate([usual_features(c), token_features(c)], 1) for c in _cases(fold)]
    width = len(test.cases[0].summary if test.cases[0].summary is not None else ())
    for words, columns in (
        ("usual", slice(0, width)),
        ("tokens", slice(width, None)),
        ("both", slice(None)),
    ):
        train, held = (matrix[:, columns] for matrix in both)
        kept = np.isfinite(train).sum(0) > FEWEST_VALUES
        trees = logit(boosted_trees(train[:, kept], labels, held[:, kept]))
        linear = logit(logistic_regression(train[:, kept], labels, held[:, kept]))
        found = (auroc(outcomes, scores) for scores in (trees, linear, (trees + linear) / 2))
        report("{}: trees {:.4f}, logistic {:.4f}, both {:.4f}".format(words, *found))


def _cases(fold: Fold) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    name, view = next(iter(TESTED.items()))
    return fold.training.of(name).with_view(view).cases, fold.held_out[name].cases


def main() -> None:
    """Read the arguments, and do what they say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("fold", type=int, choices=range(FOLDS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--richer-labels", action="store_true")
    parser.add_argument("--rivals", action="store_true")
    parser.add_argument("--set", action="append", default=[], help="network.blocks=2, and the like")
    options = parser.parse_args()
    fold = read_fold(options.data, options.fold)
    if options.rivals:
        compare_features(fold)
        return
    if options.richer_labels:
        loop.soft_labels = richer_labels
    settings = TrainingSettings(consistency=NO_LOSS, epochs=options.epochs)
    pairs = [one.partition("=") for one in options.set]
    tried = Arm("tried", "", {path: json.loads(value) for path, _, value in pairs})
    train_seeds(fold, settings_of_arm(settings, tried), options.seeds)


if __name__ == "__main__":
    main()
