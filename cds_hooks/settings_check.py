"""All that is wrong with a settings file, each fault with its line and what to write instead.

The service itself stops at the first fault. Whoever writes the file wants to see all of them.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cds_hooks.ehr_profiles import filled_in
from cds_hooks.errors import SettingsError
from cds_hooks.jwks import load_jwks_file
from cds_hooks.recommendations.library import load_steps
from cds_hooks.settings import Settings
from cds_hooks.settings_faults import faults_of
from cds_hooks.task_settings import task_faults
from cds_hooks.toml_reader import read_table
from cds_hooks.trust import TrustedIssuer
from model.errors import ModelError
from model.predictor import task_names

_AT_LINE = re.compile(r"at line (\d+)")
_TABLE = re.compile(r"\s*(\[\[?)\s*([\w.-]+)\s*\]\]?")
_MEMBER = re.compile(r"\s*([\w-]+)\s*=")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to put right. ``line`` None: it is about something that is not in the file."""

    line: int | None
    message: str
    fix: str = ""


def check_settings(path: Path) -> list[Fault]:
    """Return all faults of a file, by line. Raises SettingsError where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{path}: cannot be read as UTF-8 text: {exc}") from exc
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        found = _AT_LINE.search(str(exc))
        return [Fault(int(found[1]) if found else None, f"not TOML: {exc}")]
    reading = _Reading()
    settings = reading.settings(table)
    errors = [*reading.errors, *faults_of(settings), *_file_faults(settings)]
    faults = [Fault(line_of(text, one.setting), str(one), one.fix) for one in errors]
    return sorted(faults, key=lambda fault: fault.line or 0)


def line_of(text: str, setting: str) -> int | None:
    """Return the line of a setting such as "issuers[1].jku[0]"; of its table, if it has none."""
    if not setting:
        return None
    steps = [re.fullmatch(r"([\w-]+)(?:\[(\d+)\])?", step) for step in setting.split(".")]
    names = [(step[1], int(step[2] or 0)) for step in steps if step]
    table_line, inside, seen = None, "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if table := _TABLE.match(line):
            inside = table[2]
            if inside == names[0][0]:
                seen += 1
                if seen == names[0][1] + 1:
                    table_line = number
            continue
        member = _MEMBER.match(line)
        if member is None:
            continue
        if not inside and member[1] == names[0][0]:
            return number
        right_table = inside == names[0][0] and seen == names[0][1] + 1
        if right_table and len(names) > 1 and member[1] == names[1][0]:
            return number
    return table_line


class _Reading:
    """Reads each member by itself, so that one fault does not hide another."""

    def __init__(self) -> None:
        self.errors: list[SettingsError] = []

    def settings(self, table: Mapping[str, Any]) -> Settings:
        """Return the settings, with the default in place of what cannot be read."""
        plain = {name: value for name, value in table.items() if name != "issuers"}
        good = self._members(Settings, plain, "")
        issuers = table.get("issuers", [])
        if isinstance(issuers, list):
            found = (self._issuer(one, f"issuers[{n}]") for n, one in enumerate(issuers))
            good["issuers"] = tuple(one for one in found if one is not None)
        else:
            self._note(SettingsError("issuers: expected [[issuers]] tables"), "issuers", ())
        return Settings(**good)

    def _issuer(self, issuer: Any, path: str) -> TrustedIssuer | None:
        try:
            whole = filled_in(issuer, path)
        except SettingsError as exc:
            self._note(exc, path, ())
            return None
        if not isinstance(whole, dict) or "iss" not in whole:
            self._note(SettingsError(f"{path}: iss must be set"), path, ())
            return None
        good = self._members(TrustedIssuer, whole, f"{path}.", always=("iss",))
        return TrustedIssuer(**good) if "iss" in good else None

    def _members(
        self, cls: type, table: Mapping[str, Any], where: str, always: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        good = {}
        for name, value in table.items():
            alone = {**{other: table[other] for other in always}, name: value}
            try:
                good[name] = getattr(read_table(cls, alone, where), name)
            except SettingsError as exc:
                self._note(exc, where + name, tuple(field.name for field in fields(cls)))
        return good

    def _note(self, error: SettingsError, setting: str, known: tuple[str, ...]) -> None:
        message = str(error).partition("; known:")[0]
        if message in {str(one) for one in self.errors}:
            return
        fix = error.fix
        name = setting.rpartition(".")[2]
        if name not in known and (close := difflib.get_close_matches(name, known, 1)):
            fix = f"did you mean {close[0]}?"
        setting = error.setting or str(error).partition(":")[0]
        self.errors.append(SettingsError(message, setting=setting, fix=fix))


def _file_faults(settings: Settings) -> Iterator[SettingsError]:
    """What the settings name has to be there, and readable."""
    names = ("tls_certificate", "tls_key", "tls_client_ca", "checkpoint", "encoder", "concept_map")
    for name in names:
        path = getattr(settings, name)
        if path is not None and not path.exists():
            yield SettingsError(
                f"{name}: {path} is not there", setting=name, fix="put it there, or name another"
            )
    yield from _checkpoint_faults(settings)
    try:
        load_steps(settings.recommendations.folder, settings.recommendations.disabled)
    except SettingsError as exc:
        yield exc
    for number, issuer in enumerate(settings.issuers):
        try:
            load_jwks_file(issuer)
        except SettingsError as exc:
            yield SettingsError(
                str(exc),
                setting=f"issuers[{number}].jwks_file",
                fix='a JWK set is a JSON object {"keys": [...]}',
            )
    if settings.key_file is not None and not settings.key_file.exists() and settings.production:
        yield SettingsError(
            f"key_file: {settings.key_file} is not there",
            setting="key_file",
            fix=f"meam keys generate --out {settings.key_file}",
        )


def _checkpoint_faults(settings: Settings) -> Iterator[SettingsError]:
    if not settings.checkpoint.exists():
        return  # told already
    try:
        tasks = task_names(settings.checkpoint)
    except ModelError as exc:
        yield SettingsError(
            f"checkpoint: {exc}", setting="checkpoint", fix="copy the whole folder again"
        )
        return
    yield from task_faults(settings, tasks)
