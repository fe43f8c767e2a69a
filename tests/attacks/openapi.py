"""The routes of the service as an OpenAPI document, from which schemathesis makes requests."""

from __future__ import annotations

from typing import Any

_ID = {"type": "string", "minLength": 1, "maxLength": 300}
_TEXT = {"type": "string"}
_CONTEXT = {
    "type": "object",
    "required": ["userId", "patientId"],
    "properties": {
        "userId": {"type": "string", "pattern": "^(Practitioner|Patient)/[A-Za-z0-9.-]{1,64}$"},
        "patientId": {"type": "string", "pattern": "^[A-Za-z0-9.-]{1,64}$"},
        "encounterId": _ID,
    },
}
_AUTHORIZATION = {
    "type": "object",
    "required": ["access_token", "token_type", "expires_in", "scope", "subject"],
    "properties": {
        "access_token": {"type": "string", "minLength": 1},
        "token_type": {"enum": ["Bearer"]},
        "expires_in": {"type": "integer"},
        "scope": _TEXT,
        "subject": _TEXT,
        "patient": _ID,
    },
}
_RESOURCE = {
    "type": "object",
    "required": ["resourceType"],
    "properties": {
        "resourceType": {
            "enum": ["Bundle", "Patient", "Observation", "OperationOutcome", "Encounter"]
        },
        "id": _ID,
        "entry": {"type": "array", "items": {"type": "object"}},
        "link": {"type": "array", "items": {"type": "object"}},
    },
}
_KEYS = ("patient", "encounter", "vitalSigns", "laboratory", "notes", "reports", "deviceData")
_HOOK = {
    "type": "object",
    "required": ["hook", "hookInstance", "context"],
    "properties": {
        "hook": {"enum": ["patient-view"]},
        "hookInstance": {"type": "string", "format": "uuid"},
        "fhirServer": {"type": "string", "format": "uri"},
        "fhirAuthorization": _AUTHORIZATION,
        "context": _CONTEXT,
        "prefetch": {"type": "object", "properties": dict.fromkeys(_KEYS, _RESOURCE)},
        "extension": {"type": "object"},
    },
}
_FEEDBACK = {
    "type": "object",
    "required": ["feedback"],
    "properties": {
        "feedback": {
            "type": "array",
            "maxItems": 5,
            "items": {
                "type": "object",
                "required": ["card", "outcome", "outcomeTimestamp"],
                "properties": {
                    "card": {"type": "string", "format": "uuid"},
                    "outcome": {"enum": ["accepted", "overridden"]},
                    "outcomeTimestamp": {"type": "string", "format": "date-time"},
                    "acceptedSuggestions": {
                        "type": "array",
                        "items": {"type": "object", "properties": {"id": _ID}},
                    },
                    "overrideReason": {
                        "type": "object",
                        "properties": {
                            "reason": {
                                "type": "object",
                                "properties": {"code": _TEXT, "system": _TEXT},
                            },
                            "userComment": _TEXT,
                        },
                    },
                },
            },
        }
    },
}


def _operation(*parameters: str, body: Any = None) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "responses": {"default": {"description": "see errors.py"}},
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": _ID} for name in parameters
        ],
    }
    if body is not None:
        content = {"application/json": {"schema": body}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "meam", "version": "1"},
    "paths": {
        "/cds-services": {"get": _operation()},
        "/cds-services/meam-risk": {"post": _operation(body=_HOOK)},
        "/cds-services/meam-risk/feedback": {"post": _operation(body=_FEEDBACK)},
        "/cds-services/{service_id}": {"post": _operation("service_id", body=_HOOK)},
        "/cds-services/{service_id}/feedback": {"post": _operation("service_id", body=_FEEDBACK)},
        "/explanations/{token}": {"get": _operation("token")},
        "/healthz": {"get": _operation()},
        "/readyz": {"get": _operation()},
        "/metrics": {"get": _operation()},
        "/icon.png": {"get": _operation()},
    },
}
