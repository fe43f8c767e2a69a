"""``meam export --edge``: the folder runs with nothing else, and notices what was changed in it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from cds_hooks.cli import main
from cds_hooks.edge_export import CHECKPOINT, EdgeExport, copy_model, export_edge
from cds_hooks.edge_golden import Said, differences
from cds_hooks.edge_packages import NEEDED, NOT_NEEDED, canonical, distributions, is_needed
from cds_hooks.edge_self_test import files_are_whole, predictions_agree
from cds_hooks.errors import CommandError
from cds_hooks.settings import Settings
from model.predictor import load_predictor
from model.sentence_encoder import PACKAGE
from tests.cds_hooks import world

ROOT = Path(__file__).parent.parent.parent
SAID = Said("1", -1.0, 7, ("a", "b"))

needs_encoder = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None or importlib.util.find_spec("onnx") is None,
    reason=f"package {PACKAGE} or the extra 'train' is not installed",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    job = EdgeExport(tmp_path_factory.mktemp("edge") / "meam", Settings().checkpoint, int8=True)
    return export_edge(job, lambda _stage: None)


@pytest.fixture
def changed(folder, tmp_path):
    """A copy whose large files are shared with the export: only replace files in it."""
    return shutil.copytree(folder, tmp_path / "copy", copy_function=os.link)


def run(folder, *command):
    """Run with no variable of the environment, and without a network where this user may."""
    alone = ["unshare", "-n"] if os.geteuid() == 0 and shutil.which("unshare") else []
    return subprocess.run(
        [*alone, sys.executable, str(folder / command[0]), *command[1:]],
        env={"PATH": os.defpath},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def replace(file, text):
    file.unlink()
    file.write_text(text, encoding="utf-8")


@needs_encoder
def test_the_self_test_passes_with_nothing_but_the_folder(folder):
    done = run(folder, "self-test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same five reasons; logits differ by 0.0e+00" in done.stdout
    assert "+int8 loaded in" in done.stdout
    assert "The self-test passed." in done.stdout


@needs_encoder
def test_the_folder_is_small_and_trains_nothing(folder):
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert size < 300e6
    assert not (folder / "lib" / "model" / "training").exists()
    packages = {path.name for path in (folder / "packages").iterdir()}
    assert not packages & {"torch", "onnx", "huggingface_hub", "pydantic", "pip", "numba"}
    assert "onnxruntime" in packages


@needs_encoder
def test_a_changed_file_is_named(changed):
    replace(changed / CHECKPOINT / "calibration.json", "{}")
    done = run(changed, "self-test")
    assert done.returncode == 1
    assert "meam-risk/calibration.json was changed since it was exported" in done.stdout
    assert "The self-test FAILED." in done.stdout


@needs_encoder
def test_other_predictions_are_told(changed):
    golden = json.loads((changed / "golden.json").read_text())
    golden["patients"][0]["logit"] += 0.001
    replace(changed / "golden.json", json.dumps(golden))
    predictor = load_predictor(changed / CHECKPOINT, encoder_variant="int8", threads=1)
    ((passed, sentence),) = predictions_agree(changed, predictor)
    assert not passed
    assert re.search(r": logit -?\d.*; the exporter had", sentence)
    manifest = json.loads((changed / "manifest.json").read_text())
    assert files_are_whole(changed, manifest["sha256"]) == (
        False,
        "golden.json was changed since it was exported",
    )


@needs_encoder
def test_another_python_is_told_in_one_sentence(changed):
    manifest = json.loads((changed / "manifest.json").read_text())
    manifest["made_for"]["python"] = "CPython 3.99"
    replace(changed / "manifest.json", json.dumps(manifest))
    done = run(changed, "self-test")
    assert done.returncode == 1
    assert "was exported for python CPython 3.99, and this is CPython 3." in done.stderr
    assert "Traceback" not in done.stderr


@needs_encoder
def test_commands_run_from_the_folder(folder):
    assert "meam, version" in run(folder, "meam", "--version").stdout
    done = run(folder, "meam", "check-settings", str(folder / "trial.toml"))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_encoder
def test_settings_that_are_not_filled_in_are_told(folder):
    done = run(folder, "serve")
    assert done.returncode == 1
    assert "needs at least one [[issuers]] table" in done.stderr
    assert "Traceback" not in done.stderr


@needs_encoder
def test_it_serves(folder, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        bind = f"127.0.0.1:{probe.getsockname()[1]}"
    config = tmp_path / "trial.toml"
    text = (folder / "trial.toml").read_text().replace("127.0.0.1:5000", bind)
    config.write_text(text + "deadline_ms = 9000\n")
    process = subprocess.Popen(
        [sys.executable, str(folder / "serve"), "--config", str(config)],
        env={},
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_ready(f"http://{bind}/readyz", process)
        answer = requests.post(
            f"http://{bind}/cds-services/meam-risk", json=world.hook_request(), timeout=30
        )
        assert answer.status_code == 200
        assert "+int8" in answer.text
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def wait_until_ready(url, process):
    for _ in range(1200):
        assert process.poll() is None
        try:
            if requests.get(url, timeout=2).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.05)
    raise AssertionError("the service did not become ready")


@needs_encoder
def test_the_encoder_as_it_is_travels_too(tmp_path):
    job = EdgeExport(tmp_path / "edge", Settings().checkpoint)
    copy_model(job, job.target)
    copied = {file.name for file in (job.target / "packages" / PACKAGE / "model").iterdir()}
    assert copied == {"model.safetensors", "tokenizer.json"}
    assert not (job.target / CHECKPOINT / "encoder").exists()


def test_a_folder_that_exists_is_left_alone(tmp_path):
    result = CliRunner().invoke(main, ["export", "--edge", str(tmp_path)])
    assert result.exit_code == 1
    assert f"Error: {tmp_path} exists already" in result.output


@needs_encoder
def test_the_command_quantises_and_says_how_to_use_it(tmp_path):
    target = tmp_path / "encoder"
    result = CliRunner().invoke(main, ["quantise-encoder", str(target)])
    assert result.exit_code == 0, result.output
    assert 'encoder_variant = "int8"' in result.output
    again = CliRunner().invoke(main, ["quantise-encoder", str(target)])
    assert again.exit_code == 1
    assert "exists already" in again.output


def test_what_is_copied_is_what_the_project_depends_on():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    depends = {canonical(re.split(r"[\[=<>]", one)[0]) for one in project["dependencies"]}
    assert depends - set(NOT_NEEDED) == set(NEEDED)


def test_dependencies_of_dependencies_come_along_once():
    names = [canonical(one.metadata["Name"]) for one in distributions(["flask", "jinja2"])]
    assert {"flask", "werkzeug", "jinja2", "markupsafe", "itsdangerous", "click"} <= set(names)
    assert len(names) == len(set(names))


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(CommandError, match="no-such-package is not installed"):
        list(distributions(["no_such.package"]))


@pytest.mark.parametrize(
    ("file", "needed"),
    [
        ("numpy/__init__.py", True),
        ("numpy/tests/test_public_api.py", False),
        ("numpy/testing/__init__.py", True),
        ("numpy/__init__.pyi", False),
        ("__pycache__/six.cpython-311.pyc", False),
        ("onnxruntime/capi/onnxruntime_pybind11_state.so", True),
        ("onnxruntime/transformers/optimizer.py", False),
        ("numpy-2.4.6.dist-info/METADATA", True),
        ("numpy-2.4.6.dist-info/RECORD", False),
        ("../../../bin/flask", False),
        ("sqlalchemy/dialects/sqlite/base.py", True),
        ("sqlalchemy/dialects/mysql/base.py", False),
    ],
)
def test_files_that_serving_may_read(file, needed):
    assert is_needed(file) is needed


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (SAID, None),
        (Said("1", -1.00005, 7, ("a", "b")), None),
        (None, "no prediction here"),
        (Said("2", -1.0, 7, ("a", "b")), "model version 2; the exporter had 1"),
        (Said("1", -1.001, 7, ("a", "b")), "logit -1.001000"),
        (Said("1", float("nan"), 7, ("a", "b")), "logit nan"),
        (Said("1", -1.0, 7, ("b", "a")), "reasons b, a; the exporter had a, b"),
        (Said("1", -1.0, 8, ("a", "b")), "the chart is read otherwise here"),
    ],
)
def test_differences_are_sentences(found, line):
    lines = differences(SAID, found)
    assert lines == [] if line is None else line in lines[0]


def test_a_faulty_checkpoint_is_named_where_it_was_looked_for(tmp_path):
    (tmp_path / "nothing").mkdir()
    result = CliRunner().invoke(
        main, ["export", "--edge", str(tmp_path / "e"), "--checkpoint", str(tmp_path / "nothing")]
    )
    assert result.exit_code == 1
    assert f"{tmp_path}/nothing/manifest.json" in result.output
    assert list(tmp_path.iterdir()) == [tmp_path / "nothing"]
