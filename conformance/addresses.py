"""Base URLs and HOST:PORT, as they are given on the command line."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_SPACE_OR_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0]")


class BadBase(ValueError):
    """The base URL cannot be used; the message is one sentence."""


def checked_base(
    url: str, option: str = "--fhir", example: str = "https://fhir.example.org/r4"
) -> str:
    """Return a base URL without its last slash. Raises BadBase.

    Names and passwords in it are refused: they would stand in every report.
    """
    try:
        parts = urlsplit(url)
        port_is_number = parts.port is None or parts.port > 0
    except ValueError:
        port_is_number = False
    if (
        not port_is_number
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or "@" in parts.netloc
        or parts.query
        or parts.fragment
        or _SPACE_OR_CONTROL.search(url)
    ):
        raise BadBase(f"{option}: expected the base URL alone, such as {example}.")
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_and_port(listen: str) -> tuple[str, int]:
    """Read HOST:PORT or [ADDRESS]:PORT; the host may be left out. Raises ValueError."""
    host, _, port = listen.rpartition(":")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def in_url(host: str) -> str:
    """Write a host as URLs have it: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host
