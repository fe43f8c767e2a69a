"""The packages that serving needs, copied file by file from the environment that runs this.

Copied, not installed: the target needs neither pip nor a network. What only training, tests or
other uses of a package need is left out, each for a reason.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from cds_hooks.errors import CommandError

NEEDED: Final = (
    *("click", "cryptography", "fhirpathpy", "flask", "gunicorn", "itsdangerous", "jinja2"),
    *("lark", "lxml", "markdown-it-py", "markupsafe", "numpy", "onnxruntime", "orjson"),
    *("packaging", "pint", "prometheus-client", "pyjwt", "pypdf", "requests", "rich"),
    *("selectolax", "sqlalchemy", "striprtf", "structlog", "tokenizers"),
    *("ucumvert", "urllib3", "werkzeug"),
)
# Of the dependencies in pyproject.toml, or of what these depend on:
NOT_NEEDED: Final = {
    "fhir-resources": "only 'meam check-recommendations' reads it, which needs 40 MB for that",
    "safetensors": "weights are mapped into memory, not read",
    "huggingface-hub": "tokenizers would download with it",
    "flatbuffers": "for onnxruntime's tools",
    "protobuf": "for onnxruntime's tools",
    "pygments": "rich would colour source code with it",
}
_NOT_NEEDED_FILES: Final = (
    r".*/tests?/.*",
    r"(.*/)?__pycache__/.*",
    r".*\.(pyi|pyx|pxd|c|h|hpp|cpp|a|lib|md)",
    r"[^/]*\.dist-info/(?!METADATA|licenses|LICENSE|COPYING|NOTICE|entry_points).*",
    r"onnxruntime/(transformers|quantization|tools|datasets|backend)/.*",
    r"numpy/(f2py|_pyinstaller|doc)/.*",
    r"numpy/_core/_(simd|.*_tests)\..*",
    r"sqlalchemy/(testing|orm|ext|dialects/(mysql|mssql|oracle))/.*",
    r"lxml/(includes|isoschematron|html)/.*",
    r"lxml/objectify\..*",
    r"pint/testsuite/.*",
    r"(selectolax|tokenizers)/.*\.(pyx|pxd|pyi)",
    r"\.\./.*",  # scripts
)
_IS_NOT_NEEDED = re.compile("|".join(f"(?:{pattern})$" for pattern in _NOT_NEEDED_FILES))


def copy_packages(target: Path) -> dict[str, str]:
    """Copy all packages into a folder; return their versions by name. Raises CommandError."""
    versions = {}
    for one in distributions(NEEDED):
        for file in one.files or ():
            if not is_needed(str(file)):
                continue
            source = Path(str(one.locate_file(file)))
            if source.is_file():
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target / file)
        versions[canonical(one.metadata["Name"])] = one.version
    return versions


def is_needed(file: str) -> bool:
    """Whether serving may read this file of a package."""
    return _IS_NOT_NEEDED.match(file) is None


def distributions(names: Iterable[str]) -> Iterator[Distribution]:
    """Yield what is installed under these names and all that it depends on, once each."""
    pending, seen = list(names), set(NOT_NEEDED)
    while pending:
        name = canonical(pending.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError as exc:
            raise CommandError(f"{name} is not installed, and the service needs it") from exc
        if not found.files:
            raise CommandError(f"{name}: the environment does not know which files it installed")
        yield found
        for line in found.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                pending.append(requirement.name)


def canonical(name: str) -> str:
    """Write the name of a package as indexes do."""
    return re.sub(r"[-_.]+", "-", name).lower()
