"""Who may import whom. The arrows go one way, and serving does without the training libraries."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("cds_hooks", "fhir_adapters", "model", "conformance")
# What each package may import of ours, beside itself.
ALLOWED = {
    "model": (),
    "fhir_adapters": ("model.record",),
    "cds_hooks": (
        *("fhir_adapters", "model.record", "model.prediction", "model.predictor", "model.errors"),
        "model.logistic_line",  # plain numpy: the report's calibration slope is that of training
    ),
    "conformance": (),
}
# What trains or measures the model, and brings data sets and training together: nothing that
# serves imports it.
OFFLINE = (
    *("cds_hooks.training_records", "cds_hooks.train_command", "cds_hooks.evaluate_command"),
    *("cds_hooks.labelled_records", "cds_hooks.bulk_training", "cds_hooks.audit_records"),
    *("cds_hooks.model_audit_command", "cds_hooks.ablate_command"),
    *("cds_hooks.quantise_command", "cds_hooks.edge_export", "cds_hooks.site_evaluation"),
    "fhir_adapters.datasets.wearable",
)
TRAINING_ONLY = {"torch", "transformers", "shap", "lime", "sklearn", "lightgbm", "polars", "onnx"}


@cache
def modules(package: str) -> list[tuple[str, ast.Module]]:
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append((name, ast.parse(path.read_text(encoding="utf-8"))))
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield every module that is imported, and every name that may be one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_import_time(tree: ast.Module) -> Iterator[str]:
    """Yield what is imported when the module is, not inside functions or for type checkers."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(node)
        pending.extend(ast.iter_child_nodes(node))


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_it_may(package):
    ours = (*PACKAGES, "tests")
    wrong = [
        f"{module} imports {name}"
        for module, tree in modules(package)
        if module not in OFFLINE
        for name in imported(tree)
        if within(name, ours) and not within(name, (package, *ALLOWED[package]))
    ]
    assert not wrong


def test_nothing_that_serves_imports_an_offline_module():
    wrong = [
        f"{module} imports {name}"
        for package in PACKAGES
        for module, tree in modules(package)
        if module not in OFFLINE
        for name in at_import_time(tree)
        if within(name, OFFLINE)
    ]
    assert not wrong


def test_the_model_imports_its_training_nowhere_else():
    wrong = [
        f"{module} imports {name}"
        for module, tree in modules("model")
        if not within(module, ("model.training",))
        for name in imported(tree)
        if within(name, ("model.training",))
    ]
    assert not wrong


def test_no_relative_imports():
    wrong = [
        module
        for package in PACKAGES
        for module, tree in modules(package)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not wrong


def test_training_libraries_stay_in_training():
    wrong = [
        f"{module} imports {name}"
        for package in PACKAGES
        for module, tree in modules(package)
        if not within(module, ("model.training", *OFFLINE))
        for name in at_import_time(tree)
        if name.split(".")[0] in TRAINING_ONLY
    ]
    assert not wrong
