"""Requests as broken clients and attackers make them: hook requests, feedback, headers, bytes.

A plain seeded generator: every failure is repeated by its seed. The trees are changed by
`tests.fhir_adapters.mutations`; here are the shapes of CDS Hooks.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

from tests.attacks.answers import CANARY, CANARY_ID
from tests.attacks.target import FHIR
from tests.cds_hooks import world
from tests.fhir_adapters.mutations import mutated as mutated_tree

TEXTS = (
    CANARY,
    f"<script>alert('{CANARY}')</script>",
    f"[{CANARY}](javascript:alert(1))",
    f"![x](https://evil.example/{CANARY})",
    f"\u202e{CANARY}\u2066",
    f"{CANARY}\r\nSet-Cookie: a=b",
    f"'; DROP TABLE feedback; --{CANARY}",
    "{{7*7}}${{7*7}}#{7*7}" + CANARY,
    f"../../../etc/passwd%00{CANARY}",
    "\ud800" + CANARY,
    "A" * 20_000 + CANARY,
    "\x00" + CANARY,
)
URLS = (
    FHIR,
    "http://169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    "gopher://127.0.0.1:25/_HELO",
    "http://[::1",
    "http://user:secret@127.0.0.1:9/r4",
    "http://127.0.0.1:9/r4/../admin",
    "http://127.0.0.1:99999/r4",
    "https://\u2025.example/r4",
    "http://127.0.0.1:9/r4?x=" + CANARY,
    "http://127.0.0.1:9\\@evil.example/r4",
    "HTTP://127.0.0.1:9/r4/",
)
NUMBERS = (0, -1, 10**30, 10**400, 2**63, 1e308, True, None, "60")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "X")
PATHS = (
    "/cds-services",
    "/cds-services/",
    "/cds-services/meam-risk",
    "/cds-services/meam-risk/",
    "/cds-services/meam-risk/feedback",
    f"/cds-services/{CANARY}",
    f"/cds-services/{CANARY}/feedback",
    f"/explanations/{CANARY}",
    "/explanations/static/page.css",
    "/explanations/static/../../settings.py",
    "/explanations/static/%2e%2e/page.py",
    "/explanations/static/" + CANARY,
    "/healthz",
    "/readyz",
    "/metrics",
    "/icon.png",
    f"/{CANARY}",
    "//cds-services",
    "/cds-services/%00",
    "/cds-services/%ff%fe",
    "/cds-services/" + "a" * 5000,
)


def request(random: Random) -> Any:
    """A hook request with one to four changes, in its prefetch, its members or its whole tree."""
    made = world.hook_request(deepcopy(world.full_prefetch()))
    if random.random() < 0.3:
        made["fhirServer"] = random.choice(URLS)
        made["fhirAuthorization"] = world.authorization()
    for _ in range(random.randint(1, 3)):
        random.choice(_CHANGES)(made, random)
    return mutated(made, random) if random.random() < 0.25 else made


def feedback(random: Random) -> Any:
    """A batch of feedback, changed."""
    item: dict[str, Any] = {
        "card": random.choice(("0e1f4dc5-0000-4000-8000-000000000001", CANARY_ID, "x")),
        "outcome": random.choice(("accepted", "overridden")),
        "outcomeTimestamp": "2026-11-23T00:00:00Z",
    }
    if item["outcome"] == "accepted":
        item["acceptedSuggestions"] = [{"id": "s-1"}]
    else:
        reason = {"code": "c", "system": "s"}
        item["overrideReason"] = {"reason": reason, "userComment": random.choice(TEXTS)}
    batch = {"feedback": [deepcopy(item) for _ in range(random.randint(1, 3))]}
    for one in batch["feedback"] if random.random() < 0.4 else ():
        _put_text(one, random)
    return mutated(batch, random) if random.random() < 0.7 else batch


def encoded(tree: Any, random: Random) -> tuple[bytes, dict[str, str]]:
    """Bytes and headers: mostly right, sometimes in an encoding that we refuse."""
    body = json.dumps(tree, ensure_ascii=random.random() < 0.7).encode("utf-8", "surrogatepass")
    headers = {"Content-Type": "application/json"}
    if random.random() < 0.8:
        return body, headers
    return random.choice(_ENCODINGS)(body, headers, random), headers


def headers(random: Random) -> dict[str, str]:
    """Headers that a client may well send, and some that it had better not."""
    found = {}
    for _ in range(random.randint(0, 4)):
        name, values = random.choice(_HEADERS)
        found[name] = random.choice(values)
    return found


def mutated(tree: dict[str, Any], random: Random) -> dict[str, Any]:
    """A changed copy; of a tree that lost all its members nothing is left to change."""
    try:
        return mutated_tree(tree, random)
    except IndexError:
        return {}


def _change_resource(made: dict[str, Any], random: Random) -> None:
    key = random.choice(list(made["prefetch"]) or ["patient"])
    value = made["prefetch"].get(key)
    entries = value.get("entry") if isinstance(value, dict) else None
    if isinstance(entries, list) and entries and random.random() < 0.8:
        at = random.randrange(len(entries))
        if isinstance(entries[at], dict) and isinstance(entries[at].get("resource"), dict):
            entries[at]["resource"] = mutated(entries[at]["resource"], random)
    elif isinstance(value, dict):
        made["prefetch"][key] = mutated(value, random)


def _change_key(made: dict[str, Any], random: Random) -> None:
    """One of the ways in which a client answers a template with something else."""
    key = random.choice(list(world.full_prefetch()))
    outcome = {"resourceType": "OperationOutcome", "issue": [{"diagnostics": CANARY}]}
    other = {"resourceType": CANARY_ID}
    paged = world.bundle([], link=[{"relation": "next", "url": random.choice(URLS)}])
    choices: tuple[Any, ...] = (None, outcome, other, paged, world.bundle([]), {}, [], CANARY, 5)
    made["prefetch"][key] = deepcopy(random.choice(choices))
    if random.random() < 0.3:
        del made["prefetch"][key]
    if random.random() < 0.2:
        made["prefetch"]["extra"] = random.choice(choices)


def _change_note(made: dict[str, Any], random: Random) -> None:
    """A note of any media type and content: markup, bombs, binary, broken base64."""
    text = random.choice(TEXTS).encode("utf-8", "surrogatepass")
    deep = b"<div>" * 20_000 + text
    entities = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>' + text
    zipped = gzip.compress(b"\x00" * 2_000_000)
    rtf = b"{\\rtf1 " + b"{\\b " * 5000 + text
    contents = (text, deep, entities, zipped, rtf, b"%PDF-1.7\n" + text, random.randbytes(200))
    kinds = ("text/plain", "text/html", "application/xml", "text/rtf", "application/pdf", CANARY)
    content = random.choice(contents)
    data = base64.b64encode(content).decode()
    attachment = {"contentType": random.choice(kinds), "data": random.choice((data, data[:-3]))}
    if random.random() < 0.2:
        attachment = {"contentType": random.choice(kinds), "url": random.choice(URLS)}
    made["prefetch"]["notes"] = world.bundle([world.note(**attachment)])


def _change_member(made: dict[str, Any], random: Random) -> None:
    name = random.choice(("hook", "hookInstance", "context", "fhirServer", "prefetch", "extension"))
    if name == "context" and isinstance(made.get("context"), dict):
        _put_text(made["context"], random, TEXTS[1:])  # an id is said back, and declared
        return
    choices: tuple[Any, ...] = (*TEXTS, *URLS, *NUMBERS, [], {}, [[]])
    made[name] = random.choice(choices)
    if name == "prefetch" and not isinstance(made[name], dict):
        made[name] = {}


def _change_authorization(made: dict[str, Any], random: Random) -> None:
    made["fhirServer"] = random.choice(URLS)
    made["fhirAuthorization"] = world.authorization()
    name = random.choice(list(made["fhirAuthorization"]))
    made["fhirAuthorization"][name] = random.choice((*TEXTS, *NUMBERS))


def _put_text(holder: dict[str, Any], random: Random, texts: tuple[str, ...] = TEXTS) -> None:
    if holder:
        holder[random.choice(list(holder))] = random.choice((*texts, *NUMBERS))


Change = Callable[[dict[str, Any], Random], None]
_CHANGES: tuple[Change, ...] = (
    _change_resource,
    _change_resource,
    _change_key,
    _change_note,
    _change_member,
    _change_authorization,
)


def _cut(body: bytes, headers: dict[str, str], random: Random) -> bytes:
    return body[: random.randrange(len(body) + 1)]


def _flipped(body: bytes, headers: dict[str, str], random: Random) -> bytes:
    broken = bytearray(body)
    for _ in range(random.randint(1, 8)):
        broken[random.randrange(len(broken))] = random.randrange(256)
    return bytes(broken)


def _zipped(body: bytes, headers: dict[str, str], random: Random) -> bytes:
    headers["Content-Encoding"] = random.choice(("gzip", "deflate", "br", "GZIP", "x"))
    return gzip.compress(body)


def _other_charset(body: bytes, headers: dict[str, str], random: Random) -> bytes:
    charset = random.choice(("utf-16", "utf-32", "utf-7", "latin-1", "utf-8-sig", "zlib"))
    headers["Content-Type"] = f"application/json; charset={charset}"
    return body.decode("utf-8", "replace").encode("utf-16")


def _other_media(body: bytes, headers: dict[str, str], random: Random) -> bytes:
    media = ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded")
    headers["Content-Type"] = random.choice((*media, "application/fhir+json", CANARY, ""))
    return body


def _deep(body: bytes, headers: dict[str, str], random: Random) -> bytes:
    return random.choice((b"[" * 100_000, b'{"a":' * 100_000, b'{"x":' + b"9" * 10_000 + b"}"))


_ENCODINGS = (_cut, _flipped, _zipped, _other_charset, _other_media, _deep)
_HEADERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Accept", ("*/*", "text/html", "application/xml", CANARY)),
    ("Accept-Encoding", ("gzip", "br;q=x", "*")),
    ("Origin", ("https://evil.example", "null", f"https://{CANARY}", "https://ehr.example.org")),
    ("Access-Control-Request-Method", ("POST", CANARY)),
    ("Authorization", ("Bearer x", "Basic eDp5", f"Bearer {CANARY}", "Bearer", "")),
    ("Host", ("evil.example", CANARY_ID, "127.0.0.1:99999", "[::1]")),
    ("X-Forwarded-Host", (f"{CANARY}.example",)),
    ("X-Forwarded-For", (CANARY, "127.0.0.1")),
    ("X-HTTP-Method-Override", ("DELETE",)),
    ("If-None-Match", ("*", '"x"', CANARY)),
    ("If-Modified-Since", ("Thu, 01 Jan 2099 00:00:00 GMT", CANARY)),
    ("Range", ("bytes=0-0", "bytes=5-1", f"bytes={CANARY}")),
    ("Expect", ("100-continue", CANARY)),
    ("Cookie", (f"session={CANARY}",)),
    ("Content-Length", ("-1", "99999999999999", "x")),
    ("Transfer-Encoding", ("chunked", "gzip, chunked", CANARY)),
    ("Content-Type", ("application/json", "application/json; charset=UTF-8; x=" + CANARY)),
)
