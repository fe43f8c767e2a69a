"""``meam train`` and ``meam evaluate``, without the command line.

Nothing here imports torch until it is called: the serving process may import this module.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cds_hooks import training_records
from cds_hooks.errors import TrainingImpossible
from cds_hooks.training_records import (
    LabelledViews,
    eicu_views,
    full_vocabulary,
    make_cohort,
    physionet2012_views,
)

if TYPE_CHECKING:
    from model.sentence_encoder import WordPieceEncoder
    from model.tokens import Embed, TokenConfig
    from model.training.cohort import Cohort
    from model.training.loop import Trained
    from model.training.settings import TrainingSettings

PACKAGE_ROOT = Path(__file__).resolve().parent.parent
CHECKPOINT = PACKAGE_ROOT / "model" / "checkpoints" / "meam-risk"
CACHE = PACKAGE_ROOT / ".cache" / "training"
PHYSIONET, EICU = "physionet2012", "eicu-crd-demo"  # folders
TRAINING_SETS, TEST_SET = ("eicu-demo", "physionet2012-a"), "physionet2012-b"
TASK = "in_hospital_death"
STAYS = {"physionet2012-a": 4000, "physionet2012-b": 4000, "eicu-demo": 1496}
VERSION = "0.1.0"
MAIN_VIEWS = ("device@48h", "device@24h")  # how the data sets recorded their stays
TUNING_SHARE = 0.15
TRAINED_ON = (
    "Trained on open research data: PhysioNet 2012 set A (4,000 ICU stays) and the eICU demo "
    "(1,496 ICU stays)."
)


class DataMissing(FileNotFoundError):
    """An open data set is not where training looks for it."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where data come from and where results go."""

    data: Path  # holds physionet2012/ and eicu-crd-demo/
    checkpoint: Path = CHECKPOINT
    cache: Path = CACHE
    encoder: Path | None = None  # folder of a sentence encoder; None: the installed package


def train(
    places: Places,
    *,
    epochs: int | None = None,
    seed: int = 0,
    consistency: bool = True,
    fresh: bool = False,
    processes: int = 1,
    console: Console | None = None,
) -> None:
    """Train the shipped checkpoint from the open data, or resume a training that was killed.

    Raises DataMissing where a data set is not there, CheckpointOccupied where the checkpoint's
    folder holds other things, TrainingImpossible where the network learnt nothing.
    """
    from model.checkpoint import require_replaceable
    from model.training.cohort import join, restrict, vocabulary_of
    from model.training.fit_calibration import CalibrationError
    from model.training.loop import train_network
    from model.training.report import training_table
    from model.training.shipping import Release, ship

    console = console or Console(stderr=True)
    _require_data(places, TRAINING_SETS)
    require_replaceable(places.checkpoint)
    places = replace(places, encoder=served_encoder(places.encoder, places.cache / "encoder"))
    cohorts = training_cohorts(places, console)
    settings = shipped_settings(epochs=epochs, seed=seed, consistency=consistency)
    whole = join(list(cohorts.values()))
    cohort = restrict(whole, vocabulary_of(whole))
    training, tuning = split_off_tuning(cohort)
    state = places.cache / "state"
    if fresh:
        shutil.rmtree(state, ignore_errors=True)
    with progress_bars(console) as progress:
        task = progress.add_task("training", total=None)
        train_now = train_network if processes == 1 else _in_processes(places, processes)
        trained = train_now(
            training,
            tuning.with_view(*MAIN_VIEWS),
            settings,
            state_folder=state,
            on_step=lambda done, total: progress.update(task, completed=done, total=total),
            on_fresh=console.print,
        )
    release = Release(
        VERSION, TRAINED_ON, _encoder(places).identity, encoder=exported(places.encoder)
    )
    try:
        ship(places.checkpoint, trained, training, tuning, settings, release)
    except CalibrationError as exc:
        raise TrainingImpossible(f"The model cannot be calibrated: {exc}.") from exc
    shutil.rmtree(state, ignore_errors=True)
    console.print(training_table(trained))
    console.print(f"Checkpoint written to {places.checkpoint}")


def _in_processes(places: Places, count: int) -> Callable[..., Trained]:
    """Return what trains in several processes, which read the cohorts from files."""
    from model.training.cohort import SavedCohort, save_cohort
    from model.training.processes import train_in_processes

    def train_now(
        training: Cohort, tuning: Cohort, settings: TrainingSettings, **options: Any
    ) -> Trained:
        learnt = SavedCohort(places.cache / "training-part.npz")
        tuned = SavedCohort(places.cache / "tuning-part.npz")
        save_cohort(learnt.path, training)
        save_cohort(tuned.path, tuning)
        trained = train_in_processes(count, learnt, tuned, settings, **options)
        learnt.path.unlink()
        tuned.path.unlink()
        return trained

    return train_now


def shipped_settings(
    *, epochs: int | None = None, seed: int = 0, consistency: bool = True
) -> TrainingSettings:
    """Return the settings of the shipped checkpoint; EXPERIMENTS.md says how they were chosen."""
    from model.training.losses import ConsistencySettings
    from model.training.settings import TrainingSettings

    settings = TrainingSettings(seed=seed)
    if epochs is not None:
        settings = replace(settings, epochs=epochs)
    if not consistency:
        settings = replace(settings, consistency=ConsistencySettings(kl_weight=0, mass_weight=0))
    return settings


