"""Makes each peer's own environment below ``build/peers``, at the versions of ``locks``."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE.parent.parent / "build" / "peers"
_READY = ".ready"
_LONGEST_S = 1_800  # a slow network


class PeerMissing(Exception):
    """A peer's environment cannot be made here; the message is one sentence."""


def is_ready(name: str, lock: str) -> bool:
    """Say whether the environment is there, and of these versions."""
    mark = BUILD / name / _READY
    return mark.is_file() and mark.read_text() == _digest(lock)


def python_environment(name: str, lock: str, then: Sequence[str] = ()) -> Path:
    """Make a virtual environment with the packages of a lock file. Raises PeerMissing.

    ``then``: a program of the environment and its arguments, run once in its folder.
    """
    folder = BUILD / name
    if is_ready(name, lock):
        return folder
    _empty(folder)
    venv.create(folder / "venv", with_pip=True)
    pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "-q", "--no-deps"]
    _run([*pip, "-r", str(HERE / "locks" / lock)], folder, name)
    if then:
        _run([str(folder / "venv" / "bin" / then[0]), *then[1:]], folder, name)
    (folder / _READY).write_text(_digest(lock))
    return folder


def node_environment(name: str, lock: str) -> Path:
    """Make a folder with the packages of a lock file. Raises PeerMissing."""
    folder = BUILD / name
    if is_ready(name, lock):
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise PeerMissing(f"{name}: npm is not installed.")
    _empty(folder)
    (folder / "package.json").write_text('{"private": true}\n')
    packages = (HERE / "locks" / lock).read_text().split()
    quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    _run([npm, "install", "--no-save", *quiet, *packages], folder, name)
    (folder / _READY).write_text(_digest(lock))
    return folder


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _run(command: Sequence[str], folder: Path, name: str) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    with (folder / "install.log").open("ab") as log:
        done = subprocess.run(
            command, cwd=folder, env=kept, stdout=log, stderr=log, timeout=_LONGEST_S, check=False
        )
    if done.returncode != 0:
        raise PeerMissing(f"{name}: '{Path(command[0]).name}' failed; see {folder}/install.log.")


def _digest(lock: str) -> str:
    text = (HERE / "locks" / lock).read_bytes() + sys.version.encode()
    return hashlib.sha256(text).hexdigest()
