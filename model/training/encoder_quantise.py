"""From a sentence encoder in float32 to its variant in int8, for machines with little memory.

The variant has a digest of its own and names its parent; what it costs is measured by
``python -m tests.model.encoder_variants``.
"""

from __future__ import annotations

import mmap
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper
from safetensors.numpy import save_file

from model.errors import SentenceEncoderUnsupported
from model.exported_encoder import (
    FILES,
    GRAPH,
    MANIFEST,
    TOKENIZER,
    WEIGHTS,
    EncoderFiles,
    EncoderManifest,
    ExportedEncoder,
    encoder_files,
    open_encoder,
)
from model.sentence_encoder import Floats, Tensor, WordPieceEncoder, read_tensors
from model.training.int8_graph import Int8Graph, products

VARIANT: Final = "int8"
WORST_COSINE: Final = 0.98  # below this the variant is not worth its name
# Ranges of activations are taken from these; invented, of the kinds that notes hold.
SENTENCES: Final = (
    "Seen on the morning round, resting comfortably.",
    "Denies chest pain or shortness of breath.",
    "Lactate 4.2 mmol/L and rising, urine output 15 ml/h for the last 3 hours.",
    "Family updated by phone; goals of care to be discussed tomorrow.",
    "CT head without contrast: no acute hemorrhage, no midline shift.",
    "On norepinephrine 0.2 mcg/kg/min, intubated and sedated, RASS -4.",
    "Past medical history of diabetes, hypertension and COPD.",
    "Plan: continue piperacillin/tazobactam, wean oxygen as tolerated, PT/OT.",
    "Septic shock.",
    "BP 84/40, HR 128, RR 32, SpO2 88 % on 15 L non-rebreather.",
    "No known drug allergies.",
    "Father died of myocardial infarction at age 52.",
    "pt c/o abd pain x2d, n/v, +BS, soft, NT/ND",
    "If fever recurs, repeat blood cultures.",
    "Creatinine 2.9 mg/dL (baseline 1.1), potassium 5.8 mmol/L, started on CRRT.",
    "Wound edges clean and dry, dressing changed, no drainage.",
)


def quantise_encoder(source: Path | None, target: Path, *, threads: int = 1) -> Path:
    """Write the int8 variant of the encoder of ``source``; None: the installed one.

    Raises SentenceEncoderError: for a ``source`` that is missing, damaged or a variant itself.
    """
    parent = open_encoder(source, threads=threads)
    if parent.variant:
        raise SentenceEncoderUnsupported(f"{source}: this is a variant already ({parent.variant})")
    files = encoder_files(source)
    graph = onnx.load(str(files.graph), load_external_data=False)
    tensors = _tensors(files.weights)
    quantised = Int8Graph(graph, tensors, _ranges(graph, tensors, parent))
    new = target.with_name(f"{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    (new / GRAPH).write_bytes(quantised.graph().SerializeToString(deterministic=True))
    save_file(quantised.tensors, new / WEIGHTS)
    shutil.copyfile(files.tokenizer, new / TOKENIZER)
    _write_manifest(new, parent, files, difference=0.0)
    found, expected = (one.encode(SENTENCES) for one in (ExportedEncoder(new), parent))
    cosine = float((found * expected).sum(axis=1).min())
    if not cosine >= WORST_COSINE:
        raise SentenceEncoderUnsupported(
            f"{parent.identity}: in int8 a sentence has a cosine of {cosine:.3f} to its own vector;"
            f" at least {WORST_COSINE} is expected"
        )
    _write_manifest(new, parent, files, difference=float(np.abs(found - expected).max()))
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)
    return target


def _tensors(weights: Path) -> dict[str, Tensor]:
    with weights.open("rb") as stream:
        return read_tensors(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def _write_manifest(
    folder: Path, parent: WordPieceEncoder, files: EncoderFiles, *, difference: float
) -> None:
    name = parent.identity.partition(" ")[0]
    manifest = EncoderManifest(
        name=f"{name}-{VARIANT}",
        width=parent.width,
        most_pieces=files.most_pieces,
        sha256={file: sha256((folder / file).read_bytes()).hexdigest() for file in FILES},
        source=sha256(parent.identity.encode()).hexdigest(),
        largest_difference=difference,
        variant=VARIANT,
        parent=parent.identity,
    )
    (folder / MANIFEST).write_bytes(manifest.to_json())


def _ranges(
    graph: onnx.ModelProto, tensors: Mapping[str, Tensor], parent: WordPieceEncoder
) -> dict[str, Floats]:
    """Return the largest size of each channel of what is multiplied with weights."""
    watched = onnx.ModelProto()
    watched.CopyFrom(graph)
    names = [product.activations for product in products(graph, tensors)]
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    used = {one.name for one in graph.graph.initializer} & set(tensors)
    options = ort.SessionOptions()
    values = [ort.OrtValue.ortvalue_from_numpy(tensors[name]) for name in used]
    options.add_external_initializers(list(used), values)
    session = ort.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    largest: dict[str, Floats] = {}
    for text in SENTENCES:
        ids = np.array([parent.pieces([text])[0]])
        found = session.run(names, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        for name, rows in zip(names, found, strict=True):
            peak = np.abs(rows).max(axis=0)  # (channels,)
            largest[name] = np.maximum(largest.get(name, peak), peak)
    return largest
