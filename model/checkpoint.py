"""A checkpoint is one folder, loaded or refused whole.

::

    config.json          name, version, tasks, what it was trained on, the sentence encoder
    vocabulary.json      TokenConfig: variables, channels, note and unit types, windows
    encode.onnx          a record's arrays -> memory
    fuse.onnx            memory and coalitions -> logits and attention
    normalisation.json   training quantiles, also inside encode.onnx; here to be read
    calibration.json     by task
    conformal.json       by task
    applicability.json   ranges of the training data
    MODEL_CARD.md
    manifest.json        format and the sha256 of every other file
    encoder/             only with another sentence encoder than all-MiniLM-L6-v2: that encoder

Nothing in it is executable: JSON, ONNX without custom operators, Markdown.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from model.applicability import ApplicabilityRules
from model.calibration import Calibration, ConformalSets
from model.errors import (
    CheckpointDamaged,
    CheckpointIncompatible,
    CheckpointMissing,
    CheckpointOccupied,
)
from model.tokens import TokenConfig

FORMAT: Final = 2  # 1: attention of every coalition
MANIFEST: Final = "manifest.json"
ENCODER: Final = "encoder"  # a folder with a manifest of its own; config.json has its identity
FILES: Final = (
    "config.json",
    "vocabulary.json",
    "encode.onnx",
    "fuse.onnx",
    "normalisation.json",
    "calibration.json",
    "conformal.json",
    "applicability.json",
    "MODEL_CARD.md",
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One outcome that the model predicts."""

    name: str  # "in_hospital_death"
    display: str  # "in-hospital death"
    base_rate: float  # share of events in the training population
    no_event: str  # "survives"
    event: str  # "dies"
    horizon: str = ""  # "within 24 h"; "" where the display says it

    @property
    def outcome(self) -> str:
        """What cards and pages call it: "start of a vasopressor within 24 h"."""
        return f"{self.display} {self.horizon}".rstrip()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What config.json says."""

    name: str
    version: str
    trained_on: str  # one sentence for the card
    tasks: tuple[TaskSpec, ...]
    sentence_encoder: str  # identity of the encoder that training used
    network: Mapping[str, Any] = field(default_factory=dict)  # NetworkConfig, for the record


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Everything in the folder, read and checked."""

    info: ModelInfo
    tokens: TokenConfig
    encode_graph: bytes
    fuse_graph: bytes
    normalisation: Mapping[str, Any]
    calibration: Mapping[str, Calibration]  # by task
    conformal: Mapping[str, ConformalSets]  # by task
    applicability: ApplicabilityRules
    model_card: str


def save_checkpoint(
    folder: Path,
    checkpoint: Checkpoint,
    more: Mapping[str, bytes] | None = None,
    encoder: Path | None = None,
) -> None:
    """Write the folder anew; ``more`` adds files (training weights, evaluation).

    ``encoder`` is the folder of an exported sentence encoder that travels with the checkpoint.
    The old folder is replaced only when the new one is complete; a kill leaves the old one, under
    its name or with ``.old`` behind it, or the new one. Raises CheckpointOccupied.
    """
    folder = folder.resolve()  # "." has no name to put another beside
    require_replaceable(folder)
    files = {**_files(checkpoint), **(more or {})}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[MANIFEST] = _json({"format": FORMAT, "sha256": digests})
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name, content in files.items():
        (new / name).write_bytes(content)
    if encoder is not None:
        shutil.copytree(encoder, new / ENCODER)
    replaced = _replaced(folder)
    shutil.rmtree(replaced, ignore_errors=True)
    if folder.exists():
        folder.rename(replaced)
    new.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def require_replaceable(folder: Path) -> None:
    """Raise CheckpointOccupied unless a checkpoint may be written here.

    That is where nothing is, an empty folder, or a checkpoint of whatever format and nothing
    beside it.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise CheckpointOccupied(f"{folder} is a file and was not replaced")
    found = {path.name for path in folder.iterdir()}
    if not found:
        return
    if MANIFEST not in found:
        raise CheckpointOccupied(
            f"{folder} holds {_some(found)} and no {MANIFEST}: it is no checkpoint and was not"
            " replaced"
        )
    strangers = found - {MANIFEST, ENCODER, *_manifest(folder)[1]}
    if strangers:
        raise CheckpointOccupied(
            f"{folder} holds {_some(strangers)} beside a checkpoint and was not replaced"
        )


def _some(names: set[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(sorted(names)[:most]) + more


def _replaced(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.old")


def _files(checkpoint: Checkpoint) -> dict[str, bytes]:
    info = asdict(checkpoint.info)
    return {
        "config.json": _json(info),
        "vocabulary.json": _json(checkpoint.tokens.to_json()),
        "encode.onnx": checkpoint.encode_graph,
        "fuse.onnx": checkpoint.fuse_graph,
        "normalisation.json": _json(checkpoint.normalisation),
        "calibration.json": _json({k: v.to_json() for k, v in checkpoint.calibration.items()}),
        "conformal.json": _json({k: v.to_json() for k, v in checkpoint.conformal.items()}),
        "applicability.json": _json(checkpoint.applicability.to_json()),
        "MODEL_CARD.md": checkpoint.model_card.encode(),
    }


def _json(data: object) -> bytes:
    return (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read and check the folder. Raises a CheckpointError that names the file and the reason."""
    files = _verified_files(folder)

    def parsed(name: str, build: Callable[[Any], T]) -> T:
        try:
            return build(json.loads(files[name]))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as exc:
            raise CheckpointIncompatible(
                f"{folder / name}: not as this version expects it: {type(exc).__name__}: {exc}"
            ) from exc

    checkpoint = Checkpoint(
        info=parsed("config.json", _info),
        tokens=parsed("vocabulary.json", TokenConfig.from_json),
        encode_graph=files["encode.onnx"],
        fuse_graph=files["fuse.onnx"],
        normalisation=parsed("normalisation.json", _bins),
        calibration=parsed("calibration.json", _by_task(Calibration.from_json)),
        conformal=parsed("conformal.json", _by_task(ConformalSets.from_json)),
        applicability=parsed("applicability.json", ApplicabilityRules.from_json),
        model_card=files["MODEL_CARD.md"].decode(),
    )
    _check_consistent(folder, checkpoint)
    return checkpoint


