"""The operator's switch: which services are active, in shadow or off, without a restart.

The file ``kill_switch_file`` is read at each hook. It need not exist. An empty file switches all
services off; else it holds lines such as ``meam-risk = "shadow"``. A file that cannot be understood
switches all off too, and says so: whoever wrote it meant to stop something.
"""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, get_args

import structlog

from cds_hooks.audit import append_audit
from cds_hooks.database import writing
from cds_hooks.errors import NotReady
from cds_hooks.store import Store

Mode = Literal["active", "shadow", "off"]
OnChange = Callable[[str, Mode, Mode], None]  # service, before, now


class ModeSwitch:
    """The mode of each service, now. Shared by the threads of a process."""

    def __init__(
        self, file: Path | None, configured: Mapping[str, Mode], on_change: OnChange
    ) -> None:
        """``configured``: the modes without a file. ``on_change`` is called for each change."""
        self._file = file
        self._configured = dict(configured)
        self._last = dict(configured)
        self._on_change = on_change
        self._lock = threading.Lock()

    def mode(self, service_id: str) -> Literal["active", "shadow"]:
        """Return the mode of a service that works. Raises NotReady for one that is off."""
        modes, fault = self._read()
        self._note(modes)
        mode = modes[service_id]
        if mode == "off":
            raise NotReady("the service was switched off by its operator", diagnostics=fault)
        return mode

    def _read(self) -> tuple[Mapping[str, Mode], str]:
        if self._file is None:
            return self._configured, ""
        try:
            text = self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return self._configured, ""
        except (OSError, UnicodeDecodeError):
            return self._all_off(), "its switch file cannot be read"
        if not text.strip():
            return self._all_off(), ""
        try:
            written = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            return self._all_off(), "its switch file is not understood"
        known = set(self._configured)
        if not set(written) <= known or not all(one in get_args(Mode) for one in written.values()):
            return self._all_off(), "its switch file names no such service or mode"
        return {**self._configured, **written}, ""

    def _all_off(self) -> Mapping[str, Mode]:
        return dict.fromkeys(self._configured, "off")

    def _note(self, modes: Mapping[str, Mode]) -> None:
        if modes == self._last:
            return
        with self._lock:
            changed = [
                (name, before, modes[name])
                for name, before in self._last.items()
                if modes[name] != before
            ]
            self._last = dict(modes)
        for name, before, now in changed:
            self._on_change(name, before, now)


def recorder(store: Store) -> OnChange:
    """Return what puts each change of mode into the audit log."""

    def record(service: str, before: Mode, now: Mode) -> None:
        facts = {"service": service, "before": before, "now": now}
        with writing(store.engine) as connection:
            append_audit(
                connection, store.keys, at=store.clock(), event="mode changed", facts=facts
            )
        structlog.get_logger().warning("mode changed", **facts)

    return record
