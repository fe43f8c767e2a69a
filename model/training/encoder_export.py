"""From a folder of a Hugging Face encoder to one that serves without torch.

The graph is written by hand for four families, and its weights are those that transformers loads
from model.safetensors. What the exported encoder says is compared with transformers' own output
(mean over word pieces, unit length) before the folder is kept.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn

from model.errors import SentenceEncoderUnsupported
from model.exported_encoder import (
    FILES,
    GRAPH,
    MANIFEST,
    TOKENIZER,
    WEIGHTS,
    WIDEST,
    EncoderManifest,
    ExportedEncoder,
    read_manifest,
)
from model.sentence_encoder import MAX_WORD_PIECES
from model.training.sentence_graph import (
    BERT_NAMES,
    DISTILBERT_NAMES,
    MPNET_NAMES,
    EncoderShape,
    write_graph,
)

TOLERANCE: Final = 1e-4  # of a coordinate of a unit vector; float32 sums differ by some 1e-6
FEWEST_PIECES: Final = 16  # a model that reads less has no place for a sentence
READ: Final = ("config.json", "model.safetensors", "tokenizer.json")
BERT_LIKE: Final = ("bert",)
ROBERTA_LIKE: Final = ("roberta", "xlm-roberta", "camembert")
SUPPORTED: Final = (*BERT_LIKE, *ROBERTA_LIKE, "distilbert", "mpnet")
ACTIVATIONS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "gelu": ("Gelu", {}),
    "gelu_new": ("Gelu", {"approximate": "tanh"}),
    "gelu_pytorch_tanh": ("Gelu", {"approximate": "tanh"}),
    "relu": ("Relu", {}),
}
PICKLES: Final = ("pytorch_model.bin", "pytorch_model.bin.index.json")
DECODERS: Final = ("CausalLM", "LMHeadModel")  # ends of the names of architectures
NOT_USED: Final = "pooler."  # of the weights: sentence vectors are means over word pieces
PROBES: Final = (
    "Denies chest pain.",
    "Lactate 9.8 mmol/L, vasopressors increased overnight; family meeting planned.",
    "Größe 180 cm, Dyspnoe, keine Ödeme.",
    "ok",
    " ".join(["word"] * 400),
)


def export_encoder(source: Path, target: Path) -> Path:
    """Export the encoder of ``source`` into ``target``, unless it holds that export; return it.

    The name of the encoder is that of the folder. Raises SentenceEncoderUnsupported, which says
    what is missing or not possible.
    """
    config = _config(source)
    _require_encoder(source, config)
    _require_files(source)
    digest = _digest(source)
    if (target / MANIFEST).is_file() and read_manifest(target).source == digest:
        return target
    shape = _shape(source, _with_defaults(source, config))
    new = target.with_name(f"{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    network = _load(source)
    graph, names = write_graph(shape)
    (new / GRAPH).write_bytes(graph.SerializeToString(deterministic=True))
    save_file(_weights(source, network, names), new / WEIGHTS)
    shutil.copyfile(source / "tokenizer.json", new / TOKENIZER)
    digests = {file: sha256((new / file).read_bytes()).hexdigest() for file in FILES}
    _write_manifest(new, shape, digests, digest, difference=0.0)
    found = ExportedEncoder(new).encode(PROBES)
    difference = float(np.abs(found - _expected(source, network, shape)).max())
    if not difference <= TOLERANCE:
        raise SentenceEncoderUnsupported(
            f"{source}: the exported encoder differs from transformers by {difference:.1e} in a"
            f" coordinate; at most {TOLERANCE:.0e} is allowed"
        )
    _write_manifest(new, shape, digests, digest, difference=difference)
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)
    return target


def _write_manifest(
    folder: Path, shape: EncoderShape, digests: dict[str, str], source: str, *, difference: float
) -> None:
    manifest = EncoderManifest(
        name=shape.name,
        width=shape.width,
        most_pieces=shape.most_pieces,
        sha256=digests,
        source=source,
        largest_difference=difference,
    )
    (folder / MANIFEST).write_bytes(manifest.to_json())


def _config(source: Path) -> dict[str, Any]:
    path = source / "config.json"
    if not path.is_file():
        raise SentenceEncoderUnsupported(
            f"{path} is not there: the folder of a Hugging Face encoder holds {', '.join(READ)}"
        )
    try:
        config = json.loads(path.read_bytes())
    except ValueError as exc:
        raise SentenceEncoderUnsupported(f"{path}: not JSON: {exc}") from exc
    if not isinstance(config, dict) or "model_type" not in config:
        raise SentenceEncoderUnsupported(f"{path}: expected an object with model_type")
    return config


def _require_files(source: Path) -> None:
    if not (source / "model.safetensors").is_file():
        said = f"{source / 'model.safetensors'} is not there"
        pickle = next((name for name in PICKLES if (source / name).is_file()), "")
        if pickle:
            said += (
                f"; {pickle} is a pickle, which can run any code when it is read, and is not"
                " opened: save the model as safetensors (save_pretrained does)"
            )
        elif (source / "model.safetensors.index.json").is_file():
            said += "; weights in several files are not read: save the model as one"
        raise SentenceEncoderUnsupported(f"{said}.")
    if not (source / "tokenizer.json").is_file():
        raise SentenceEncoderUnsupported(
            f"{source / 'tokenizer.json'} is not there: only fast tokenizers are served;"
            " AutoTokenizer.from_pretrained(...).save_pretrained(...) writes one for most models."
        )


def _require_encoder(source: Path, config: Mapping[str, Any]) -> None:
    kind = config["model_type"]
    decoder = config.get("is_decoder") or any(
        str(name).endswith(DECODERS) for name in config.get("architectures") or ()
    )
    if decoder:
        raise SentenceEncoderUnsupported(
            f"{source}: a decoder ({kind}) reads each word without those that follow; an encoder"
            f" is needed: {', '.join(SUPPORTED)}"
        )
    if kind not in SUPPORTED:
        raise SentenceEncoderUnsupported(
            f"{source}: architecture {kind!r} is not supported; these are: {', '.join(SUPPORTED)}"
        )


def _with_defaults(source: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with what the file leaves to transformers."""
    from transformers import AutoConfig

    whole = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    return {**whole.to_dict(), **config}