def _verified_files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file, after comparing it with the manifest."""
    if not folder.is_dir():
        old = _replaced(folder.resolve())
        left = f"; {old} is what it was before a replacement that was killed" * old.is_dir()
        raise CheckpointMissing(f"{folder}: there is no such checkpoint folder{left}")
    version, digests = _manifest(folder)
    if version != FORMAT:
        raise CheckpointIncompatible(
            f"{folder / MANIFEST}: format {version!r}, but this version reads format {FORMAT}"
        )
    files = {}
    for name, expected in digests.items():
        file = folder / name
        if Path(name).name != name or not file.is_file():
            raise CheckpointMissing(f"{file}: {MANIFEST} lists this file, but it is not there")
        content = file.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != expected:
            raise CheckpointDamaged(f"{file}: sha256 is {found}, {MANIFEST} states {expected}")
        files[name] = content
    for name in FILES:
        if name not in files:
            raise CheckpointMissing(f"{folder / name}: {MANIFEST} does not list this file")
    return files


def _manifest(folder: Path) -> tuple[object, dict[str, str]]:
    """Return the format and the digests."""
    file = folder / MANIFEST
    if not file.is_file():
        raise CheckpointMissing(f"{file}: a checkpoint has a manifest")
    try:
        manifest = json.loads(file.read_bytes())
        version, digests = manifest["format"], dict(manifest["sha256"])
    except (ValueError, KeyError, TypeError) as exc:
        raise CheckpointDamaged(
            f"{file}: expected an object with 'format' and 'sha256': {type(exc).__name__}: {exc}"
        ) from exc
    return version, digests


def _info(data: Mapping[str, Any]) -> ModelInfo:
    tasks = tuple(TaskSpec(**task) for task in data["tasks"])
    if not tasks:
        raise ValueError("a model has at least one task")
    return ModelInfo(**{**data, "tasks": tasks})


def _bins(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the quantiles of both kinds of input, one list a variable or channel."""
    return {
        name: {part: list(data[name][part]) for part in ("low", "width")}
        for name in ("structured", "device")
    }


def _by_task(build: Callable[[Any], T]) -> Callable[[Mapping[str, Any]], dict[str, T]]:
    return lambda data: {task: build(value) for task, value in data.items()}


def _check_consistent(folder: Path, checkpoint: Checkpoint) -> None:
    """Compare the files with each other."""
    for task in checkpoint.info.tasks:
        for name, by_task in (
            ("calibration.json", checkpoint.calibration),
            ("conformal.json", checkpoint.conformal),
        ):
            if task.name not in by_task:
                raise CheckpointIncompatible(
                    f"{folder / name}: has no entry for task '{task.name}' of config.json"
                )
    rules, variables = checkpoint.applicability, len(checkpoint.tokens.variables)
    bins, channels = checkpoint.normalisation, len(checkpoint.tokens.channels)
    for file, name, entries, expected in (
        ("applicability.json", "structured_ranges", rules.structured_ranges, variables),
        ("applicability.json", "device_ranges", rules.device_ranges, channels),
        ("normalisation.json", "structured", bins["structured"]["low"], variables),
        ("normalisation.json", "device", bins["device"]["low"], channels),
    ):
        if len(entries) != expected:
            raise CheckpointIncompatible(
                f"{folder / file}: {name} has {len(entries)} entries, "
                f"vocabulary.json has {expected}"
            )
