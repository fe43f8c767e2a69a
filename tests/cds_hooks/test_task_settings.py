"""Settings of tasks: own thresholds, the explained task, and names that the checkpoint lacks."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cds_hooks.app import create_app
from cds_hooks.errors import SettingsError
from cds_hooks.settings import Settings, TaskThresholds, Thresholds, load_settings
from cds_hooks.settings_check import check_settings
from cds_hooks.task_settings import check_tasks, task_faults
from cds_hooks.wording import indicator, lead_task
from model.prediction import RiskGroup, TaskPrediction
from tests.cds_hooks import world

TASKS = ("in_hospital_death", "vasopressor_start")
STRICT = TaskThresholds(
    task="vasopressor_start", card_from=0.3, warning_from=0.6, critical_from=0.9
)
FILE = """\
public_base_url = "https://cds.hospital.example"
tls = "proxy"
explained_task = "in_hospital_death"

[[issuers]]
iss = "https://ehr.hospital.example"
jku = ["https://ehr.hospital.example/jwks"]

[[task_thresholds]]
task = "in_hospital_death"
card_from = 0.05
warning_from = 0.2
critical_from = 0.4
"""


def test_a_task_has_its_own_thresholds_and_the_others_those_of_all():
    settings = Settings(task_thresholds=(STRICT,))
    assert settings.thresholds_of("vasopressor_start") == STRICT
    assert settings.thresholds_of("in_hospital_death") == settings.thresholds == Thresholds()


@pytest.mark.parametrize(
    ("task", "probability", "expected"),
    [
        ("vasopressor_start", 0.55, "info"),
        ("vasopressor_start", 0.60, "warning"),
        ("vasopressor_start", 0.90, "critical"),
        ("in_hospital_death", 0.90, "critical"),
    ],
)
def test_the_indicator_follows_the_tasks_own_thresholds(task, probability, expected):
    settings = Settings(task_thresholds=(STRICT,))
    assert indicator(probability, settings.thresholds_of(task)) == expected


def _task(name: str, probability: float, group: RiskGroup = "low") -> TaskPrediction:
    return TaskPrediction(name, name, probability, 0.1, group, ("no",), 0.9)


@pytest.mark.parametrize(
    ("first", "second", "leads"),
    [
        ((0.02,), (0.02,), "first"),
        ((0.02,), (0.28,), "second"),  # above card_from, so it is why there is a card
        ((0.28,), (0.16,), "first"),
        ((0.16,), (0.28,), "first"),
        ((0.28, "uncertain"), (0.61,), "second"),
        ((0.02,), (0.06, "high"), "second"),
        ((0.02,), (0.06, "uncertain"), "second"),
        ((0.16,), (0.06, "high"), "first"),
    ],
)
def test_the_summary_speaks_of_the_task_that_is_the_reason_for_the_card(first, second, leads):
    tasks = (_task("first", *first), _task("second", *second))
    assert lead_task(tasks, Settings()).task == leads


def test_a_reason_for_a_card_is_measured_by_the_tasks_own_threshold():
    tasks = (_task("in_hospital_death", 0.16), _task("vasopressor_start", 0.28))
    settings = Settings(task_thresholds=(STRICT,))
    assert lead_task(tasks, settings).task == "in_hospital_death"
    assert lead_task(tasks[::-1], settings).task == "in_hospital_death"


def test_names_of_the_checkpoint_are_taken():
    settings = Settings(explained_task="vasopressor_start", task_thresholds=(STRICT,))
    assert list(task_faults(settings, TASKS)) == []
    check_tasks(settings, TASKS)


@pytest.mark.parametrize(
    ("settings", "setting", "message"),
    [
        (Settings(explained_task="sepsis"), "explained_task", "has no task 'sepsis'"),
        (
            Settings(task_thresholds=(STRICT, replace(STRICT, task="sepsis"))),
            "task_thresholds[1].task",
            "has no task 'sepsis'",
        ),
        (
            Settings(task_thresholds=(STRICT, STRICT)),
            "task_thresholds[1].task",
            "'vasopressor_start' has thresholds already",
        ),
    ],
)
def test_each_fault_names_the_setting_and_the_way_out(settings, setting, message):
    [fault] = task_faults(settings, TASKS)
    assert fault.setting == setting
    assert message in str(fault)
    assert fault.fix
    with pytest.raises(SettingsError, match=message):
        check_tasks(settings, TASKS)


def test_the_service_does_not_start_with_a_task_that_the_checkpoint_lacks(tmp_path: Path):
    settings = replace(world.settings(tmp_path), explained_task="sepsis")
    with pytest.raises(SettingsError, match="explained_task: the checkpoint has no task 'sepsis'"):
        create_app(settings)


def _checked(tmp_path: Path, text: str) -> list[tuple[int | None, str]]:
    file = tmp_path / "meam.toml"
    file.write_text(text, encoding="utf-8")
    return [(fault.line, fault.message) for fault in check_settings(file)]


def test_a_file_with_own_thresholds_is_good(tmp_path: Path):
    assert _checked(tmp_path, FILE) == []
    settings = load_settings({"MEAM_CONFIG": str(tmp_path / "meam.toml")})
    assert settings.thresholds_of("in_hospital_death").critical_from == 0.4


def test_check_settings_names_the_line_of_a_misspelt_task(tmp_path: Path):
    text = FILE.replace('task = "in_hospital_death"', 'task = "in_hospital_deaht"')
    assert _checked(tmp_path, text.replace("explained_task =", "# explained_task =")) == [
        (10, "task_thresholds[0].task: the checkpoint has no task 'in_hospital_deaht'")
    ]


def test_check_settings_tells_of_a_damaged_checkpoint(tmp_path: Path):
    copy = tmp_path / "model"
    shutil.copytree(Settings().checkpoint, copy)
    (copy / "vocabulary.json").write_text("{}", encoding="utf-8")
    [(line, message)] = _checked(tmp_path, f'checkpoint = "{copy}"\n{FILE}')
    assert line == 1
    assert "checkpoint: " in message
    assert "vocabulary.json" in message
