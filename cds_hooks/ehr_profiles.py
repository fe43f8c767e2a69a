"""Ready profiles of EHRs: what one vendor's ``[[issuers]]`` table always holds.

``profile = "epic"`` in an ``[[issuers]]`` table takes what ``profiles/epic.toml`` holds and the
table does not set itself. What only the site can know stands under ``[needs]`` with the question
to ask; a table without it does not start.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cds_hooks.errors import SettingsError

_FOLDER = Path(__file__).parent / "profiles"


def profile_names() -> tuple[str, ...]:
    """The profiles that there are."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.toml")))


@cache
def read_profile(name: str) -> Mapping[str, Any]:
    """Return a profile: ``description``, ``needs`` and ``issuer``."""
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def with_profiles(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a settings table with the profiles of its issuers filled in.

    Raises SettingsError for a profile that does not exist, or whose needs are not met.
    """
    issuers = table.get("issuers")
    if not isinstance(issuers, list):
        return dict(table)
    filled = [filled_in(issuer, f"issuers[{number}]") for number, issuer in enumerate(issuers)]
    return {**table, "issuers": filled}


def filled_in(issuer: Any, path: str) -> Any:
    """Return one ``[[issuers]]`` table with its profile. Raises SettingsError."""
    if not isinstance(issuer, dict) or "profile" not in issuer:
        return issuer
    name = issuer["profile"]
    if name not in profile_names():
        raise SettingsError(
            f"{path}.profile: there is no profile {name!r}; there are {', '.join(profile_names())}",
            setting=f"{path}.profile",
            fix="name one of these, or leave it out and set all members",
        )
    profile = read_profile(name)
    for member, question in profile.get("needs", {}).items():
        if member not in issuer:
            raise SettingsError(
                f"{path}: the profile {name} needs {member}", setting=path, fix=question
            )
    own = {member: value for member, value in issuer.items() if member != "profile"}
    return {**profile["issuer"], **own}
