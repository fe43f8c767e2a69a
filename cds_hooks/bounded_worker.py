"""gunicorn's threaded worker, where no client holds a thread for as long as it likes.

gunicorn leaves slow clients to a proxy. Without one, as many connections as there are threads,
each sending a byte now and then, would stop the service. So a connection waits for its first byte
without a thread, and a request that is not there whole after ``read_limit_ms`` ends as if the
client had closed: its thread is free again, and a hook that was worked on already still answers.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]


class BoundedThreadWorker(ThreadWorker):
    """A ThreadWorker with an end to every connection's turn."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turns: dict[TConn, float] = {}  # since when a thread is at work for a connection
        self._lock = threading.Lock()
        self._read_limit_s = 0.0
        self._whole_limit_s = 0.0

    def load_wsgi(self) -> None:
        """Load the application, and take the limits from its settings."""
        from cds_hooks.parts import parts_of  # not in gunicorn's master, which needs none of it

        super().load_wsgi()
        settings = parts_of(self.wsgi).settings
        self._read_limit_s = settings.read_limit_ms / 1000
        # After reading, an answer may take its hard limit, and as long again to be written.
        self._whole_limit_s = self._read_limit_s + 2 * settings.hard_limit_ms / 1000

    def enqueue_req(self, conn: TConn) -> None:
        """Give a connection a thread; a new one only when its first byte is there."""
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(conn)
        readable = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, readable)

    def handle(self, conn: TConn) -> Any:
        """Read a request and answer it, in a thread."""
        with self._lock:
            self._turns[conn] = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            with self._lock:
                self._turns.pop(conn, None)

    def murder_pending(self) -> None:
        """Called about once a second, also while the worker stops."""
        super().murder_pending()
        now_s = time.monotonic()
        with self._lock:
            turns = list(self._turns.items())
        for conn, since_s in turns:
            if now_s - since_s > self._whole_limit_s:
                _shut(conn, socket.SHUT_RDWR)
            elif now_s - since_s > self._read_limit_s:
                _shut(conn, socket.SHUT_RD)


def _shut(conn: TConn, how: int) -> None:
    """End one direction. A TLS socket's own ``shutdown`` would go on in clear text."""
    try:
        socket.socket.shutdown(conn.sock, how)
    except OSError:
        return  # closed meanwhile
