"""``meam train --bulk``: a checkpoint from a site's own export, through the records that serve.

The export is read twice: once to learn which variables enough patients have, once to make tokens,
which go to the disk. The working folder beside the output (``<output>.work``) holds them and the
state of the training until the checkpoint is written: a training that was stopped goes on there.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from cds_hooks.errors import ResultsUnusable, TrainingImpossible
from cds_hooks.export_progress import export_bars, shown_by
from cds_hooks.labelled_records import LeftOut, facts_of, labelled_records
from cds_hooks.labels import Label, read_labels
from cds_hooks.outcome_tasks import OutcomeTask, read_tasks
from cds_hooks.site_codes import concept_map_digest, site_codes
from cds_hooks.train_command import (
    CHECKPOINT,
    PACKAGE_ROOT,
    TUNING_SHARE,
    VERSION,
    exported,
    progress_bars,
    served_encoder,
    shipped_settings,
)
from cds_hooks.training_records import full_vocabulary
from fhir_adapters.bulk_lines import ndjson_files

if TYPE_CHECKING:
    from model.sentence_encoder import SentenceEncoder
    from model.training.cohort import Cohort
    from model.training.loop import Trained
    from model.training.settings import TrainingSettings
    from model.training.shipping import Release

    Train = Callable[..., Trained]

SMALLEST_BATCH = 8
FEWEST_STEPS_AN_EPOCH = 20
FEWEST_STEPS = 400  # in all; the shipped checkpoint took twice as many
FEWEST_OF_EACH = 20  # rows with and without the outcome; a model needs hundreds


@dataclass(frozen=True, slots=True)
class SitePlaces:
    """Where a site's data come from and where its checkpoint goes."""

    bulk: Path
    labels: Path
    output: Path
    encoder: Path | None = None  # folder of a Hugging Face encoder; None: the installed package
    concept_map: Path | None = None  # the site's own codes
    tasks: Path | None = None  # the words of each task; None: by the columns of the labels

    @property
    def work(self) -> Path:
        """Tokens and training state, as long as the checkpoint is not written."""
        return self.output.with_name(f"{self.output.name}.work")


def train_from_bulk(
    places: SitePlaces,
    *,
    epochs: int | None = None,
    seed: int = 0,
    consistency: bool = True,
    fresh: bool = False,
    settings: TrainingSettings | None = None,
    processes: int = 1,
    console: Console | None = None,
) -> None:
    """Train a checkpoint from an export and its labels, or resume a training that was stopped.

    ``processes`` train together. ``settings`` take the place of those of the shipped checkpoint.
    Raises LabelsUnusable, ResultsUnusable, SettingsError, TrainingImpossible, FhirError and
    ModelError.
    """
    from model.exported_encoder import open_encoder

    console = console or Console(stderr=True)
    _require_new(places)
    site_codes(places.concept_map)  # a faulty file is said before anything is made
    labels = read_labels(places.labels, read_tasks(places.tasks) if places.tasks else ())
    tasks = [task.name for task in labels.tasks]
    if fresh:
        shutil.rmtree(places.work, ignore_errors=True)
    places.work.mkdir(parents=True, exist_ok=True, mode=0o700)  # tokens come from patients' charts
    places = replace(places, encoder=served_encoder(places.encoder, places.work / "encoder"))
    encoder = open_encoder(places.encoder)
    key = _key(places, encoder)
    cohort = _cohort(places, labels.by_patient, tasks, encoder, key, console)
    training, tuning = _split(cohort, tasks)
    if settings is None:
        shipped = shipped_settings(epochs=epochs, seed=seed, consistency=consistency)
        settings = settings_for(len(training), shipped, keep_epochs=epochs is not None)
    settings = replace(settings, network=replace(settings.network, tasks=tuple(tasks)))
    stored = _in_processes(places, cohort, key, processes)
    trained = _trained(places, training, tuning, settings, console, stored)
    release = _release(places, labels.tasks, len(cohort), len(set(cohort.groups())), encoder, key)
    _write_checkpoint(places, trained, training, tuning, settings, release)
    shutil.rmtree(places.work)
    _print_summary(places, trained, console)


