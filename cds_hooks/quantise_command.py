"""``meam quantise-encoder``: a sentence encoder's variant in 8-bit integers."""

from __future__ import annotations

from pathlib import Path

from cds_hooks.errors import CommandError
from model.exported_encoder import read_manifest
from model.training.encoder_quantise import VARIANT, quantise_encoder


def quantise(encoder: Path | None, target: Path) -> str:
    """Write the variant of ``encoder`` (None: the installed one); return what to tell the user.

    Raises CommandError where ``target`` exists, and SentenceEncoderError.
    """
    if target.exists():
        raise CommandError(f"{target} exists already; name a new folder, or remove it")
    manifest = read_manifest(quantise_encoder(encoder, target))
    return (
        f"Wrote {target}: {manifest.identity}, at most {manifest.largest_difference:.3f} from its"
        f' parent in a coordinate. To use it: encoder = "{target}", encoder_variant = "{VARIANT}".'
    )
