"""HTTP answers: refusals as OperationOutcome, and the headers that browsers ask for."""

from __future__ import annotations

import json
from typing import Any

from flask import Request, Response

from cds_hooks.errors import RequestRefused, operation_outcome

_FHIR_JSON = "application/fhir+json"
_PREFLIGHT_S = "600"


def outcome_response(status: int, outcome: dict[str, Any]) -> Response:
    """An OperationOutcome with a status."""
    return Response(json.dumps(outcome), status=status, mimetype=_FHIR_JSON)


def refusal_response(refused: RequestRefused) -> Response:
    """The answer to a request that we refuse. A 401 says nothing but that."""
    if refused.status == 401:
        return empty_response(401, {"WWW-Authenticate": "Bearer"})
    outcome = operation_outcome(refused.code, refused.message, refused.diagnostics)
    response = outcome_response(refused.status, outcome)
    if refused.retry_after_s is not None:
        response.headers["Retry-After"] = str(refused.retry_after_s)
    return response


def empty_response(status: int, headers: dict[str, str] | None = None) -> Response:
    """An answer without a body, and so without a media type."""
    response = Response(status=status, headers=headers)
    del response.headers["Content-Type"]
    return response


def is_preflight(request: Request) -> bool:
    """Whether a browser asks what it may send. Such a request never carries credentials."""
    return (
        request.method == "OPTIONS"
        and "Origin" in request.headers
        and "Access-Control-Request-Method" in request.headers
    )


def preflight_response() -> Response:
    """The answer to a preflight; ``add_cors`` adds who may do it."""
    return empty_response(204)


def add_cors(request: Request, response: Response, origins: tuple[str, ...]) -> None:
    """Let pages of listed origins read the answer. Others get no header at all."""
    response.headers.add("Vary", "Origin")
    if request.headers.get("Origin") not in origins:
        return
    response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
    if is_preflight(request):
        response.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
        response.headers["Access-Control-Max-Age"] = _PREFLIGHT_S
