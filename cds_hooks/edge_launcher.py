"""Starts what ``meam export --edge`` wrote, with nothing but a Python of the right version.

This file is copied into the folder as launch.py. It knows the standard library only: it checks the
interpreter, puts the folder's own packages on the path and runs one of

    self-test   compare files, predictions and reasons with those of the exporter
    serve       run the service; --config FILE, by default settings.toml of the folder
    ...         any other command of meam
"""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ISOLATED = ("-I", "-S")  # no packages, variables or folders but ours


def main() -> None:
    """Run the command of the first argument."""
    if not (sys.flags.isolated and sys.flags.no_site):
        python = [sys.executable, *ISOLATED, str(FOLDER / "launch.py"), *sys.argv[1:]]
        os.execv(sys.executable, python)  # noqa: S606  # no shell, our own arguments
    require_same_python()
    sys.path[:0] = [str(FOLDER / "lib"), str(FOLDER / "packages")]
    command, *arguments = sys.argv[1:] or ["--help"]
    if command == "self-test":
        from cds_hooks.edge_self_test import main as self_test

        sys.exit(self_test(FOLDER, arguments))
    if command == "serve":
        serve(arguments)
    from cds_hooks.cli import main as meam

    os.environ.setdefault("MEAM_CONFIG", str(FOLDER / "settings.toml"))
    meam(prog_name="meam")


def serve(arguments: list[str]) -> None:
    """Run gunicorn in this process, which the paths above are known to."""
    if arguments and (arguments[0] != "--config" or len(arguments) != 2):
        sys.exit("usage: serve [--config FILE]")
    config = arguments[1] if arguments else str(FOLDER / "settings.toml")
    if not Path(config).is_file():
        sys.exit(f"{config}: there is no such file")
    os.environ["MEAM_CONFIG"] = config
    sys.argv = ["gunicorn", "-c", "python:cds_hooks.gunicorn_conf"]
    from gunicorn.app.wsgiapp import run  # type: ignore[import-untyped]

    from cds_hooks.errors import ServiceError
    from cds_hooks.settings import load_settings

    try:
        load_settings()
    except ServiceError as exc:  # one sentence rather than gunicorn's traceback
        sys.exit(f"Error: {exc}")
    run()


def require_same_python() -> None:
    """Exit with a sentence where the packages were made for another interpreter or machine."""
    made_for = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))["made_for"]
    for name, found in this_python().items():
        if made_for[name] != found:
            sys.exit(
                f"{FOLDER} was exported for {name} {made_for[name]}, and this is {found};"
                " export it again on such a machine"
            )


def this_python() -> dict[str, str]:
    """What binary packages depend on."""
    return {
        "python": f"{platform.python_implementation()} {sys.version_info[0]}.{sys.version_info[1]}",
        "system": platform.system(),
        "machine": platform.machine(),
    }


if __name__ == "__main__":
    main()
