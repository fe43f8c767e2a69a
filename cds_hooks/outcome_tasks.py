"""What a model is to predict, and in which words: the columns of the labels and ``--tasks``.

::

    [[tasks]]
    name = "vasopressor_start"
    display = "start of a vasopressor"     # on the card: "Estimated risk of ..."
    horizon = "within 24 h"                # behind the display; what the labels were made by
    event = "vasopressor started"
    no_event = "no vasopressor"
    column = "outcome_vasopressor_start"   # of the labels; by default outcome_ and the name

The first task is the one that is explained, unless the settings of the service name another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cds_hooks.errors import LabelsUnusable, SettingsError
from cds_hooks.settings import read_toml
from cds_hooks.toml_reader import read_table

COLUMN = "outcome"  # of the one task of a file without others
_PREFIX = f"{COLUMN}_"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_LONGEST = 60  # characters of display and horizon, which stand in the summary of a card
_LONGEST_OUTCOME = 40
MOST_TASKS = 8  # a card states them all


@dataclass(frozen=True, slots=True)
class OutcomeTask:
    """One outcome, yes or no, and its words."""

    name: str
    display: str
    event: str
    no_event: str
    horizon: str = ""
    column: str = ""


@dataclass(frozen=True, slots=True)
class _TaskFile:
    tasks: tuple[OutcomeTask, ...]


IN_HOSPITAL_DEATH = OutcomeTask(
    "in_hospital_death", "in-hospital death", "dies", "survives", column=COLUMN
)


def tasks_of_columns(names: Sequence[str]) -> tuple[OutcomeTask, ...]:
    """Return the tasks that the columns of a label file name, in their order.

    A column "outcome" alone is in-hospital death, as is outcome_in_hospital_death.
    """
    if COLUMN in names:
        return (IN_HOSPITAL_DEATH,)
    found = []
    for column in dict.fromkeys(names):
        name = column.removeprefix(_PREFIX)
        if name == column or not _NAME.fullmatch(name):
            continue
        words = name.replace("_", " ")
        task = OutcomeTask(name, words, words, f"no {words}")
        if name == IN_HOSPITAL_DEATH.name:
            task = IN_HOSPITAL_DEATH
        found.append(replace(task, column=column))
    return tuple(found)


def read_tasks(path: Path) -> tuple[OutcomeTask, ...]:
    """Return the tasks of a file. Raises LabelsUnusable, which names every fault it found."""
    try:
        tasks = read_table(_TaskFile, read_toml(path), "").tasks
    except SettingsError as exc:
        raise LabelsUnusable(f"{path}: {str(exc).removeprefix(f'{path}: ')}.") from exc
    faults = [f"{path}: {fault}." for fault in faults_of(tasks)]
    if faults:
        raise LabelsUnusable("\n".join(faults))
    return tuple(replace(one, column=one.column or f"{_PREFIX}{one.name}") for one in tasks)


def faults_of(tasks: Sequence[OutcomeTask]) -> Iterator[str]:
    """Yield what is wrong with tasks: their number, names, lengths, what two of them share."""
    if not 1 <= len(tasks) <= MOST_TASKS:
        yield f"expected 1 to {MOST_TASKS} [[tasks]], found {len(tasks)}"
    for number, task in enumerate(tasks):
        where = f"tasks[{number}]"
        if not _NAME.fullmatch(task.name):
            yield f"{where}.name: expected small letters, digits and _, up to 60"
        if not 0 < len(f"{task.display} {task.horizon}".strip()) <= _LONGEST or not task.display:
            yield f"{where}: display and horizon together have 1 to {_LONGEST} characters"
        for name in ("event", "no_event"):
            if not 0 < len(getattr(task, name)) <= _LONGEST_OUTCOME:
                yield f"{where}.{name}: expected 1 to {_LONGEST_OUTCOME} characters"
    for name, count in Counter(task.name for task in tasks).items():
        if count > 1:
            yield f"{count} tasks are named {name}"
    columns = Counter(task.column or f"{_PREFIX}{task.name}" for task in tasks)
    for column, count in columns.items():
        if count > 1:
            yield f"{count} tasks have the column {column}"
