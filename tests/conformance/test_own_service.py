"""Our own service, as gunicorn serves it, keeps every rule of the suite, in every mode.

All cases are run on the two releases with JWTs on and the shipped model, and some of each kind on
the other modes; ``python -m tests.conformance.own_modes`` runs all cases on every mode.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.runner import VERDICTS
from tests.conformance.own_modes import MODES, Mode, ModeMissing, run_mode
from tests.conformance.suite_world import cases

# What this service sends none of: deletions, system actions, SMART links, topics.
OMITTED = {
    *("app-context-is-a-string", "autolaunchable-is-a-boolean", "source-topic-is-a-coding"),
    *("delete-carries-no-resource", "delete-names-a-relative-reference"),
    *("system-actions-are-an-array", "system-actions-have-a-type"),
    *("system-actions-have-type-and-description", "no-action-selection-behavior"),
    *("action-selection-behavior-is-one-of-three", "encounter-hook-without-encounter-is-refused"),
    *("autolaunchable-is-spelled-so", "one-suggestion-is-recommended-at-most"),
    *("dependent-template-comes-later", "extension-names-are-global", "extensions-are-objects"),
}
DOCS = Path(__file__).parents[2] / "docs"
SKIPPED = {"service-is-called-by-https"}  # it runs on this machine
SHORT = {
    *("discovery-answers-200", "hook-answers-200-with-cards", "missing-jwt-is-refused"),
    *("second-use-of-a-jwt-is-refused", "foreign-signature-is-refused", "no-data-is-412"),
    *("missing-prefetch-is-fetched", "request-without-fhir-server-is-answered"),
    *("fhir-calls-carry-the-token", "feedback-overridden-is-taken", "preflight-is-answered"),
    *("service-is-called-by-https", "no-answer-repeats-a-secret", "missing-hook-is-refused"),
}
FULL = MODES[:2]
# Modes that do not exclude each other, together: a server takes longer to start than to be tried.
TOGETHER = (
    Mode(
        "RS384 with keys by file, tenants, PostgreSQL, nothing prefetched",
        rsa_by_file=True,
        several_issuers=True,
        trust='tenants = ["east", "west"]',
        tenant="west",
        postgresql=True,
        target={"prefetch": False},
    ),
    Mode(
        "3.0 behind nginx, prefetch only",
        version="3.0",
        tls="proxy",
        trust="prefetch_only = true",
        target={"fhir_access": False},
    ),
    Mode("no JWTs, TLS by gunicorn, shadow", signed=False, tls="direct", switch=MODES[-3].switch),
)
# What shows that the run was one of this mode.
PASSED = (
    {
        "second-use-of-a-jwt-is-refused",
        "fhir-calls-carry-the-token",
        "feedback-overridden-is-taken",
    },
    {"second-use-of-a-jwt-is-refused", "service-is-called-by-https", "no-data-is-412"},
    {"service-is-called-by-https", "hook-answers-200-with-cards", "no-data-is-412"},
)


@pytest.mark.parametrize("mode", FULL, ids=lambda mode: mode.name)
def test_our_own_service_keeps_every_rule(tmp_path: Path, mode: Mode) -> None:
    run = run_mode(mode, tmp_path)
    assert not {
        one.case.id: one.findings for one in run.results if one.verdict in ("fail", "error")
    }
    others = {one.case.id for one in run.results if one.verdict != "pass"}
    assert others <= OMITTED | SKIPPED
    counts = " | ".join(str(run.count(verdict)) for verdict in VERDICTS)
    assert f"| {mode.name} | {counts} |" in (DOCS / "conformance.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("mode", "passed"),
    list(zip(TOGETHER, PASSED, strict=True)),
    ids=[mode.name for mode in TOGETHER],
)
def test_in_other_modes_too(tmp_path: Path, mode: Mode, passed: set[str]) -> None:
    try:
        run = run_mode(
            mode, tmp_path, among=SHORT, application="tests.conformance.own_modes:quick()"
        )
    except ModeMissing as exc:
        pytest.skip(str(exc))
    found = {one.case.id: one.findings for one in run.results if one.verdict in ("fail", "error")}
    assert not found
    assert {one.case.id for one in run.results if one.verdict == "pass"} >= passed


def test_the_short_runs_name_real_cases() -> None:
    assert {case.id for case in cases()} >= SHORT | OMITTED | SKIPPED
