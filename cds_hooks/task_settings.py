"""Settings that name tasks of the checkpoint: does it have them?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from cds_hooks.errors import SettingsError
from cds_hooks.settings import Settings


def check_tasks(settings: Settings, tasks: Sequence[str]) -> None:
    """Raise SettingsError for the first setting that names no task of the checkpoint."""
    for fault in task_faults(settings, tasks):
        raise fault


def task_faults(settings: Settings, tasks: Sequence[str]) -> Iterator[SettingsError]:
    """Yield each setting that names a task which the checkpoint lacks, or one task twice.

    A threshold for a misspelt task would never apply, and nobody would notice.
    """
    known = f"name one of: {', '.join(tasks)}"
    if settings.explained_task and settings.explained_task not in tasks:
        yield SettingsError(
            f"explained_task: the checkpoint has no task '{settings.explained_task}'",
            setting="explained_task",
            fix=known,
        )
    named = Counter[str]()
    for number, thresholds in enumerate(settings.task_thresholds):
        where = f"task_thresholds[{number}]"
        named[thresholds.task] += 1
        if thresholds.task and thresholds.task not in tasks:
            yield SettingsError(
                f"{where}.task: the checkpoint has no task '{thresholds.task}'",
                setting=f"{where}.task",
                fix=known,
            )
        elif named[thresholds.task] == 2:
            yield SettingsError(
                f"{where}.task: '{thresholds.task}' has thresholds already",
                setting=f"{where}.task",
                fix="make one table of the two",
            )
