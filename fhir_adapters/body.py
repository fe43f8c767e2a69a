"""Reading an answer's body piece by piece: time, decompressed size and completeness are checked.

Bodies are decompressed here and not by the HTTP library, in bounded steps: a gzip bomb of 50 kB
would otherwise become 50 MB before anybody could count.
"""

from __future__ import annotations

import codecs
import json
import threading
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

from fhir_adapters.deadline import Deadline
from fhir_adapters.errors import FhirBadAnswer, FhirTooLarge, FhirTruncated

_PIECE_BYTES = 64 * 1024
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class RawBody(Protocol):
    def read1(self, amt: int, decode_content: bool) -> bytes: ...


class Budget:
    """A number of entries or bytes that all answers of one client may use together."""

    def __init__(self, limit: int, unit: str) -> None:
        self.limit = limit
        self.unit = unit
        self._left = limit
        self._lock = threading.Lock()

    def take(self, wanted: int) -> int:
        """Return how many of ``wanted`` may be used, from 0 to all of them."""
        with self._lock:
            granted = min(wanted, self._left)
            self._left -= granted
            return granted

    def spend(self, wanted: int, what: str) -> None:
        """Take all of ``wanted``; raise FhirTooLarge, and take none, if too little is left."""
        granted = self.take(wanted)
        if granted < wanted:
            self.give_back(granted)
            raise FhirTooLarge(
                f"{what}: with this answer the FHIR server has sent more than "
                f"{self.limit} {self.unit}"
            )

    def give_back(self, amount: int) -> None:
        with self._lock:
            self._left += amount


def read_body(raw: RawBody, encoding: str, what: str, deadline: Deadline, budget: Budget) -> bytes:
    """Read a body to its end, decompressed.

    Raises FhirTimeout, FhirTooLarge, FhirTruncated, FhirBadAnswer, and what ``raw`` raises.
    A body that is given up returns its bytes to the budget: it does not stay in memory.
    """
    body = bytearray()
    try:
        for piece in _decoded(_pieces(raw, what, deadline), encoding, what):
            budget.spend(len(piece), what)
            body += piece
    except BaseException:
        budget.give_back(len(body))
        raise
    return bytes(body)


def _pieces(raw: RawBody, what: str, deadline: Deadline) -> Iterator[bytes]:
    deadline.require(what)
    while piece := raw.read1(_PIECE_BYTES, decode_content=False):
        yield piece
        deadline.require(what)


def _decoded(pieces: Iterator[bytes], encoding: str, what: str) -> Iterator[bytes]:
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return pieces
    if name in ("gzip", "x-gzip", "deflate"):
        return _inflated(pieces, what)
    raise FhirBadAnswer(f"{what}: Content-Encoding is neither gzip nor deflate, and was not asked")


def _inflated(pieces: Iterator[bytes], what: str) -> Iterator[bytes]:
    inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        for piece in pieces:
            pending = piece
            while pending:
                if inflate.eof:  # a gzip body may consist of several members
                    inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
                yield inflate.decompress(pending, _PIECE_BYTES)
                pending = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
        yield inflate.flush()
    except zlib.error as exc:
        raise FhirBadAnswer(f"{what}: the body is not valid {_GZIP_NAME}") from exc
    if not inflate.eof:
        raise FhirTruncated(f"{what}: the compressed body broke off before its end")


_GZIP_NAME = "gzip or deflate data"


def parse_json(body: bytes, what: str) -> Any:
    """Parse a body as strict JSON. Raises FhirTruncated if it breaks off, else FhirBadAnswer."""
    try:
        text = body.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as exc:
        raise FhirBadAnswer(f"{what}: the body is not UTF-8 text") from exc
    try:
        return _DECODER.decode(text)
    except RecursionError as exc:
        raise FhirBadAnswer(f"{what}: the JSON is nested too deeply") from exc
    except ValueError as exc:
        stripped = text.strip()
        if stripped.startswith("{") and not stripped.endswith("}"):
            raise FhirTruncated(f"{what}: the JSON broke off after {len(body)} bytes") from exc
        raise FhirBadAnswer(f"{what}: {_describe(stripped)} where FHIR JSON is expected") from exc


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _describe(text: str) -> str:
    if not text:
        return "an empty body"
    if text.startswith("<"):
        return "an HTML page" if "<html" in text[:1000].lower() else "an XML or HTML body"
    return "a body that is not JSON"
