"""The state of a training on disk, so that a killed run goes on: safetensors and JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.training.cohort import Cohort, data_digest
from model.training.settings import TrainingSettings
from model.training.teaching import Lesson

OnFresh = Callable[[str], None]  # why the state of an earlier training is not gone on from

FORMAT = 2  # 1: nothing of the labels and tokens in the fingerprint


class OtherTraining(ValueError):
    """The folder holds the state of a training that is not this one; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingState:
    """All that changes during a training."""

    network: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    average_steps: int
    optimizer: Mapping[str, Any]
    lessons: dict[int, Lesson]
    history: list[dict[str, Any]]
    stopped_early: bool


def fingerprint(
    cohort: Cohort, tuning: Cohort | None, settings: TrainingSettings
) -> dict[str, Any]:
    """Return what must be the same for a training to be gone on with."""
    facts = [case.facts for case in cohort.cases]
    return {
        "settings": settings.to_json(),
        "vocabulary": cohort.config.to_json(),
        "rows": [f"{one.data_set}/{one.stay_id}/{one.view}" for one in facts],
        "labels or tokens": [data_digest(part) for part in (cohort, tuning) if part is not None],
    }


def save_state(folder: Path, fingerprint: Mapping[str, Any], state: TrainingState) -> None:
    """Replace the folder's state; a kill leaves the old one or the new one."""
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    save_file(_tensors(state), unfinished / "state.safetensors")
    document = {
        "format": FORMAT,
        "fingerprint": _digests(fingerprint),
        "average_steps": state.average_steps,
        "param_groups": state.optimizer["param_groups"],
        "lessons": [[row, lesson.gate] for row, lesson in state.lessons.items()],
        "history": state.history,
        "stopped_early": state.stopped_early,
    }
    (unfinished / "state.json").write_text(json.dumps(document))
    replaced = _replaced(folder)
    shutil.rmtree(replaced, ignore_errors=True)
    if folder.exists():
        folder.rename(replaced)
    unfinished.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def settle(folder: Path) -> None:
    """Put back a state whose replacement was killed between its two renames."""
    if not folder.exists() and _replaced(folder).exists():
        _replaced(folder).rename(folder)


def earlier_state(
    folder: Path, fingerprint: Mapping[str, Any], on_fresh: OnFresh | None
) -> TrainingState | None:
    """Return the state to go on from, if there is one. ``on_fresh`` hears why it is not used."""
    try:
        return load_state(folder, fingerprint)
    except OtherTraining as exc:
        if on_fresh is not None:
            on_fresh(f"The state of an earlier training is not used: {exc}. Training starts anew.")
        return None


def load_state(folder: Path, fingerprint: Mapping[str, Any]) -> TrainingState | None:
    """Return the state, or None where there is none.

    Raises OtherTraining where it is of other settings or data, or of another version.
    """
    settle(folder)
    path = folder / "state.json"
    if not path.is_file():
        return None
    document = json.loads(path.read_text())
    _require_same(document, _digests(fingerprint))
    tensors = load_file(folder / "state.safetensors")
    return TrainingState(
        network=_named(tensors, "network/"),
        average=_named(tensors, "average/"),
        average_steps=document["average_steps"],
        optimizer={
            "param_groups": document["param_groups"],
            "state": _optimizer_state(_named(tensors, "optimizer/")),
        },
        lessons={
            row: Lesson(tensors[f"lesson/{row}"].numpy(), gate) for row, gate in document["lessons"]
        },
        history=document["history"],
        stopped_early=document["stopped_early"],
    )


def _replaced(folder: Path) -> Path:
    return folder.with_name(folder.name + ".old")


def _tensors(state: TrainingState) -> dict[str, Tensor]:
    tensors = {f"network/{name}": value for name, value in state.network.items()}
    tensors |= {f"average/{name}": value for name, value in state.average.items()}
    for number, entries in state.optimizer["state"].items():
        tensors |= {f"optimizer/{number}/{name}": value for name, value in entries.items()}
    tensors |= {
        f"lesson/{row}": torch.from_numpy(np.asarray(lesson.target))
        for row, lesson in state.lessons.items()
    }
    return {name: tensor.contiguous().clone() for name, tensor in tensors.items()}


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _optimizer_state(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        number, name = path.split("/")
        state.setdefault(int(number), {})[name] = tensor
    return state


def _require_same(document: Mapping[str, Any], digests: Mapping[str, str]) -> None:
    if document["format"] != FORMAT:
        raise OtherTraining("it was written by another version of this program")
    found = document["fingerprint"]
    others = [name for name in digests if found.get(name) != digests[name]]
    if others:
        raise OtherTraining(f"it is of other {' and '.join(others)}")


def _digests(fingerprint: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()
        for name, part in fingerprint.items()
    }
