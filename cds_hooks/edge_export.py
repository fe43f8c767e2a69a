"""``meam export --edge``: the service in one folder, for a machine without a network.

::

    serve  self-test  meam   what is run there
    launch.py                finds everything below, with the standard library alone
    settings.toml trial.toml settings to fill in; settings to try it out on this machine only
    lib/                     our own code, without training, and the checkpoint where it is shipped
    packages/                what it needs of others (edge_packages.py), all-MiniLM-L6-v2 among it
    golden.json              invented patients, and what the exporter predicted for them
    manifest.json            what it was made for, and the sha256 of every other file

The folder is written beside its place, tested there in a fresh process without any variable of
the environment, and only then moved.
"""

from __future__ import annotations

import json
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from cds_hooks import edge_launcher
from cds_hooks.edge_golden import MOMENT, write_golden
from cds_hooks.edge_packages import copy_packages
from cds_hooks.edge_texts import README, SETTINGS, STARTER, TRIAL
from cds_hooks.errors import CommandError
from fhir_adapters.datasets.sample_patients import sample_charts
from model.checkpoint import ENCODER, load_checkpoint
from model.exported_encoder import MANIFEST, encoder_files, own_encoder
from model.predictor import load_predictor
from model.sentence_encoder import PACKAGE

FORMAT: Final = 1
STARTERS: Final = ("serve", "self-test", "meam")
OURS: Final = ("cds_hooks", "fhir_adapters", "model")
NOT_OURS: Final = ("__pycache__", "training", "checkpoints", "demo.py")
CHECKPOINT: Final = Path("lib", "model", "checkpoints", "meam-risk")  # the default of settings.py
ROOT: Final = Path(__file__).parent.parent
PATIENCE_S: Final = 900  # on a busy machine; some seconds on an idle one

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class EdgeExport:
    """What is exported where. ``encoder`` None: the checkpoint's own, or the installed one."""

    target: Path
    checkpoint: Path
    encoder: Path | None = None
    int8: bool = False


def export_edge(job: EdgeExport, say: Say) -> Path:
    """Write the folder and test it. Raises CommandError and ModelError."""
    if job.target.exists():
        raise CommandError(f"{job.target} exists already; name a new folder, or remove it")
    load_checkpoint(job.checkpoint)  # its faults are told of the folder that was named, not a copy
    new = job.target.with_name(f"{job.target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    say("code and packages")
    versions = _copy_code(new)
    say("model and sentence encoder")
    copy_model(job, new)
    say("predictions to compare with")
    _write_golden(job, new)
    _write_texts(job, new)
    write_manifest(new, versions)
    say("self-test in a fresh process")
    self_test(new)
    keep_byte_code(new)
    write_manifest(new, versions)
    new.rename(job.target)
    return job.target


def copy_model(job: EdgeExport, folder: Path) -> None:
    """Put checkpoint and encoder where the service looks for them without any setting."""
    checkpoint = folder / CHECKPOINT
    ignored = shutil.ignore_patterns(ENCODER)
    shutil.copytree(job.checkpoint, checkpoint, ignore=ignored)
    source = job.encoder or own_encoder(job.checkpoint)
    if job.int8:
        from model.training.encoder_quantise import quantise_encoder

        quantise_encoder(source, checkpoint / ENCODER)
    elif source is not None and (source / MANIFEST).is_file():
        shutil.copytree(source, checkpoint / ENCODER)
    else:
        files, target = encoder_files(source), folder / "packages" / PACKAGE / "model"
        target.mkdir(parents=True)
        for file in (files.weights, files.tokenizer):
            shutil.copyfile(file, target / file.name)


def _write_golden(job: EdgeExport, folder: Path) -> None:
    """Predict as the exported service will, but from here."""
    encoder = None if job.int8 else job.encoder
    variant = "int8" if job.int8 else ""
    predictor = load_predictor(
        folder / CHECKPOINT, encoder_path=encoder, encoder_variant=variant, threads=1
    )
    charts = list(sample_charts(MOMENT).values())
    write_golden(folder / "golden.json", charts, predictor)


def _copy_code(folder: Path) -> dict[str, str]:
    for name in OURS:
        ignored = shutil.ignore_patterns(*NOT_OURS)
        shutil.copytree(ROOT / name, folder / "lib" / name, ignore=ignored)
    versions = copy_packages(folder / "packages")
    metadata = folder / "packages" / "meam_cds.dist-info"
    metadata.mkdir()
    ours = own_version()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: meam-cds\nVersion: {ours}\n")
    return {"meam-cds": ours, **versions}


def own_version() -> str:
    """The version that is installed; of a source tree that is not, what its project file says."""
    try:
        return version("meam-cds")
    except PackageNotFoundError:
        import tomllib

        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        return str(project["project"]["version"])


def _write_texts(job: EdgeExport, folder: Path) -> None:
    shutil.copyfile(str(edge_launcher.__file__), folder / "launch.py")
    for name in STARTERS:
        (folder / name).write_text(STARTER.format(command="" if name == "meam" else name))
        (folder / name).chmod(0o755)
    variant = 'encoder_variant = "int8"\n' if job.int8 else ""
    (folder / "settings.toml").write_text(SETTINGS.format(variant=variant), encoding="utf-8")
    (folder / "trial.toml").write_text(TRIAL.format(variant=variant), encoding="utf-8")
    (folder / "README.txt").write_text(
        README.format(**edge_launcher.this_python()), encoding="utf-8"
    )


def write_manifest(folder: Path, versions: dict[str, str]) -> None:
    """List every file with its digest, but the settings, which a site changes."""
    digests = {}
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        if file.is_file() and name not in ("manifest.json", "settings.toml"):
            with file.open("rb") as stream:
                digests[name] = file_digest(stream, "sha256").hexdigest()
    manifest = {
        "format": FORMAT,
        "made_for": edge_launcher.this_python(),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "packages": versions,
        "sha256": digests,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def self_test(folder: Path) -> str:
    """Run the folder's own self-test with an empty environment. Raises CommandError."""
    try:
        done = subprocess.run(  # noqa: S603  # no shell, our own arguments
            [sys.executable, str(folder / "self-test")],
            env={},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise CommandError(f"the self-test of the export took over {PATIENCE_S} s") from exc
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise CommandError(f"the self-test of the export failed: {' | '.join(said[-3:])}")
    return done.stdout


def keep_byte_code(folder: Path) -> None:
    """Compile what the self-test used so that it stays valid wherever the folder is copied to.

    Byte code is usually checked by the source's time of change, which copying may not keep; this
    is checked by nothing but the manifest. The rest is compiled when it is first used.
    """
    for compiled in folder.rglob("__pycache__/*.pyc"):
        source = compiled.parent.parent / f"{compiled.name.partition('.')[0]}.py"
        compiled.unlink()
        if source.is_file():
            py_compile.compile(
                str(source),
                cfile=str(compiled),
                dfile=str(source.relative_to(folder)),
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
