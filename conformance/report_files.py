"""Reports for machines: JSON, JUnit XML and FHIR TestReport."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from typing import Any

from conformance.case import Level
from conformance.evidence import Exchange
from conformance.runner import VERDICTS, Result, Run

_ACTION = {"pass": "pass", "fail": "fail", "skip": "skip", "omit": "skip", "error": "error"}


def to_json(run: Run) -> str:
    """Return the whole run as JSON."""
    whole = {
        "service": run.service,
        "serviceId": run.service_id,
        "version": run.version,
        "startedAt": run.started_at.isoformat(timespec="seconds"),
        "seconds": round(run.seconds, 3),
        "requests": run.requests,
        "facts": dict(run.facts),
        "counts": {verdict: run.count(verdict) for verdict in VERDICTS},
        "results": [_as_object(result) for result in run.results],
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def to_junit(run: Run, fail_on: Level) -> str:
    """Return the run as JUnit XML: one test suite, one test case for each case.

    What is weaker than ``fail_on`` and not kept is skipped: whoever reads the file calls a run
    failed with one failure in it, and this one ended with 0.
    """
    failed = [one.verdict for one in run.results if one.failed(fail_on)]
    suite = ElementTree.Element(
        "testsuite",
        name=f"CDS Hooks {run.version}",
        timestamp=run.started_at.isoformat(timespec="seconds"),
        tests=str(len(run.results)),
        failures=str(failed.count("fail")),
        errors=str(failed.count("error")),
        skipped=str(len(run.results) - run.count("pass") - len(failed)),
        time=f"{run.seconds:.3f}",
    )
    for result in run.results:
        _test_case(suite, result, fail_on)
    ElementTree.indent(suite)
    text = ElementTree.tostring(suite, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def to_test_report(run: Run, fail_on: Level) -> str:
    """Return the run as a FHIR R4 TestReport; what is weaker than ``fail_on`` is a warning."""
    judged = run.count("pass") + run.count("fail")
    failed = run.failed(fail_on)
    report = {
        "resourceType": "TestReport",
        "status": "completed",
        "testScript": {"display": f"CDS Hooks {run.version} conformance suite"},
        "result": "fail" if failed else "pending" if run.untried else "pass",
        "score": round(100 * run.count("pass") / judged, 1) if judged else 0,
        "tester": "CDS Hooks conformance suite",
        "issued": run.started_at.isoformat(timespec="seconds"),
        "participant": [{"type": "server", "uri": run.service}],
        "test": [_test(result, fail_on) for result in run.results],
    }
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def _as_object(result: Result) -> dict[str, Any]:
    case = result.case
    whole: dict[str, Any] = {
        "case": case.id,
        "description": case.description,
        "requirements": list(case.requirements),
        "area": case.area,
        "link": case.link,
        "level": case.level,
        "verdict": result.verdict,
        "seconds": round(result.seconds, 3),
    }
    if case.invariant:
        whole["invariant"] = case.invariant
    if result.findings:
        whole["findings"] = list(result.findings)
    if result.evidence:
        whole["evidence"] = [_as_exchange(one) for one in result.evidence]
    return whole


def _as_exchange(exchange: Exchange) -> dict[str, Any]:
    return {
        "what": exchange.what,
        "request": exchange.request,
        "response": exchange.response,
        "elapsedMs": round(exchange.elapsed_ms, 1),
    }


def _test_case(suite: ElementTree.Element, result: Result, fail_on: Level) -> None:
    case = result.case
    area = f"cds-hooks.{case.level.lower()}"
    test = ElementTree.SubElement(
        suite, "testcase", name=case.id, classname=area, time=f"{result.seconds:.3f}"
    )
    if result.verdict == "pass":
        return
    names = {"fail": "failure", "error": "error"}
    name = names[result.verdict] if result.failed(fail_on) else "skipped"
    said = _weakly(result, fail_on) + " ".join(result.findings)
    node = ElementTree.SubElement(test, name, message=said)
    if name != "skipped":
        node.text = f"{case.description}\n{said}\n{case.link}"


def _weakly(result: Result, fail_on: Level) -> str:
    """Say of a rule that ended no run that it is not kept all the same."""
    if result.verdict not in ("fail", "error") or result.failed(fail_on):
        return ""
    return f"{result.case.level} {'not kept' if result.verdict == 'fail' else 'not tried'}: "


def _test(result: Result, fail_on: Level) -> dict[str, Any]:
    weakly = _weakly(result, fail_on)
    action: dict[str, Any] = {"result": "warning" if weakly else _ACTION[result.verdict]}
    if result.findings:
        action["message"] = weakly + " ".join(result.findings)
    return {
        "name": result.case.id,
        "description": result.case.description,
        "action": [{"assert": {**action, "detail": ", ".join(result.case.requirements)}}],
    }


def by_level(run: Run) -> dict[str, dict[str, int]]:
    """Return how many cases of each level got each verdict."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(VERDICTS, 0))
    for result in run.results:
        counts[result.case.level][result.verdict] += 1
    return counts
