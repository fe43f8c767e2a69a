"""Which URLs belong to the FHIR server: same scheme, host and port, by the parser that connects.

The access token goes to one origin only. A link that leads elsewhere is refused before a socket
is opened, whatever it looks like: user information, backslashes and control characters are how
two URL parsers are made to disagree, so a URL with any of them is refused too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from fhir_adapters.errors import FhirBadAnswer, FhirForeignOrigin, FhirRejected

_DEFAULT_PORTS = {"http": 80, "https": 443}
_AMBIGUOUS = re.compile(r"[\\\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class Origin:
    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


def parse_base_url(base_url: str) -> tuple[str, Origin]:
    """Return the base URL without its trailing slash, and its origin. Raises FhirRejected."""
    url = _parse(base_url)
    origin = _origin(url) if url else None
    if url is None or origin is None or url.query is not None or url.fragment is not None:
        raise FhirRejected("the FHIR server's base URL is not a plain http or https URL")
    return str(url).rstrip("/"), origin


def resolve(link: str, against: str, home: Origin, what: str) -> str:
    """Return ``link`` as an absolute URL of ``home``, resolved against the URL it stood in.

    Raises FhirForeignOrigin for any other scheme, host or port, FhirBadAnswer for no URL at all.
    """
    if _AMBIGUOUS.search(link):
        raise FhirBadAnswer(f"{what}: the link holds characters that no URL has")
    try:
        joined = urljoin(against, link)
    except ValueError as exc:
        raise FhirBadAnswer(f"{what}: the link is not a URL") from exc
    url = _parse(joined)
    if url is None:
        raise FhirForeignOrigin(f"{what}: the link is not an http or https URL of the FHIR server")
    origin = _origin(url)
    if origin != home:
        raise FhirForeignOrigin(f"{what}: the link leads to {origin}, not to {home}")
    return str(url._replace(fragment=None))


def _parse(text: str) -> Url | None:
    if _AMBIGUOUS.search(text):
        return None
    try:
        url = parse_url(text)
    except LocationParseError:
        return None
    return url if _origin(url) and url.auth is None else None


def _origin(url: Url) -> Origin | None:
    if url.scheme not in _DEFAULT_PORTS or not url.host:
        return None
    return Origin(url.scheme, url.host.rstrip("."), url.port or _DEFAULT_PORTS[url.scheme])
