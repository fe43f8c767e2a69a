"""Access tokens: opaque strings that are presented, never decoded, stored or logged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fhir_adapters.errors import FhirUnauthorized


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token. Its value never shows in ``repr``, so that no log can hold it by accident."""

    value: str = field(repr=False)
    expires_at: datetime | None = None  # aware; None: the issuer did not say
    scope: str = ""

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at


Refresh = Callable[[], AccessToken]


class TokenHolder:
    """The token in use, renewed once for all threads that find it expired or refused."""

    def __init__(
        self,
        token: AccessToken | None,
        refresh: Refresh | None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._token = token
        self._refresh = refresh
        self._clock = clock
        self._lock = threading.Lock()

    def current(self, what: str) -> AccessToken | None:
        """Return the token to present, None for an open server.

        Raises FhirUnauthorized if it has expired and cannot be renewed: an expired token is not
        sent, for the server would count it as an attack.
        """
        token = self._token
        if not self._stale(token):
            return token
        if not self.renew(token):
            raise FhirUnauthorized(f"{what}: the access token has expired; no call was made")
        if self._stale(self._token):
            raise FhirUnauthorized(f"{what}: the renewed access token has already expired")
        return self._token

    def renew(self, refused: AccessToken | None) -> bool:
        """Replace ``refused`` by a new token; False if this client cannot renew its token."""
        if self._refresh is None:
            return False
        with self._lock:
            if self._token is refused:  # otherwise another thread has just renewed it
                self._token = self._refresh()
        return True

    def _stale(self, token: AccessToken | None) -> bool:
        if token is None:
            return self._refresh is not None
        return token.expired(self._clock())
