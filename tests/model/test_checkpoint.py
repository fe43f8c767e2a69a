"""A checkpoint is loaded or refused whole, with the file and the reason."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import FILES, load_checkpoint, save_checkpoint
from model.errors import (
    CheckpointDamaged,
    CheckpointError,
    CheckpointIncompatible,
    CheckpointMissing,
    CheckpointOccupied,
)
from model.training.export import WEIGHTS, load_network
from model.training.network import collate
from tests.model.worlds import CONFIG, TASK


@pytest.fixture
def folder(checkpoint_folder, tmp_path):
    """A copy to be damaged."""
    return shutil.copytree(checkpoint_folder, tmp_path / "copy")


def rewrite(folder, name, content):
    """Change a file and its digest, as a careless hand would."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"][name] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def change_json(folder, name, change):
    data = json.loads((folder / name).read_text())
    change(data)
    rewrite(folder, name, json.dumps(data).encode())


def test_what_was_saved_is_loaded(folder):
    checkpoint = load_checkpoint(folder)
    assert checkpoint.tokens == CONFIG
    assert checkpoint.info.tasks[0].name == TASK
    assert checkpoint.calibration[TASK].pooled.temperature == 8.0
    assert checkpoint.info.network["width"] == 64


def test_saving_again_changes_no_byte(folder, tmp_path):
    checkpoint = load_checkpoint(folder)
    weights = (folder / WEIGHTS).read_bytes()
    save_checkpoint(tmp_path / "again", checkpoint, {WEIGHTS: weights})
    for name in (*FILES, "manifest.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name


def test_saving_replaces_the_old_folder_whole(folder):
    checkpoint = load_checkpoint(folder)
    assert (folder / WEIGHTS).exists()
    save_checkpoint(folder, checkpoint)
    assert not (folder / WEIGHTS).exists()
    assert [path.name for path in folder.parent.iterdir()] == ["copy"]
    load_checkpoint(folder)


def test_saving_replaces_the_folder_in_which_one_is(folder, monkeypatch):
    checkpoint = load_checkpoint(folder)
    monkeypatch.chdir(folder)
    save_checkpoint(Path(), checkpoint)
    load_checkpoint(folder)


def test_saving_beside_other_files_deletes_nothing(folder, tmp_path):
    checkpoint = load_checkpoint(folder)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointOccupied, match=r"copy holds notes.txt beside a checkpoint"):
        save_checkpoint(folder, checkpoint)
    assert (folder / "notes.txt").read_text() == "mine"
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    for number in range(7):
        (thesis / f"chapter-{number}").mkdir()
    named = r"thesis holds chapter-0, .*chapter-4 and 2 more and no manifest.json: it is no check"
    with pytest.raises(CheckpointOccupied, match=named):
        save_checkpoint(thesis, checkpoint)
    assert len(list(thesis.iterdir())) == 7
    with pytest.raises(CheckpointOccupied, match=r"notes.txt is a file"):
        save_checkpoint(folder / "notes.txt", checkpoint)


def test_a_checkpoint_of_another_format_may_be_replaced(folder):
    checkpoint = load_checkpoint(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 1}))
    save_checkpoint(folder, checkpoint)
    load_checkpoint(folder)


def test_a_kill_between_the_renames_leaves_the_old_one_and_says_where(folder, monkeypatch):
    checkpoint = load_checkpoint(folder)
    rename = Path.rename

    def killed(path, target):
        if path.name.endswith(".new"):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(folder, checkpoint)
    with pytest.raises(CheckpointMissing, match=r"copy\.old is what it was before"):
        load_checkpoint(folder)
    load_checkpoint(folder.with_name("copy.old"))


def test_the_torch_network_comes_back_with_its_weights(folder, network, cohort):
    again = load_network(load_checkpoint(folder), (folder / WEIGHTS).read_bytes())
    batch = collate(cohort[:4])
    np.testing.assert_array_equal(
        again(batch).logits.detach().numpy(), network(batch).logits.detach().numpy()
    )


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointMissing, match=r"nowhere: there is no such checkpoint folder"):
        load_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointMissing, match=rf"{name}: manifest.json lists this file"):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_refused(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(CheckpointDamaged, match=rf"{name}: sha256 is [0-9a-f]{{64}}, manifest"):
        load_checkpoint(folder)


def test_an_unlisted_file_is_missing(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"]["fuse.onnx"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointMissing, match=r"fuse.onnx: manifest.json does not list"):
        load_checkpoint(folder)


def test_a_path_in_the_manifest_is_not_followed(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"]["../small/config.json"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointMissing, match="lists this file"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("manifest", "error", "message"),
    [
        (None, CheckpointMissing, "a checkpoint has a manifest"),
        (b"{", CheckpointDamaged, "expected an object with 'format' and 'sha256'"),
        (b"[]", CheckpointDamaged, "expected an object with 'format' and 'sha256'"),
        (b'{"format": 1}', CheckpointDamaged, "KeyError: 'sha256'"),
        (b'{"format": 99, "sha256": {}}', CheckpointIncompatible, "format 99, but this version"),
    ],
)
def test_a_bad_manifest(folder, manifest, error, message):
    if manifest is None:
        (folder / "manifest.json").unlink()
    else:
        (folder / "manifest.json").write_bytes(manifest)
    with pytest.raises(error, match=message):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("config.json", lambda d: d.pop("name"), "config.json: not as this version expects"),
        ("config.json", lambda d: d.update(tasks=[]), "a model has at least one task"),
        ("config.json", lambda d: d.update(extra=1), "unexpected keyword argument 'extra'"),
        ("vocabulary.json", lambda d: d.pop("channels"), "KeyError: 'channels'"),
        ("calibration.json", lambda d: d.clear(), f"has no entry for task '{TASK}'"),
        ("conformal.json", lambda d: d.clear(), f"has no entry for task '{TASK}'"),
        (
            "applicability.json",
            lambda d: d["structured_ranges"].pop(),
            "structured_ranges has 8 entries, vocabulary.json has 9",
        ),
        (
            "normalisation.json",
            lambda d: d["device"]["low"].append([]),
            r"normalisation.json: device has \d entries, vocabulary.json has",
        ),
        ("normalisation.json", lambda d: d.pop("device"), "KeyError: 'device'"),
    ],
)
def test_files_that_do_not_fit_are_refused(folder, name, change, message):
    change_json(folder, name, change)
    with pytest.raises(CheckpointIncompatible, match=message):
        load_checkpoint(folder)


def test_text_that_is_not_json(folder):
    rewrite(folder, "calibration.json", b"\xff\xfe")
    with pytest.raises(CheckpointError, match=r"calibration\.json: not as this version expects"):
        load_checkpoint(folder)
