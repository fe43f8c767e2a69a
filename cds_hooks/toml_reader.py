"""Tables of a TOML file as frozen dataclasses. A misspelt name is an error, never ignored."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cds_hooks.errors import SettingsError

T = TypeVar("T")


def read_table(cls: type[T], table: Mapping[str, Any], where: str) -> T:
    """Make ``cls`` of a table. Raises SettingsError with the path of the first wrong member."""
    hints = get_type_hints(cls)
    unknown = sorted(set(table) - set(hints))
    if unknown:
        raise SettingsError(f"{where}{unknown[0]}: no such setting; known: {', '.join(hints)}")
    values = {name: _read(hints[name], value, where + name) for name, value in table.items()}
    try:
        return cls(**values)
    except TypeError as exc:
        required = [
            f.name
            for f in dataclasses.fields(cls)  # type: ignore[arg-type]
            if f.default is f.default_factory is dataclasses.MISSING and f.name not in values
        ]
        raise SettingsError(f"{where.rstrip('.')}: {', '.join(required)} must be set") from exc


def _read(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (hint,) = (one for one in arguments if one is not type(None))
        return _read(hint, value, where)
    if origin is Literal:
        return _one_of(arguments, value, where)
    if origin is tuple:
        _expect(value, list, where)
        return tuple(_read(arguments[0], one, f"{where}[{i}]") for i, one in enumerate(value))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        _expect(value, dict, where)
        return read_table(hint, value, where + ".")
    if hint is Path:
        _expect(value, str, where)
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    _expect(value, origin or hint, where)
    return value


def _one_of(allowed: tuple[Any, ...], value: Any, where: str) -> Any:
    if value not in allowed:
        raise SettingsError(f"{where}: expected one of {', '.join(allowed)}, got {value!r}")
    return value


def _expect(value: Any, kind: Any, where: str) -> None:
    if kind is Mapping:
        kind = dict
    right = isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool)
    if not right:
        raise SettingsError(f"{where}: expected {kind.__name__}, got {type(value).__name__}")
