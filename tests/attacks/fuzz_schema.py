"""Requests that schemathesis makes from the OpenAPI document, valid and invalid ones."""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

from tests.attacks.openapi import DOCUMENT
from tests.attacks.target import Target


def schema_cases(made: Target, count: int, seed_number: int) -> None:
    """Share ``count`` requests among the operations that take input; one each for the others."""
    schema: Any = schemathesis.openapi.from_dict(DOCUMENT)
    operations = [found.ok() for found in schema.get_all_operations()]
    modes = [
        (operation, mode)
        for operation in operations
        if operation.method == "post" or "{" in operation.path
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        if operation.method == "post" or mode is GenerationMode.POSITIVE
    ]
    for operation in operations:
        if operation.method == "get" and "{" not in operation.path:
            for method in ("GET", "HEAD", "OPTIONS", "POST"):
                made.send("schema plain", method, operation.path)
    for operation, mode in modes:
        _run(made, operation, mode, max(1, count // len(modes)), seed_number)


def _run(made: Target, operation: Any, mode: GenerationMode, count: int, number: int) -> None:
    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        headers = {**dict(case.headers or {}), "Content-Type": case.media_type or ""}
        body = None
        if operation.method == "post":
            body = case.body if isinstance(case.body, bytes) else _json(case.body)
        made.send(
            f"schema {mode.value}",
            case.method,
            case.formatted_path,
            body=body,
            headers=headers,
            example=f"{case.method} {case.formatted_path[:80]} {str(case.body)[:200]}",
        )

    send()


def _json(body: Any) -> bytes:
    try:
        return json.dumps(body).encode()
    except TypeError:  # schemathesis marks "no body" with an object of its own
        return b""
