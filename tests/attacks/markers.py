"""Unmistakable words that stand for a patient's data and for secrets, and a search for them.

A marker is looked for in the forms in which a leak may hide: plain, in other encodings, inside
compressed streams, and as an unkeyed hash, which gives away whatever can be guessed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

PHI = {
    "family name": "Marqlebane",
    "given name": "Zyxquorinda",
    "record number": "MRN-77341-QXZ",
    "birth date": "1931-07-29",
    "telephone": "+44-7700-900931",
    "patient id": "pat-zq7-4431",
    "encounter id": "enc-zq7-9021",
    "user id": "doc-zq7-1187",
    "note sentence": "Confided that zorbleflax is buried behind the shed",
    "fetched note": "Weeps at night over quibblewort and debts",
    "device id": "device-zx81-qqk",
    "feedback comment": "Daughter Plimquist says mother drinks",
    "reason display": "Snarfbuckle refused it in person",
    "other patient": "pat-other-8812",
    "FHIR diagnostics": "server says Marqlington is a VIP",
}
SECRETS = {
    "access token": "zt0ken.aCc3ss-Qv9w8x7y6z5",
    "malformed header": "hdr-sEcr3t-Zk4j3h2",
}
_ZLIB_STARTS = re.compile(rb"\x1f\x8b\x08|x\x01|x\x5e|x\x9c|x\xda")
_LARGEST_STREAM = 4_000_000


def forms_of(text: str) -> Iterator[tuple[str, bytes]]:
    """Yield the forms of a marker, by name."""
    plain = text.encode("utf-8")
    yield "plain", plain
    yield "url-encoded", quote(text, safe="").encode()
    yield "url-encoded form", quote(text, safe="").replace("%20", "+").encode()
    yield "utf-16-le", text.encode("utf-16-le")
    yield "utf-16-be", text.encode("utf-16-be")
    yield "hex", binascii.hexlify(plain)
    for name, digest in (("sha256", hashlib.sha256), ("md5", hashlib.md5), ("sha1", hashlib.sha1)):
        yield name, digest(plain).hexdigest().encode()
    for shift in range(3):  # where in a group of three bytes the marker begins
        inner = base64.b64encode(b"\x00" * shift + plain)
        cut = inner[4 if shift else 0 : len(inner) - 4]
        yield "base64", cut
        yield "base64url", cut.translate(bytes.maketrans(b"+/", b"-_"))


def found_in(data: bytes, markers: Mapping[str, str]) -> list[str]:
    """Name the markers in these bytes and in compressed streams within them."""
    found = _found(data, markers)
    for stream in _streams(data):
        found += [f"{one} inside a compressed stream" for one in _found(stream, markers)]
    return sorted(set(found))


def found_in_files(folder: Path, markers: Mapping[str, str]) -> list[str]:
    """Name the markers in all files below a folder, and in the files' names."""
    found = []
    for path in sorted(folder.rglob("*")):
        where = path.relative_to(folder)
        found += [f"{one} in the name of {where}" for one in found_in(str(where).encode(), markers)]
        if path.is_file() and not path.is_symlink():
            found += [f"{one} in {where}" for one in found_in(path.read_bytes(), markers)]
    return found


def _found(data: bytes, markers: Mapping[str, str]) -> list[str]:
    lower = data.lower()
    return [
        f"{name}, {form}"
        for name, text in markers.items()
        for form, needle in forms_of(text)
        if needle in data or needle.lower() in lower
    ]


def _streams(data: bytes) -> Iterator[bytes]:
    for start in _ZLIB_STARTS.finditer(data):
        wbits = 31 if start[0].startswith(b"\x1f") else 15
        try:
            stream = zlib.decompressobj(wbits).decompress(data[start.start() :], _LARGEST_STREAM)
        except zlib.error:
            continue
        if len(stream) > 8:
            yield stream