def settings_for(
    rows: int, shipped: TrainingSettings, *, keep_epochs: bool = False
) -> TrainingSettings:
    """Fit the settings of some thousand rows to fewer: smaller batches, and more epochs.

    Otherwise a hundred patients would be two batches an epoch, and training would end before it
    began. ``keep_epochs``: somebody chose them.
    """
    batch_size = min(shipped.batch_size, max(SMALLEST_BATCH, rows // FEWEST_STEPS_AN_EPOCH))
    steps = math.ceil(rows / batch_size)
    epochs = shipped.epochs if keep_epochs else max(shipped.epochs, math.ceil(FEWEST_STEPS / steps))
    return replace(shipped, batch_size=batch_size, epochs=epochs)


def _require_new(places: SitePlaces) -> None:
    output = places.output.resolve()
    if output == CHECKPOINT.resolve():
        raise ResultsUnusable(f"{places.output} is the shipped checkpoint; name another folder.")
    if places.bulk.resolve() in output.parents:
        raise ResultsUnusable(f"{places.output} lies in the export and would be read with it.")
    if output.exists():
        raise ResultsUnusable(f"{places.output} exists already and was not changed.")


def _key(places: SitePlaces, encoder: SentenceEncoder) -> str:
    """Return a digest of all that the tokens depend on: code, export, labels, tasks, encoder."""
    digest = sha256(encoder.identity.encode())
    for package in ("fhir_adapters", "model"):
        for file in sorted((PACKAGE_ROOT / package).rglob("*")):
            if file.suffix in (".py", ".csv"):
                digest.update(file.read_bytes())
    for path in ndjson_files(places.bulk):
        state = path.stat()
        name = path.relative_to(places.bulk).as_posix()
        digest.update(f"{name} {state.st_size} {state.st_mtime_ns}\n".encode())
    digest.update(places.labels.read_bytes())
    digest.update(concept_map_digest(places.concept_map).encode())
    if places.tasks is not None:
        digest.update(places.tasks.read_bytes())
    return digest.hexdigest()


def _cohort(
    places: SitePlaces,
    labels: Mapping[str, list[Label]],
    tasks: Sequence[str],
    encoder: SentenceEncoder,
    key: str,
    console: Console,
) -> Cohort:
    """Return the tokens of every labelled row, from an earlier run or made anew."""
    from model.tokens import tokenize
    from model.training.case_store import CaseWriter, open_cases
    from model.training.cohort import CohortError
    from model.training.site_vocabulary import VocabularyCount

    store, codes = places.work / "tokens", site_codes(places.concept_map)
    try:
        cohort = open_cases(store, key)
    except CohortError as exc:
        raise ResultsUnusable(f"{store}: {exc}. Use --fresh to make the tokens anew.") from exc
    if cohort is not None:
        console.print(f"The tokens of an earlier run are used: {len(cohort):,} rows.")
        return cohort
    left_out, outcomes = LeftOut(), list[Mapping[str, int]]()
    whole = replace(full_vocabulary(()), embedding_width=encoder.width)
    count = VocabularyCount(whole)
    with export_bars(console) as bars:
        show = shown_by(bars, "counting variables")
        for rows in labelled_records(places.bulk, labels, left_out, show, places.work, codes):
            count.add_patient(record for _, record in rows)
            outcomes += [label.outcomes for label, _ in rows]
    _print_left_out(left_out, console)
    for task in tasks:
        known = [one[task] for one in outcomes if task in one]
        _require_both_outcomes(known, f" of {task}" if len(tasks) > 1 else "")
    config = count.config()
    with export_bars(console) as bars, CaseWriter(store, config, key) as writer:
        show = shown_by(bars, "records to tokens")
        for rows in labelled_records(places.bulk, labels, LeftOut(), show, places.work, codes):
            for label, record in rows:
                tokens = tokenize(record, config, encoder.encode, with_labels=False)
                writer.add(tokens, facts_of(label, record))
    cohort = open_cases(store, key)
    if cohort is None:
        raise ResultsUnusable(f"{store} was changed while it was written.")
    return cohort


def _require_both_outcomes(outcomes: Sequence[int], of_task: str) -> None:
    events = sum(outcomes)
    if min(events, len(outcomes) - events) < FEWEST_OF_EACH:
        raise TrainingImpossible(
            f"{len(outcomes):,} labelled rows{of_task} can be used, {events:,} of them with the"
            " outcome; at"
            f" least {FEWEST_OF_EACH} with it and {FEWEST_OF_EACH} without it are needed."
        )


def _split(cohort: Cohort, tasks: Sequence[str]) -> tuple[Cohort, Cohort]:
    """Return (training, tuning), groups apart. Raises TrainingImpossible.

    The events of the rarest outcome are spread evenly; the others follow by chance.
    """
    import numpy as np

    from model.training.splits import tuning_split

    outcomes = {task: cohort.labels(task) for task in tasks}
    rarest = min(tasks, key=lambda task: np.nansum(outcomes[task]))
    parts = tuning_split(cohort.groups(), outcomes[rarest], share=TUNING_SHARE)
    for task in tasks:
        if any(not {0.0, 1.0} <= set(outcomes[task][rows].tolist()) for rows in parts):
            raise TrainingImpossible(
                "The groups cannot be split into training and tuning so that both have rows with"
                f" and without the outcome{f' {task}' if len(tasks) > 1 else ''}."
            )
    training, tuning = (cohort.select(rows) for rows in parts)
    return training, tuning


def _trained(
    places: SitePlaces,
    training: Cohort,
    tuning: Cohort,
    settings: TrainingSettings,
    console: Console,
    train: Train,
) -> Trained:
    with progress_bars(console) as progress:
        task = progress.add_task("training", total=None)
        return train(
            training,
            tuning,
            settings,
            state_folder=places.work / "state",
            on_step=lambda done, total: progress.update(task, completed=done, total=total),
            on_fresh=console.print,
        )


def _in_processes(places: SitePlaces, cohort: Cohort, key: str, count: int) -> Train:
    """Return what trains: this process, or several that open the tokens for themselves."""
    from model.training.case_store import StoredRows
    from model.training.loop import train_network
    from model.training.processes import train_in_processes

    if count == 1:
        return train_network
    row_of = {id(case): row for row, case in enumerate(cohort.cases)}

    def stored(part: Cohort) -> StoredRows:
        return StoredRows(places.work / "tokens", key, tuple(row_of[id(c)] for c in part.cases))

    def train(
        training: Cohort, tuning: Cohort, settings: TrainingSettings, **options: Any
    ) -> Trained:
        return train_in_processes(count, stored(training), stored(tuning), settings, **options)

    return train


def _release(
    places: SitePlaces,
    tasks: Sequence[OutcomeTask],
    rows: int,
    groups: int,
    encoder: SentenceEncoder,
    key: str,
) -> Release:
    """Return what config.json says. The version names the data that it was trained on."""
    from model.checkpoint import TaskSpec
    from model.training.shipping import Release

    return Release(
        f"{VERSION}+site.{key[:8]}",
        f"Trained on this site's own data: {rows:,} rows of {groups:,} groups of patients.",
        encoder.identity,
        tasks=tuple(
            TaskSpec(one.name, one.display, 0.0, one.no_event, one.event, one.horizon)
            for one in tasks
        ),
        encoder=exported(places.encoder),
    )


def _write_checkpoint(
    places: SitePlaces,
    trained: Trained,
    training: Cohort,
    tuning: Cohort,
    settings: TrainingSettings,
    release: Release,
) -> None:
    """Write the folder with its card."""
    from model.training.fit_calibration import CalibrationError
    from model.training.site_card import ship_with_card

    draft = places.work / "checkpoint"
    try:
        ship_with_card(places.output, draft, trained, training, tuning, settings, release)
    except CalibrationError as exc:
        raise TrainingImpossible(f"The model cannot be calibrated: {exc}.") from exc


def _print_left_out(left_out: LeftOut, console: Console) -> None:
    for sentence in left_out.sentences:
        console.print(f"Not used: {sentence}.", highlight=False)
    if left_out.counts:
        words = ", ".join(f"{word} {count:,}" for word, count in left_out.counts.most_common())
        console.print(f"Not used in all: {words}.", highlight=False)


def _print_summary(places: SitePlaces, trained: Trained, console: Console) -> None:
    from model.training.report import training_table

    console.print(training_table(trained))
    console.print(f"Checkpoint written to {places.output}; its MODEL_CARD.md says what it is not.")