def _shape(source: Path, config: Mapping[str, Any]) -> EncoderShape:
    """Return sizes and kind. Raises SentenceEncoderUnsupported for what the graph cannot say."""
    kind = config["model_type"]
    distilled = kind == "distilbert"
    placed = config.get("position_embedding_type", "absolute")
    act = str(config["activation" if distilled else "hidden_act"])
    width = int(config["dim" if distilled else "hidden_size"])
    if placed != "absolute" or act not in ACTIVATIONS:
        raise SentenceEncoderUnsupported(
            f"{source}: positions {placed!r} with activation {act!r} are not supported; absolute"
            f" positions with {', '.join(ACTIVATIONS)} are"
        )
    if width > WIDEST:
        raise SentenceEncoderUnsupported(
            f"{source}: its width is {width}; encoders up to {WIDEST} are supported"
        )
    behind = kind in ROBERTA_LIKE or kind == "mpnet"  # positions begin behind the padding's
    padding = 1 if kind == "mpnet" else int(config["pad_token_id"] or 0)
    first = padding + 1 if behind else 0
    positions = int(config["max_position_embeddings"])
    pieces = min(MAX_WORD_PIECES, positions - first)
    vocabulary = int(config["vocab_size"])
    words = Tokenizer.from_file(str(source / "tokenizer.json")).get_vocab_size()
    if pieces < FEWEST_PIECES or words > vocabulary:
        raise SentenceEncoderUnsupported(
            f"{source}: {pieces} word pieces a sentence, {words} words in tokenizer.json and"
            f" {vocabulary} in the model; at least {FEWEST_PIECES} pieces are needed, and no word"
            " that the model does not know"
        )
    operator, attributes = ACTIVATIONS[act]
    return EncoderShape(
        name=re.sub(r"[^A-Za-z0-9_.-]+", "-", source.resolve().name)[:100] or "encoder",
        layers=int(config["n_layers" if distilled else "num_hidden_layers"]),
        width=width,
        heads=int(config["n_heads" if distilled else "num_attention_heads"]),
        hidden=int(config["hidden_dim" if distilled else "intermediate_size"]),
        vocabulary=vocabulary,
        positions=positions,
        epsilon=1e-12 if distilled else float(config["layer_norm_eps"]),
        types=0 if kind in ("distilbert", "mpnet") else int(config["type_vocab_size"]),
        first_position=first,
        buckets=int(config["relative_attention_num_buckets"]) if kind == "mpnet" else 0,
        most_pieces=pieces,
        activation=operator,
        activation_attributes=attributes,
        names={"distilbert": DISTILBERT_NAMES, "mpnet": MPNET_NAMES}.get(kind, BERT_NAMES),
    )


def _load(source: Path) -> nn.Module:
    """Return transformers' own network, from safetensors alone, without code of the folder."""
    from transformers import AutoModel, logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    network, report = AutoModel.from_pretrained(
        source,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        dtype=torch.float32,
        output_loading_info=True,
    )
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(NOT_USED))
    if missing:
        raise SentenceEncoderUnsupported(
            f"{source / 'model.safetensors'}: {len(missing)} weights are missing, the first"
            f" {missing[0]}"
        )
    return network.eval()


def _weights(source: Path, network: nn.Module, names: list[str]) -> dict[str, torch.Tensor]:
    state = network.state_dict()
    absent = [name for name in names if name not in state]
    if absent:
        raise SentenceEncoderUnsupported(
            f"{source}: the network has no weight {absent[0]}; the architecture is another than"
            " its model_type says"
        )
    return {name: state[name].float().contiguous().clone() for name in names}


@torch.no_grad()
def _expected(source: Path, network: nn.Module, shape: EncoderShape) -> npt.NDArray[np.float32]:
    """Return what transformers says of the probes, one sentence at a time: no padding."""
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.enable_truncation(shape.most_pieces)
    tokenizer.no_padding()
    rows = []
    for text in PROBES:
        ids = torch.tensor([tokenizer.encode(text).ids])
        hidden = network(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        rows.append(nn.functional.normalize(hidden.mean(dim=1), dim=1)[0].numpy())
    return np.stack(rows)


def _digest(source: Path) -> str:
    digest = sha256()
    for name in READ:
        with (source / name).open("rb") as stream:
            digest.update(file_digest(stream, "sha256").digest())
    return digest.hexdigest()
