"""The int8 variant of a sentence encoder: near its parent, declared, taken only when asked for."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra 'train' is not installed")

from model.checkpoint import load_checkpoint
from model.errors import (
    CheckpointIncompatible,
    SentenceEncoderDamaged,
    SentenceEncoderUnsupported,
)
from model.exported_encoder import ExportedEncoder, open_encoder, read_manifest
from model.predictor import Predictor
from model.sentence_encoder import PACKAGE, MiniLMEncoder
from model.training.encoder_quantise import SENTENCES, quantise_encoder
from model.training.int8_graph import smoothing
from tests.model import worlds

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None, reason=f"package {PACKAGE} is not installed"
)

UNSEEN = [
    "Patient reports chest pain radiating to the left arm.",
    "He denies chest pain.",
    "Mottled skin, cool extremities, capillary refill 5 seconds.",
    "Größe 180 cm, Dyspnoe, keine Ödeme.",
    " ".join(["word"] * 400),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quantise_encoder(None, tmp_path_factory.mktemp("encoders") / "int8")


@pytest.fixture(scope="module")
def parent() -> MiniLMEncoder:
    return MiniLMEncoder(threads=1)


@pytest.fixture(scope="module")
def variant(folder: Path) -> ExportedEncoder:
    return ExportedEncoder(folder, threads=1)


def test_vectors_point_where_those_of_the_parent_do(
    variant: ExportedEncoder, parent: MiniLMEncoder
) -> None:
    cosines = (variant.encode(UNSEEN) * parent.encode(UNSEEN)).sum(axis=1)
    assert cosines.min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(variant.encode(UNSEEN), axis=1), 1, atol=1e-5)


def test_it_is_another_encoder_and_not_the_parent_again(
    variant: ExportedEncoder, parent: MiniLMEncoder
) -> None:
    assert np.abs(variant.encode(UNSEEN) - parent.encode(UNSEEN)).max() > 1e-3
    assert variant.identity != parent.identity
    assert (variant.variant, variant.parent) == ("int8", parent.identity)


def test_a_sentence_has_the_same_vector_in_any_company(variant: ExportedEncoder) -> None:
    together = variant.embed([*UNSEEN, *SENTENCES])
    for row, text in enumerate(UNSEEN):
        np.testing.assert_allclose(variant.embed([text])[0], together[row], atol=2e-3)


def test_assertions_stay_apart(variant: ExportedEncoder, parent: MiniLMEncoder) -> None:
    """A denied finding is as far from a present one as with the parent."""
    texts = ["Chest pain.", "Denies chest pain.", "Discharged home."]
    found, expected = (one.encode(texts) @ one.encode(texts).T for one in (variant, parent))
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_it_is_a_quarter_of_the_size(folder: Path) -> None:
    assert sum(file.stat().st_size for file in folder.iterdir()) < 25e6


def test_the_manifest_says_how_far_it_is_from_its_parent(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert 1e-3 < manifest.largest_difference < 0.03
    assert "variant" in json.loads((folder / "manifest.json").read_text())


def test_a_variant_is_not_quantised_again(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SentenceEncoderUnsupported, match="is a variant already \\(int8\\)"):
        quantise_encoder(folder, tmp_path / "again")


def test_a_changed_parent_changes_the_identity(folder: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(folder, tmp_path / "copy")
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["parent"] = "another"
    (copied / "manifest.json").write_text(json.dumps(manifest))
    assert read_manifest(copied).identity != read_manifest(folder).identity


def test_a_variant_without_a_parent_is_refused(folder: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(folder, tmp_path / "copy")
    manifest = json.loads((copied / "manifest.json").read_text())
    del manifest["parent"]
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SentenceEncoderDamaged, match="variant and parent both or none"):
        open_encoder(copied)


def trained_with(checkpoint_folder: Path, identity: str) -> object:
    checkpoint = load_checkpoint(checkpoint_folder)
    return replace(checkpoint, info=replace(checkpoint.info, sentence_encoder=identity))


def test_a_checkpoint_takes_it_only_when_asked(
    checkpoint_folder: Path, variant: ExportedEncoder
) -> None:
    checkpoint = trained_with(checkpoint_folder, variant.parent)
    with pytest.raises(CheckpointIncompatible, match='encoder_variant = "int8" asks for it'):
        Predictor(checkpoint, variant, threads=1)
    predictor = Predictor(checkpoint, variant, threads=1, encoder_variant="int8")
    assert predictor.version == f"{checkpoint.info.version}+int8"


def test_the_version_on_the_card_tells_it(
    checkpoint_folder: Path, variant: ExportedEncoder
) -> None:
    checkpoint = trained_with(checkpoint_folder, variant.parent)
    predictor = Predictor(checkpoint, variant, threads=1, encoder_variant="int8")
    prediction, _ = predictor(worlds.chart())
    assert prediction.model_version.endswith("+int8")


def test_a_variant_of_another_encoder_is_refused(
    checkpoint_folder: Path, variant: ExportedEncoder
) -> None:
    checkpoint = trained_with(checkpoint_folder, "another sha256:00")
    with pytest.raises(CheckpointIncompatible, match=r"'all-MiniLM-L6-v2-int8 .*' is installed"):
        Predictor(checkpoint, variant, threads=1, encoder_variant="int8")


def test_asking_for_a_variant_that_is_not_there_is_refused(
    checkpoint_folder: Path, parent: MiniLMEncoder
) -> None:
    checkpoint = trained_with(checkpoint_folder, parent.identity)
    with pytest.raises(
        CheckpointIncompatible, match="the variant 'int8' that was asked for is not"
    ):
        Predictor(checkpoint, parent, threads=1, encoder_variant="int8")


def test_smoothing_splits_the_range_of_a_channel_evenly() -> None:
    factor = smoothing(np.float32([100.0, 1.0]), [np.float32([[1.0, 1.0], [0.5, 4.0]])])
    np.testing.assert_allclose(factor, [10.0, 0.5])
