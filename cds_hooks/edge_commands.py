"""``meam export`` and ``meam quantise-encoder``: for machines that are small or have no network."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from cds_hooks.commands import in_one_sentence

_ENCODER_OPTION = click.option(
    "--encoder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a sentence encoder. Default: the checkpoint's own, or the installed one.",
)


@click.command()
@click.option(
    "--edge",
    "target",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder to write; it must not exist.",
)
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a checkpoint. Default: the shipped one.",
)
@_ENCODER_OPTION
@click.option("--int8", is_flag=True, help="Quantise the sentence encoder: 67 MB less.")
@in_one_sentence
def export(target: Path, checkpoint: Path | None, encoder: Path | None, *, int8: bool) -> None:
    """Write the service into one folder that runs without installation and network.

    The folder holds model, sentence encoder, code and packages, and a self-test, which has passed
    when this ends. It runs on machines of this kind with this version of Python. --int8 needs the
    extra "train"; see docs/edge.md for what it costs.
    """
    if int8:
        require_onnx()
    from cds_hooks.edge_export import EdgeExport, export_edge
    from cds_hooks.settings import Settings

    job = EdgeExport(target, checkpoint or Settings().checkpoint, encoder, int8)
    folder = export_edge(job, lambda stage: click.echo(f"{stage} ...", err=True))
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    click.echo(f"Wrote {folder}, {size / 1e6:.0f} MB; the self-test passed.")


@click.command("quantise-encoder")
@click.argument("target", type=click.Path(path_type=Path))
@_ENCODER_OPTION
@in_one_sentence
def quantise_encoder_command(target: Path, encoder: Path | None) -> None:
    """Write the variant of a sentence encoder in 8-bit integers into the folder TARGET.

    It needs a quarter of the memory. Its vectors differ a little from those that the model learnt
    with, so a service uses it only where its settings say encoder_variant = "int8". Needs the
    extra "train".
    """
    require_onnx()
    from cds_hooks.quantise_command import quantise

    click.echo(quantise(encoder, target))


def require_onnx() -> None:
    """Raise one sentence where onnx is not installed."""
    if importlib.util.find_spec("onnx") is None:
        raise click.ClickException(
            "Quantising needs the extra \"train\": pip install -c constraints.txt '.[train]'"
        )
