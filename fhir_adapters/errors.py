"""All errors of the FHIR adapters.

::

    FhirError
    ├── FhirTemporaryError            trying again may help
    │   ├── FhirTimeout               no answer within the deadline
    │   ├── FhirUnavailable           connection failed, 429 or 5xx after the allowed retries
    │   └── FhirTruncated             the answer broke off
    ├── FhirFatalError                trying again will not help
    │   ├── FhirUnauthorized          401, or the access token has expired
    │   ├── FhirForbidden             403
    │   ├── FhirNotFound              404 or 410
    │   ├── FhirRejected              any other 4xx
    │   ├── FhirBadAnswer             not JSON, not FHIR, or not what was asked for
    │   ├── FhirTooLarge              over a cap on pages, entries or bytes
    │   └── FhirForeignOrigin         a link or redirect leads away from the server
    ├── ChartError                    the resources cannot become a record
    │   ├── NoPatient                 no Patient resource among them
    │   ├── WrongPatient              a resource belongs to somebody else
    │   └── UnsupportedFhirVersion    DSTU2 or STU3 shapes
    └── DataSetError                  an open data set is not as its publisher describes it

Messages name the resource or URL path and the expectation. They hold no token and no patient
data beyond ids, and no query string (it may hold either).
"""

from __future__ import annotations


class FhirError(Exception):
    """Something about FHIR input or a FHIR server went wrong."""


class FhirTemporaryError(FhirError):
    """Trying again may help."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class FhirTimeout(FhirTemporaryError):
    """No answer within the deadline."""


class FhirUnavailable(FhirTemporaryError):
    """Connection failed, or the server answered 429 or 5xx after the allowed retries."""


class FhirTruncated(FhirTemporaryError):
    """The answer broke off before its end."""


class FhirFatalError(FhirError):
    """Trying again will not help."""


class FhirUnauthorized(FhirFatalError):
    """The server answered 401, or the access token has expired."""


class FhirForbidden(FhirFatalError):
    """The server answered 403."""


class FhirNotFound(FhirFatalError):
    """The server answered 404 or 410."""


class FhirRejected(FhirFatalError):
    """The server answered another 4xx; the request itself is at fault."""


class FhirBadAnswer(FhirFatalError):
    """The answer is not JSON, not FHIR, or not what was asked for."""


class FhirTooLarge(FhirFatalError):
    """The answer is over a cap on pages, entries or bytes."""


class FhirForeignOrigin(FhirFatalError):
    """A link or redirect leads away from the FHIR server; it was not followed."""


class ChartError(FhirError):
    """The resources cannot become a patient record."""


class NoPatient(ChartError):
    """There is no Patient resource."""


class WrongPatient(ChartError):
    """A resource belongs to another patient. Nothing of such a chart is used."""

    def __init__(self, message: str, *, source: str) -> None:
        super().__init__(message)
        self.source = source


class UnsupportedFhirVersion(ChartError):
    """The resources have DSTU2 or STU3 shapes."""


class DataSetError(FhirError):
    """An open data set is not what its publisher describes; the message names file and place."""
