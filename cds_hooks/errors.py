"""All errors of the service.

::

    ServiceError
    ├── RequestRefused            the caller is told why, with a status and an OperationOutcome
    │   ├── BadRequest            400  a member of the request is missing or wrong
    │   ├── PatientMismatch       400  data of somebody else than context.patientId
    │   ├── Unauthenticated       401  any fault of the JWT; answered without a body
    │   ├── NotAllowed            403  authenticated, but this service, tenant or FHIR server is not
    │   ├── UnknownService        404
    │   ├── DataMissing           412  required data neither prefetched nor fetchable
    │   ├── UnsupportedMediaType  415
    │   ├── Overloaded            503  more requests than we answer in time
    │   ├── NotReady              503  something that we need cannot be used now
    │   │   └── StoreUnavailable      the database: full, locked, away, read-only
    │   └── DeadlineExceeded      504
    ├── InvalidCard               a card that the specification forbids was about to be sent
    ├── SettingsError             the configuration cannot be used; the service does not start
    ├── StoreError                the database
    │   ├── ExplanationNotFound   never stored, or purged
    │   ├── ExplanationUnreadable stored by a version that we do not read
    │   ├── CiphertextRefused     changed since it was written, or moved from another row
    │   └── KeyLost               encrypted or signed with a key that is not in the ring
    ├── AuditBroken               the audit chain does not verify
    ├── CommandError              a command cannot do its work with the files that it was given
    │   ├── ResultsUnusable       the output is not ours, is in use, or cannot be written
    │   ├── LabelsUnusable        a file of labels has faults; the message names them
    │   └── TrainingImpossible    the labelled patients do not make a model
    └── LinkError
        ├── LinkInvalid           not signed by us
        └── LinkExpired

Messages are sentences with facts and hold no token and no patient data beyond ids.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ServiceError(Exception):
    """Something about the service went wrong."""


class RequestRefused(ServiceError):
    """The request is not answered with cards. ``status`` and ``code`` go to the caller."""

    status: ClassVar[int]
    code: ClassVar[str]  # a code of the FHIR value set issue-type

    def __init__(self, message: str, *, diagnostics: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.diagnostics = diagnostics

    @property
    def retry_after_s(self) -> int | None:
        """Seconds for the Retry-After header, None if trying again does not help."""
        return None


class BadRequest(RequestRefused):
    """A member of the request is missing or wrong; ``path`` is its JSON path."""

    status = 400
    code = "invalid"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}", diagnostics=path)
        self.path = path


class PatientMismatch(RequestRefused):
    """Data of somebody else than context.patientId. Nothing of such a request is scored."""

    status = 400
    code = "invalid"


class Unauthenticated(RequestRefused):
    """Any fault of the JWT. ``reason`` is one word for our log; the caller gets no detail."""

    status = 401
    code = "login"

    def __init__(self, reason: str, *, issuer: str = "") -> None:
        super().__init__(f"the JWT was refused: {reason}")
        self.reason = reason
        self.issuer = issuer


class NotAllowed(RequestRefused):
    """The caller is known, but may not do this."""

    status = 403
    code = "forbidden"


class UnknownService(RequestRefused):
    """No service has this id."""

    status = 404
    code = "not-found"


class DataMissing(RequestRefused):
    """Required data were neither prefetched nor fetchable; ``keys`` are the prefetch keys."""

    status = 412
    code = "processing"

    def __init__(self, message: str, *, keys: tuple[str, ...], diagnostics: str) -> None:
        super().__init__(message, diagnostics=diagnostics)
        self.keys = keys


class UnsupportedMediaType(RequestRefused):
    """The body is not declared as JSON in UTF-8."""

    status = 415
    code = "not-supported"


class Overloaded(RequestRefused):
    """More requests than we answer in time."""

    status = 503
    code = "throttled"

    @property
    def retry_after_s(self) -> int | None:
        """One second: a hook takes a fraction of that."""
        return 1


class NotReady(RequestRefused):
    """Something that we need cannot be used now: the model, the database, an issuer's keys."""

    status = 503
    code = "transient"

    @property
    def retry_after_s(self) -> int | None:
        """Five seconds: about the time of a start."""
        return 5


class StoreUnavailable(NotReady):
    """The database cannot be used now. ``reason`` is for operators; callers are not told."""

    def __init__(self, reason: str) -> None:
        super().__init__("the database cannot be used now")
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.message}: {self.reason}"


class DeadlineExceeded(RequestRefused):
    """The answer took longer than the hard limit."""

    status = 504
    code = "timeout"


class InvalidCard(ServiceError):
    """A card that the specification forbids was about to be sent."""


class SettingsError(ServiceError):
    """The configuration cannot be used; the service does not start.

    ``setting`` is the path of the member at fault ("issuers[1].jku"), "" where none can be named;
    ``fix`` says what to write instead, where there is one thing to write.
    """

    def __init__(self, message: str, *, setting: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.setting = setting
        self.fix = fix


class StoreError(ServiceError):
    """The database did not give what was asked for."""


class ExplanationNotFound(StoreError):
    """The explanation was never stored, or is purged."""


class ExplanationUnreadable(StoreError):
    """The explanation was stored by a version that we do not read."""


class CiphertextRefused(StoreError):
    """Stored data were changed since they were encrypted, or moved from another row."""


class KeyLost(StoreError):
    """Data were encrypted or signed with a key that is not in the ring."""


class AuditBroken(ServiceError):
    """The audit chain does not verify; ``sequence`` is the first line that is wrong."""

    def __init__(self, message: str, *, sequence: int) -> None:
        super().__init__(message)
        self.sequence = sequence


class CommandError(ServiceError):
    """A command cannot do its work with the files that it was given."""


class ResultsUnusable(CommandError):
    """The output is not ours, is in use, or cannot be written."""


class LabelsUnusable(CommandError):
    """A file of labels has faults; the message names lines and columns, never a value."""


class TrainingImpossible(CommandError):
    """The labelled patients do not make a model."""


class LinkError(ServiceError):
    """A link to an explanation cannot be followed."""


class LinkInvalid(LinkError):
    """The link is not signed by us."""


class LinkExpired(LinkError):
    """The link was valid once."""


def operation_outcome(code: str, text: str, diagnostics: str = "") -> dict[str, Any]:
    """An R4 OperationOutcome with one error issue; ``code`` is of the value set issue-type."""
    issue: dict[str, Any] = {"severity": "error", "code": code, "details": {"text": text}}
    if diagnostics:
        issue["diagnostics"] = diagnostics
    return {"resourceType": "OperationOutcome", "issue": [issue]}
