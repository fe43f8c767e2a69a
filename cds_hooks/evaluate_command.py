"""``meam evaluate``: the figures of a checkpoint, its JSON and its model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress, TaskID

from cds_hooks.errors import ResultsUnusable
from cds_hooks.train_command import (
    MAIN_VIEWS,
    TASK,
    TRAINING_SETS,
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

PAGE = "evaluation.html"
SAMPLE = 150  # stays of each data set whose explanations are measured
QUICK_COMPANIONS = 1000  # stays of set A that help to train in each quick fold
TABLES = {  # names in evaluation.json
    ("by patient", "eicu-demo"): "eicu_demo",
    ("by patient", "physionet2012-a"): "physionet2012_a",
    ("by hospital", "eicu-demo"): "eicu_demo_by_hospital",
}


def evaluate(
    places: Places,
    *,
    folds: bool = True,
    quick_folds: bool = False,
    resamples: int = 1000,
    report: Path | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Measure a checkpoint, print the tables, and write them into its folder.

    ``report`` is the folder for the page with the figures.

    ``folds`` adds the cross-validation of set A and the eICU demo by patient, and of the eICU
    demo by hospital, which trains ten more networks; ``quick_folds`` tests the eICU demo alone,
    by patient, and trains on fewer stays of set A without the consistency loss. Raises
    DataMissing where a data set is not there, CheckpointError for an unusable checkpoint,
    ResultsUnusable for a site's own.
    """
    from model.checkpoint import load_checkpoint, require_replaceable
    from model.exported_encoder import own_encoder
    from model.training.cohort import join, restrict
    from model.training.export import WEIGHTS, load_network
    from model.training.shipping import TRAINING

    console = console or Console(stderr=True)
    require_replaceable(places.checkpoint)
    places = replace(places, encoder=places.encoder or own_encoder(places.checkpoint))
    checkpoint = load_checkpoint(places.checkpoint)
    training = json.loads((places.checkpoint / TRAINING).read_bytes())
    _require_open_data(places, training)
    network = load_network(checkpoint, (places.checkpoint / WEIGHTS).read_bytes())
    cohort = restrict(join(list(training_cohorts(places, console).values())), checkpoint.tokens)
    test = test_cohort(places, checkpoint.tokens, console)
    _, tuning = split_off_tuning(cohort)
    evaluation: dict[str, Any] = {
        "physionet2012": _held_out(network, checkpoint, cohort, tuning, test, resamples),
        "explanations": _explanations(network, tuning, test),
    }
    if folds:
        evaluation |= cross_validations(
            cohort, training["settings"], quick=quick_folds, resamples=resamples, console=console
        )
    _write(places, checkpoint, evaluation, report, console)
    return evaluation


def rewrite_card(
    places: Places, *, report: Path | None = None, console: Console | None = None
) -> None:
    """Write the model card and the page anew from the evaluation.json of the checkpoint.

    Raises CheckpointMissing where the checkpoint was never evaluated, ResultsUnusable where it
    is a site's own.
    """
    from model.checkpoint import load_checkpoint
    from model.errors import CheckpointMissing
    from model.training.shipping import EVALUATION, TRAINING

    checkpoint = load_checkpoint(places.checkpoint)
    _require_open_data(places, json.loads((places.checkpoint / TRAINING).read_bytes()))
    file = places.checkpoint / EVALUATION
    if not file.is_file():
        raise CheckpointMissing(f"{file}: the checkpoint has not been evaluated")
    evaluation = json.loads(file.read_bytes())
    _write(places, checkpoint, evaluation, report, console or Console(stderr=True))


def _require_open_data(places: Places, training: Mapping[str, Any]) -> None:
    """Raise ResultsUnusable for a site's own checkpoint, whose tuning stays are not open data."""
    if set(training["training_stays"]) - set(TRAINING_SETS):
        raise ResultsUnusable(
            f"{places.checkpoint} was not trained on the open data sets; measure it on patients"
            " of your own with --bulk and --labels."
        )


def _write(
    places: Places,
    checkpoint: Checkpoint,
    evaluation: dict[str, Any],
    report: Path | None,
    console: Console,
) -> None:
    """Write card, JSON and page, and print the tables; all other files stay as they are."""
    from model.checkpoint import save_checkpoint
    from model.exported_encoder import own_encoder
    from model.training.evaluation_page import write_evaluation_page
    from model.training.export import WEIGHTS
    from model.training.model_card import model_card
    from model.training.report import print_evaluation
    from model.training.shipping import EVALUATION, TRAINING

    kept = {name: (places.checkpoint / name).read_bytes() for name in (WEIGHTS, TRAINING)}
    info = checkpoint.info
    card = model_card(asdict(info), json.loads(kept[TRAINING]), evaluation)
    document = (json.dumps(evaluation, indent=1) + "\n").encode()
    save_checkpoint(
        places.checkpoint,
        replace(checkpoint, model_card=card),
        {**kept, EVALUATION: document},
        encoder=own_encoder(places.checkpoint),
    )
    print_evaluation(evaluation, console)
    if report is not None:
        write_evaluation_page(report / PAGE, f"{info.name} {info.version}", evaluation)
        console.print(f"Report: {report / PAGE}", soft_wrap=True, highlight=False)


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


def cross_validations(
    cohort: Cohort, trained: dict[str, Any], *, quick: bool, resamples: int, console: Console
) -> dict[str, Any]:
    """Return the out-of-fold tables; ``trained`` has the epochs and the seed to train with."""
    from model.training.out_of_fold import FOLDS, hospitals, out_of_fold, patients

    settings = shipped_settings(
        epochs=trained["epochs"], seed=trained["seed"], consistency=not quick
    )
    eicu = {"eicu-demo": MAIN_VIEWS[1]}
    runs = {"by patient": (patients, eicu | ({} if quick else {"physionet2012-a": MAIN_VIEWS[0]}))}
    if quick:
        cohort = _fewer_companions(cohort)
    else:
        runs["by hospital"] = (hospitals, eicu)
    tables: dict[str, Any] = {}
    with progress_bars(console) as progress:
        for kind, (groups, tested) in runs.items():
            task = progress.add_task(f"folds {kind}", total=FOLDS)
            found = out_of_fold(
                cohort,
                tested,
                settings,
                split=split_off_tuning,
                groups=groups,
                resamples=resamples,
                on_fold=partial(_show, progress, task),
            )
            tables |= {TABLES[kind, name]: figures for name, figures in found.items()}
    for figures in tables.values():
        figures["companion_stays"] = len(
            {case.facts.stay_id for case in cohort.of("physionet2012-a").cases}
        )
        figures["consistency_loss"] = settings.consistency.active
    return tables


def _show(progress: Progress, task: TaskID, done: int) -> None:
    progress.update(task, completed=done)


def _fewer_companions(cohort: Cohort) -> Cohort:
    """Keep all of the eICU demo and some stays of set A."""
    companions = dict.fromkeys(case.facts.stay_id for case in cohort.of("physionet2012-a").cases)
    kept = set(list(companions)[:QUICK_COMPANIONS])
    return cohort.select(
        [
            row
            for row, case in enumerate(cohort.cases)
            if case.facts.data_set != "physionet2012-a" or case.facts.stay_id in kept
        ]
    )
