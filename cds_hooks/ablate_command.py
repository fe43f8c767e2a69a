"""``meam ablate``: which parts of the learning earn their place?"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from cds_hooks.errors import TrainingImpossible
from cds_hooks.train_command import (
    MAIN_VIEWS,
    TASK,
    Places,
    split_off_tuning,
    test_cohort,
    training_cohorts,
)

if TYPE_CHECKING:
    from model.training.ablation_data import AblationData

SYNTHETIC = "synthetic"
JSON, PAGE, RUNS = "ablation.json", "ablation.html", "runs"
SET_A, SET_B = "physionet2012-a", "physionet2012-b"


@dataclass(frozen=True, slots=True)
class AblationPlan:
    """What is run. ``data`` is None for the planted cohort, else the folder of the open data."""

    output: Path
    data: Path | None = None
    held_out: str = "tuning"  # of the open data: stays of set A that train nothing, or "b"
    arms: tuple[str, ...] = ()  # none: all
    seeds: int = 5
    epochs: int | None = None
    jobs: int = 1
    stays: int = 1600  # of the planted cohort
    test_stays: int = 4000
    explained: int = 50


def ablate(plan: AblationPlan, console: Console | None = None) -> dict[str, Any]:
    """Run what is missing of the plan, compare the arms, and write tables, JSON and page.

    Raises TrainingImpossible for an unknown arm, DataMissing for data that are not there.
    """
    import torch

    from model.training.ablation import run_ablation
    from model.training.ablation_arms import UnknownArm, arms_named
    from model.training.ablation_claims import claims
    from model.training.ablation_report import (
        ablation_document,
        arms_table,
        claims_table,
        write_ablation_page,
    )
    from model.training.ablation_summary import Ablation
    from model.training.settings import TrainingSettings

    console = console or Console(stderr=True)
    try:
        arms = arms_named(plan.arms)
    except UnknownArm as exc:
        raise TrainingImpossible(str(exc)) from exc
    torch.set_num_threads(1)
    settings = TrainingSettings()
    if plan.epochs is not None:
        settings = replace(settings, epochs=plan.epochs)
    make_data = partial(_data, plan)
    data = make_data()
    results = run_ablation(
        make_data,
        arms,
        range(plan.seeds),
        settings,
        plan.output / RUNS,
        data=data,
        jobs=plan.jobs,
        report=lambda job, word: console.print(f"{job.arm.name}, seed {job.seed}: {word}"),
    )
    ablation = Ablation(results, data.test.labels(TASK))
    found = claims(ablation)
    about = {
        "data": data.name,
        "training_stays": len({case.facts.stay_id for case in data.training.cases}),
        "epochs": settings.epochs,
    }
    document = ablation_document(about, ablation, found)
    (plan.output / JSON).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    write_ablation_page(plan.output / PAGE, about, ablation, found)
    heading = f"Ablation on {data.name}: {len(ablation.seeds)} seeds, {len(data.test):,} stays"
    console.print(arms_table(ablation, heading))
    console.print(claims_table(found))
    console.print(f"Report: {plan.output / PAGE}", soft_wrap=True, highlight=False)
    return document


def _data(plan: AblationPlan) -> AblationData:
    if plan.data is None:
        return _planted(plan)
    return _open_data(Places(plan.data), plan)


def _planted(plan: AblationPlan) -> AblationData:
    from model.sentence_encoder import MiniLMEncoder
    from model.training.ablation_data import planted_data

    return planted_data(
        MiniLMEncoder(threads=1).encode,
        stays=plan.stays,
        test_stays=plan.test_stays,
        explained=min(plan.explained, plan.test_stays),
    )


def _open_data(places: Places, plan: AblationPlan) -> AblationData:
    """Train as the shipped checkpoint is trained; test on set A's tuning stays or on set B."""
    from model.training.ablation_data import AblationData
    from model.training.cohort import join, restrict, vocabulary_of

    console = Console(stderr=True)
    whole = join(list(training_cohorts(places, console).values()))
    cohort = restrict(whole, vocabulary_of(whole))
    training, tuning = split_off_tuning(cohort)
    if plan.held_out == "b":
        test = test_cohort(places, cohort.config, console).with_view(MAIN_VIEWS[0])
        name = "PhysioNet 2012 set B"
    else:
        test = tuning.of(SET_A).with_view(MAIN_VIEWS[0])
        name = "PhysioNet 2012 set A, tuning stays"
    return AblationData(
        name, training, tuning.with_view(*MAIN_VIEWS), test, min(plan.explained, len(test))
    )
