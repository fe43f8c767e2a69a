"""Finds JWTs and the access token in texts of others, in time that grows with the text alone."""

from __future__ import annotations

import re

_RUN = re.compile(r"[\w.-]+")
_START = "eyJ"  # of an object, in base64
_SHORTEST = 10  # characters of a part that is taken for one of a JWT


def holds_jwt(text: str) -> bool:
    """Say whether a JWT stands in a text."""
    return any(_place(run[0]) >= 0 for run in _RUN.finditer(text))


def without_secrets(text: str, access_token: str) -> str:
    """Return a text in which words stand for the access token and for JWTs."""
    kept = text.replace(access_token, "(access token)") if access_token else text
    return _RUN.sub(_shown, kept)


def _shown(run: re.Match[str]) -> str:
    place = _place(run[0])
    return run[0] if place < 0 else f"{run[0][:place]}(JWT)"


def _place(run: str) -> int:
    """Return where a JWT begins in characters without a break, -1 where there is none."""
    claims = run.find(f".{_START}")
    if claims < 0 or len(run) - claims - 1 < _SHORTEST + len(_START):
        return -1
    start = run.find(_START, 0, claims)
    return start if 0 <= start <= claims - _SHORTEST - len(_START) else -1