def training_cohorts(places: Places, console: Console) -> dict[str, Cohort]:
    """Return the cohorts that train, by data set: from the cache, or made anew."""
    return _cohorts(places, TRAINING_SETS, None, console)


def test_cohort(places: Places, config: TokenConfig, console: Console) -> Cohort:
    """Return PhysioNet 2012 set B in the vocabulary of a checkpoint."""
    return _cohorts(places, (TEST_SET,), config, console)[TEST_SET]


def _cohorts(
    places: Places, names: Sequence[str], config: TokenConfig | None, console: Console
) -> dict[str, Cohort]:
    """Read, tokenise and cache data sets; without a vocabulary, in all that they hold."""
    from model.training.cohort import load_cohort, save_cohort
    from model.training.sentence_cache import CachedEncoder

    _require_data(places, names)
    key = _cache_key(places, names, config)
    files = {name: places.cache / f"{name}-{key}.npz" for name in names}
    if all(file.is_file() for file in files.values()):
        return {name: load_cohort(file) for name, file in files.items()}
    encoder = _encoder(places)
    other = (
        "" if places.encoder is None else f"-{sha256(encoder.identity.encode()).hexdigest()[:12]}"
    )
    embed = CachedEncoder(encoder, places.cache / f"sentences{other}.npz")
    with progress_bars(console) as progress:
        stays = {name: _read_stays(places, name, progress) for name in names}
        whole = full_vocabulary(stay for part in stays.values() for stay in part)
        config = config or replace(whole, embedding_width=encoder.width)
        cohorts = {
            name: _tokenise(name, part, config, embed, progress) for name, part in stays.items()
        }
    embed.save()
    for name, cohort in cohorts.items():
        save_cohort(files[name], cohort)
    return cohorts


def _read_stays(places: Places, name: str, progress: Progress) -> list[LabelledViews]:
    if name == "eicu-demo":
        folder = _data_folder(places, EICU)
        views = eicu_views(folder)
    else:
        folder = _data_folder(places, PHYSIONET)
        views = physionet2012_views(folder, name[-1], augmented=name in TRAINING_SETS)
    task = progress.add_task(f"{name}: FHIR to records", total=STAYS[name])
    return list(_counted(views, lambda: progress.advance(task)))


def _tokenise(
    name: str, stays: list[LabelledViews], config: TokenConfig, embed: Embed, progress: Progress
) -> Cohort:
    task = progress.add_task(f"{name}: records to tokens", total=len(stays))
    return make_cohort(stays, config, embed, on_stay=lambda: progress.advance(task))


def _counted(views: Iterable[LabelledViews], count: Callable[[], None]) -> Iterable[LabelledViews]:
    for view in views:
        count()
        yield view


def _require_data(places: Places, names: Sequence[str]) -> None:
    for name in names:
        _data_folder(places, EICU if name == "eicu-demo" else PHYSIONET)


def _data_folder(places: Places, name: str) -> Path:
    folder = places.data / name
    if not folder.is_dir():
        raise DataMissing(f"{folder}: training needs the open data set {name} in this folder")
    return folder


def _cache_key(places: Places, names: Sequence[str], config: TokenConfig | None) -> str:
    """Return a digest of all that a cohort depends on: the code, the data files, the vocabulary."""
    digest = sha256()
    for package in ("fhir_adapters", "model"):
        for file in sorted((PACKAGE_ROOT / package).rglob("*")):
            if file.suffix in (".py", ".csv") and "training" not in file.parts:
                digest.update(file.read_bytes())
    digest.update(Path(training_records.__file__).read_bytes())
    for folder in (PHYSIONET, EICU):
        for file in sorted((places.data / folder).glob("*")):
            digest.update(f"{file.name} {file.stat().st_size}".encode())
    if places.encoder is not None:
        digest.update(_encoder(places).identity.encode())
    vocabulary = None if config is None else config.to_json()
    digest.update(json.dumps([list(names), vocabulary]).encode())
    return digest.hexdigest()[:12]


def _encoder(places: Places) -> WordPieceEncoder:
    from model.exported_encoder import open_encoder

    return open_encoder(places.encoder)


def served_encoder(folder: Path | None, target: Path) -> Path | None:
    """Return the folder of an encoder in the form that serves; ``target`` is for its export.

    Raises SentenceEncoderError for a folder that holds none.
    """
    from model.exported_encoder import MANIFEST
    from model.training.encoder_export import export_encoder

    if folder is None or (folder / MANIFEST).is_file():
        return folder
    return export_encoder(folder, target)


def exported(folder: Path | None) -> Path | None:
    """Return the folder if it holds an exported encoder, which travels with the checkpoint."""
    from model.exported_encoder import MANIFEST

    return folder if folder is not None and (folder / MANIFEST).is_file() else None


def split_off_tuning(cohort: Cohort) -> tuple[Cohort, Cohort]:
    """Return (training, tuning), patients apart, the same share of each data set."""
    from model.training.cohort import join
    from model.training.splits import tuning_split

    parts = []
    for name in TRAINING_SETS:
        part = cohort.of(name)
        rows = tuning_split(part.groups(), part.labels(TASK), share=TUNING_SHARE)
        parts.append(tuple(part.select(side) for side in rows))
    return join([part[0] for part in parts]), join([part[1] for part in parts])


def progress_bars(console: Console) -> Progress:
    """Return the bars of a long command."""
    return Progress(
        TextColumn("{task.description:32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
