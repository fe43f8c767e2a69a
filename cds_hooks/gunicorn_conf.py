"""gunicorn's configuration: ``gunicorn -c python:cds_hooks.gunicorn_conf``.

One process that holds the model once, with threads: NumPy and ONNX Runtime release the lock of
the interpreter while they compute. Everything that can be set is in settings.py.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from typing import Any

from cds_hooks.parts import parts_of
from cds_hooks.settings import load_settings

_settings = load_settings()

wsgi_app = "cds_hooks.app:create_app()"
bind = _settings.bind
workers = 1
worker_class = "gthread"
# A thread for each hook at work or waiting, and some for health checks and explanation pages.
threads = _settings.max_concurrent_hooks + _settings.max_waiting_hooks + 8
timeout = 60  # of the worker's heart beat, not of a request
graceful_timeout = 30
keepalive = 5
accesslog = None  # addresses may be signed links; we log routes ourselves
errorlog = "-"
loglevel = "warning"
certfile = str(_settings.tls_certificate) if _settings.tls == "direct" else None
keyfile = str(_settings.tls_key) if _settings.tls == "direct" else None


def ssl_context(_config: Any, default_factory: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """TLS 1.2 or later."""
    context = default_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def post_worker_init(worker: Any) -> None:
    """Fetch the issuers' keys beside the first requests, not in front of them."""
    authenticator = parts_of(worker.wsgi).authenticator
    threading.Thread(target=authenticator.fetch_keys, daemon=True).start()


def worker_exit(_server: Any, worker: Any) -> None:
    """Give the database's connections back."""
    if worker.wsgi is not None:
        parts_of(worker.wsgi).store.close()
