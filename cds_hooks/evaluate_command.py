"""``meam evaluate``: the figures of a checkpoint, its JSON and its model card."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from cds_hooks.train_command import (
    MAIN_VIEWS,
    TASK,
    Places,
    progress_bars,
    shipped_settings,
    split_off_tuning,
    test_cohort,
    training_cohorts,
)

if TYPE_CHECKING:
    from model.checkpoint import Checkpoint
    from model.training.cohort import Cohort
    from model.training.network import FusionNetwork

SAMPLE = 150  # stays of each data set whose explanations are measured
QUICK_COMPANIONS = 1000  # stays of set A that help to train in each quick fold


def evaluate(
    places: Places,
    *,
    folds: bool = True,
    quick_folds: bool = False,
    resamples: int = 1000,
    console: Console | None = None,
) -> dict[str, Any]:
    """Measure a checkpoint, print the tables, and write them into its folder.

    ``folds`` adds the cross-validation on the eICU demo, which trains five more networks;
    ``quick_folds`` trains them on fewer stays of set A and without the consistency loss. Raises
    DataMissing where a data set is not there, CheckpointError for an unusable checkpoint.
    """
    from model.checkpoint import load_checkpoint, save_checkpoint
    from model.training.cohort import join, restrict
    from model.training.export import WEIGHTS, load_network
    from model.training.model_card import model_card
    from model.training.report import print_evaluation
    from model.training.shipping import EVALUATION, TRAINING

    console = console or Console(stderr=True)
    checkpoint = load_checkpoint(places.checkpoint)
    kept = {name: (places.checkpoint / name).read_bytes() for name in (WEIGHTS, TRAINING)}
    network = load_network(checkpoint, kept[WEIGHTS])
    cohort = restrict(join(list(training_cohorts(places, console).values())), checkpoint.tokens)
    test = test_cohort(places, checkpoint.tokens, console)
    _, tuning = split_off_tuning(cohort)
    evaluation: dict[str, Any] = {
        "physionet2012": _held_out(network, checkpoint, cohort, tuning, test, resamples),
        "explanations": _explanations(network, tuning, test),
    }
    if folds:
        evaluation["eicu_demo"] = eicu_folds(
            cohort,
            json.loads(kept[TRAINING])["settings"],
            quick=quick_folds,
            resamples=resamples,
            console=console,
        )
    card = model_card(asdict(checkpoint.info), json.loads(kept[TRAINING]), evaluation)
    document = (json.dumps(evaluation, indent=1) + "\n").encode()
    save_checkpoint(
        places.checkpoint, replace(checkpoint, model_card=card), {**kept, EVALUATION: document}
    )
    print_evaluation(evaluation, console)
    return evaluation


def _held_out(
    network: FusionNetwork,
    checkpoint: Checkpoint,
    cohort: Cohort,
    tuning: Cohort,
    test: Cohort,
    resamples: int,
) -> dict[str, Any]:
    from model.training.held_out import physionet_held_out

    return physionet_held_out(
        network,
        checkpoint.calibration[TASK],
        train=cohort.of("physionet2012-a"),
        tuning=tuning.of("physionet2012-a"),
        test=test,
        task=TASK,
        resamples=resamples,
    )


def _explanations(network: FusionNetwork, tuning: Cohort, test: Cohort) -> dict[str, Any]:
    """Measure on set B, and on tuning stays of the eICU demo, which have notes."""
    from model.training.explanation_figures import explanation_figures

    samples = {
        "physionet2012-b, 48 h": test.with_view(MAIN_VIEWS[0]),
        "eicu-demo tuning stays, 24 h": tuning.of("eicu-demo").with_view(MAIN_VIEWS[1]),
    }
    return {
        name: explanation_figures(network, cohort.tokens()[:SAMPLE])
        for name, cohort in samples.items()
    }


def eicu_folds(
    cohort: Cohort, trained: dict[str, Any], *, quick: bool, resamples: int, console: Console
) -> dict[str, Any]:
    """Cross-validate on the eICU demo; ``trained`` has the epochs and the seed to train with."""
    from model.training.out_of_fold import FOLDS, eicu_out_of_fold

    settings = shipped_settings(
        epochs=trained["epochs"], seed=trained["seed"], consistency=not quick
    )
    companion = cohort.of("physionet2012-a")
    if quick:
        stays = set(
            list(dict.fromkeys(c.facts.stay_id for c in companion.cases))[:QUICK_COMPANIONS]
        )
        companion = companion.select(
            [row for row, case in enumerate(companion.cases) if case.facts.stay_id in stays]
        )
    with progress_bars(console) as progress:
        task = progress.add_task("eICU demo: folds", total=FOLDS)
        figures = eicu_out_of_fold(
            cohort.of("eicu-demo"),
            companion,
            settings,
            view=MAIN_VIEWS[1],
            split=split_off_tuning,
            resamples=resamples,
            on_fold=lambda number: progress.update(task, completed=number),
        )
    figures["companion_stays"] = len({case.facts.stay_id for case in companion.cases})
    figures["consistency_loss"] = settings.consistency.active
    return figures
