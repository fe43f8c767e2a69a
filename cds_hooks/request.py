"""A hook request, checked member by member. Unknown members and extensions are tolerated.

Every fault names the JSON path, what was expected and what kind of thing was found, never the
value: it may be a patient's.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cds_hooks.errors import BadRequest

_ID = re.compile(r"[A-Za-z0-9\-._]{1,256}")  # FHIR allows 64; Epic sends up to 130
_USER = re.compile(r"(Practitioner|PractitionerRole|Patient|RelatedPerson)/[A-Za-z0-9\-._]{1,256}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_LONGEST_LIFE_S = 366 * 24 * 3600  # of an access token; a year is absurd, and still a date
_PATIENT_SCOPE = re.compile(r"(^|\s)patient/")


@dataclass(frozen=True, slots=True)
class HookContext:
    """Where in the EHR the hook fired. Ids without a type, as the specification has them."""

    user_id: str  # "Practitioner/12"
    patient_id: str
    encounter_id: str | None = None

    def tokens(self) -> dict[str, str]:
        """The values that prefetch templates may name."""
        tokens = {"userId": self.user_id, "patientId": self.patient_id}
        return tokens if self.encounter_id is None else {**tokens, "encounterId": self.encounter_id}


@dataclass(frozen=True, slots=True)
class FhirAuthorization:
    """The bearer token for calling back. Transient: never stored, never logged."""

    access_token: str = field(repr=False)
    expires_in_s: int
    scope: str
    subject: str
    patient: str | None = None


@dataclass(frozen=True, slots=True)
class HookRequest:
    """One call of a service, valid as far as the specification goes."""

    hook: str
    hook_instance: str
    context: HookContext
    arrived_at: datetime
    fhir_server: str | None = None
    fhir_authorization: FhirAuthorization | None = None
    prefetch: Mapping[str, Any] = field(default_factory=dict, repr=False)


def parse_hook_request(
    body: Any, *, hooks: Mapping[str, bool], arrived_at: datetime, https_only: bool
) -> HookRequest:
    """Check a body. ``hooks`` maps each hook of the service to whether it needs an encounter.

    Raises BadRequest at the first fault.
    """
    request = _object(body, "$")
    hook = _string(request, "hook", "$")
    if hook not in hooks:
        raise BadRequest(
            "$.hook", f"this service answers {', '.join(hooks)}, not the hook that was sent"
        )
    context = _context(_object(_required(request, "context", "$"), "$.context"))
    if hooks[hook] and context.encounter_id is None:
        raise BadRequest("$.context.encounterId", f"required for the hook {hook}")
    return HookRequest(
        hook=hook,
        hook_instance=_hook_instance(request),
        context=context,
        arrived_at=arrived_at,
        fhir_server=_fhir_server(request, https_only=https_only),
        fhir_authorization=_fhir_authorization(request, context),
        prefetch=_prefetch(request),
    )


def _hook_instance(request: Mapping[str, Any]) -> str:
    text = _string(request, "hookInstance", "$")
    try:
        parsed = uuid.UUID(text)
    except ValueError as exc:
        raise BadRequest("$.hookInstance", "expected a UUID") from exc
    if text.lower() != str(parsed):
        raise BadRequest("$.hookInstance", "expected a bare UUID with hyphens")
    return str(parsed)


def _context(context: Mapping[str, Any]) -> HookContext:
    user_id = _string(context, "userId", "$.context")
    if not _USER.fullmatch(user_id):
        raise BadRequest(
            "$.context.userId",
            "expected Type/id with Type one of Practitioner, PractitionerRole, Patient,"
            " RelatedPerson",
        )
    encounter_id = None
    if "encounterId" in context:
        encounter_id = _id(context, "encounterId", "$.context")
    return HookContext(user_id, _id(context, "patientId", "$.context"), encounter_id)


def _fhir_server(request: Mapping[str, Any], *, https_only: bool) -> str | None:
    if "fhirServer" not in request:
        if "fhirAuthorization" in request:
            raise BadRequest("$.fhirServer", "required where fhirAuthorization is sent")
        return None
    url = _string(request, "fhirServer", "$")
    schemes = ("https://",) if https_only else ("https://", "http://")
    if not url.lower().startswith(schemes):
        raise BadRequest("$.fhirServer", f"expected a URL that begins with {' or '.join(schemes)}")
    return url


def _fhir_authorization(
    request: Mapping[str, Any], context: HookContext
) -> FhirAuthorization | None:
    if "fhirAuthorization" not in request:
        return None
    path = "$.fhirAuthorization"
    given = _object(request["fhirAuthorization"], path)
    token = _string(given, "access_token", path)
    if not _TOKEN.fullmatch(token):
        raise BadRequest(f"{path}.access_token", "expected visible ASCII characters")
    if _string(given, "token_type", path).lower() != "bearer":
        raise BadRequest(f"{path}.token_type", "expected Bearer")
    expires_in_s = _required(given, "expires_in", path)
    if isinstance(expires_in_s, bool) or not isinstance(expires_in_s, int) or expires_in_s < 0:
        raise BadRequest(f"{path}.expires_in", "expected a number of seconds, not negative")
    if expires_in_s > _LONGEST_LIFE_S:  # no date could be reckoned from some of them
        raise BadRequest(f"{path}.expires_in", f"expected at most {_LONGEST_LIFE_S} seconds")
    scope = _string(given, "scope", path)
    patient = _string(given, "patient", path) if "patient" in given else None
    if patient is not None and patient.removeprefix("Patient/") != context.patient_id:
        raise BadRequest(f"{path}.patient", "is not the patient of $.context.patientId")
    return FhirAuthorization(token, expires_in_s, scope, _string(given, "subject", path), patient)


def missing_patient_of_scope(authorization: FhirAuthorization) -> bool:
    """True where the scope is about one patient and the patient is not named (cds-r-2)."""
    return bool(_PATIENT_SCOPE.search(authorization.scope)) and authorization.patient is None


def _prefetch(request: Mapping[str, Any]) -> Mapping[str, Any]:
    if request.get("prefetch") is None:  # absent, or null: some clients write it for "none"
        return {}
    prefetch = _object(request["prefetch"], "$.prefetch")
    for key, value in prefetch.items():
        if value is not None:
            _object(value, f"$.prefetch.{printable(key)}")
    return prefetch


def printable(name: str) -> str:
    """A member's name as a message may show it: short, ASCII letters, digits and ``-_.`` only."""
    return re.sub(r"[^A-Za-z0-9_.\-]", "?", name)[:40]


def _required(given: Mapping[str, Any], name: str, path: str) -> Any:
    if name not in given:
        raise BadRequest(f"{path}.{name}", "required, and missing")
    return given[name]


def _object(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(path, f"expected an object, got {json_kind(value)}")
    return value


def _string(given: Mapping[str, Any], name: str, path: str) -> str:
    value = _required(given, name, path)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{path}.{name}", f"expected a string, got {json_kind(value)}")
    return value


def _id(given: Mapping[str, Any], name: str, path: str) -> str:
    value = _string(given, name, path)
    if not _ID.fullmatch(value) or set(value) == {"."}:
        raise BadRequest(f"{path}.{name}", "expected a FHIR id without its type")
    return value


_KINDS: Collection[tuple[type, str]] = (
    (bool, "true or false"),
    (str, "an empty string"),
    (int, "a number"),
    (float, "a number"),
    (list, "an array"),
    (dict, "an object"),
)


def json_kind(value: Any) -> str:
    """What kind of JSON value this is, in words; said of values that are not what they should."""
    if isinstance(value, str) and value:
        return "a string"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "null")
