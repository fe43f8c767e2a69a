"""Sessions whose connections can be cut: no server holds a thread longer than its deadline.

A socket timeout bounds one read, not an answer. A server that drips one header byte at a time
keeps every read short and would hold the thread for hours. The thread that waits for the answers
therefore cuts the sockets of the threads that fetch when the deadline has passed.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class SocketWatch:
    """The sockets in use by the threads of one client, at most one a thread."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        self._lock = threading.Lock()
        self._cut = False

    def hold(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets[threading.get_ident()] = connection
            if self._cut:
                _shut_down(connection)

    def release(self) -> None:
        with self._lock:
            self._sockets.pop(threading.get_ident(), None)

    def cut(self) -> None:
        """End every read in progress, and every later one, by this client's threads."""
        with self._lock:
            self._cut = True
            for connection in self._sockets.values():
                _shut_down(connection)


def _shut_down(connection: socket.socket) -> None:
    # The method of the base class: SSLSocket.shutdown drops its TLS state, which the reading
    # thread is using.
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return  # closed meanwhile


watch_of_this_thread: ContextVar[SocketWatch | None] = ContextVar("socket_watch", default=None)


@contextmanager
def cut_after(seconds: float, watch: SocketWatch | None = None) -> Iterator[None]:
    """Cut the connections that this thread uses, for a thread that nobody waits for.

    A time-out bounds one read only: a server that drips would hold the thread, and all that wait
    for its lock, for hours.
    """
    watch = watch or SocketWatch()
    before = watch_of_this_thread.set(watch)
    timer = threading.Timer(seconds, watch.cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        watch.release()
        watch_of_this_thread.reset(before)


class _WatchedConnection(HTTPConnection):
    def request(self, *args: Any, **kwargs: Any) -> None:
        watch = watch_of_this_thread.get()
        if watch is not None:
            if self.sock is None:
                self.connect()
            watch.hold(self.sock)
        super().request(*args, **kwargs)


class _WatchedTlsConnection(_WatchedConnection, HTTPSConnection):
    pass


class _WatchedPool(HTTPConnectionPool):
    ConnectionCls = _WatchedConnection


class _WatchedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTlsConnection


class _WatchedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _WatchedPool, "https": _WatchedTlsPool}


def new_session(*, connections: int = 8, ca_bundle: Path | None = None) -> requests.Session:
    """Make a session fit for FHIR servers, to be shared by all clients of a process.

    It takes nothing from its environment (a .netrc would replace the token), keeps no cookies
    (they would join the requests of different users) and leaves retries to the transport.
    ``ca_bundle`` is a PEM file of the authorities to trust instead of the public ones.
    """
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    if ca_bundle is not None:
        session.verify = str(ca_bundle)
    adapter = _WatchedAdapter(
        pool_connections=connections,
        pool_maxsize=connections,
        max_retries=urllib3.Retry(0, read=False),
    )
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session
