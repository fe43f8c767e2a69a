"""Any Hugging Face encoder: exported, compared with transformers, and refused in plain words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("transformers", reason="the extra 'train' is not installed")

import torch
import transformers

from model.errors import SentenceEncoderDamaged, SentenceEncoderUnsupported
from model.exported_encoder import ExportedEncoder, open_encoder, read_manifest
from model.training.encoder_export import TOLERANCE, export_encoder
from model.training.encoder_quantise import quantise_encoder
from tests.model.tiny_encoders import KINDS, tiny_encoder

SENTENCES = [
    "Denies chest pain.",
    "lactate rising, vasopressors increased overnight",
    "ok",
    "",
    " ".join(["pain"] * 300),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {kind: tiny_encoder(root / f"tiny {kind}", kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_export_says_what_transformers_says(
    folders: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    target = export_encoder(folders[kind], tmp_path / "encoder")
    encoder = ExportedEncoder(target, threads=1)
    model = transformers.AutoModel.from_pretrained(folders[kind]).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[kind])
    pieces = read_manifest(target).most_pieces
    batch = tokenizer(
        SENTENCES, padding=True, truncation=True, max_length=pieces, return_tensors="pt"
    )
    with torch.no_grad():
        hidden = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).last_hidden_state
    mask = batch["attention_mask"][..., None].float()
    expected = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)
    found = encoder.encode(SENTENCES)
    assert found.shape == (len(SENTENCES), encoder.width)
    np.testing.assert_allclose(found, expected.numpy(), atol=TOLERANCE)
    assert np.abs(found[0] - found[1]).max() > 0.01  # random weights, but not all the same
    assert encoder.identity.startswith(f"tiny-{kind} sha256:")
    assert 0 < read_manifest(target).largest_difference < TOLERANCE


def test_the_same_folder_gives_the_same_encoder(folders: dict[str, Path], tmp_path: Path) -> None:
    first = export_encoder(folders["bert"], tmp_path / "a")
    second = export_encoder(folders["bert"], tmp_path / "b")
    assert read_manifest(first).identity == read_manifest(second).identity
    written = (first / "manifest.json").stat().st_mtime_ns
    export_encoder(folders["bert"], first)
    assert (first / "manifest.json").stat().st_mtime_ns == written  # not made again
    export_encoder(folders["distilbert"], first)
    assert read_manifest(first).name == "tiny-distilbert"


def test_an_export_that_was_changed_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    target = export_encoder(folders["bert"], tmp_path / "encoder")
    weights = target / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(SentenceEncoderDamaged, match=r"model\.safetensors: sha256 is"):
        open_encoder(target)


def broken(folder: Path, target: Path, **config: object) -> Path:
    shutil.copytree(folder, target)
    file = target / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return target


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, "a decoder"),
        ({"is_decoder": True}, "a decoder"),
        ({"model_type": "t5", "architectures": ["T5Model"]}, "architecture 't5' is not supported"),
        ({"hidden_size": 2048}, "its width is 2048; encoders up to 1024"),
        ({"hidden_act": "silu"}, "activation 'silu' are not supported"),
        ({"position_embedding_type": "relative_key"}, "positions 'relative_key'"),
        ({"vocab_size": 8}, "no word that the model does not know"),
    ],
)
def test_what_cannot_be_served_is_named(
    folders: dict[str, Path], tmp_path: Path, changes: dict[str, object], sentence: str
) -> None:
    source = broken(folders["bert"], tmp_path / "source", **changes)
    with pytest.raises(SentenceEncoderUnsupported, match=sentence):
        export_encoder(source, tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("config.json", "config.json is not there"),
        ("model.safetensors", "model.safetensors is not there"),
        ("tokenizer.json", "tokenizer.json is not there: only fast tokenizers"),
    ],
)
def test_a_missing_file_is_named(
    folders: dict[str, Path], tmp_path: Path, file: str, sentence: str
) -> None:
    source = broken(folders["bert"], tmp_path / "source")
    (source / file).unlink()
    with pytest.raises(SentenceEncoderUnsupported, match=sentence):
        export_encoder(source, tmp_path / "encoder")


def test_a_pickle_is_not_opened(folders: dict[str, Path], tmp_path: Path) -> None:
    source = broken(folders["bert"], tmp_path / "source")
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    with pytest.raises(SentenceEncoderUnsupported, match="is a pickle, which can run any code"):
        export_encoder(source, tmp_path / "encoder")


def test_weights_that_are_missing_are_not_made_up(folders: dict[str, Path], tmp_path: Path) -> None:
    source = broken(folders["bert"], tmp_path / "source", num_hidden_layers=3)
    with pytest.raises(SentenceEncoderUnsupported, match="weights are missing"):
        export_encoder(source, tmp_path / "encoder")


@pytest.mark.parametrize("kind", ["mpnet", "distilbert"])
def test_an_exported_encoder_is_quantised_too(
    folders: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    whole = export_encoder(folders[kind], tmp_path / "whole")
    small = open_encoder(quantise_encoder(whole, tmp_path / "small"), threads=1)
    parent = open_encoder(whole, threads=1)
    assert (small.encode(SENTENCES) * parent.encode(SENTENCES)).sum(axis=1).min() > 0.98
    assert (small.variant, small.parent) == ("int8", parent.identity)
