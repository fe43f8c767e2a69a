"""gunicorn's configuration: ``gunicorn -c python:cds_hooks.gunicorn_conf``.

One process that holds the model once, with threads: NumPy and ONNX Runtime release the lock of
the interpreter while they compute. More processes (``workers``) cost the model's memory each.
Everything that can be set is in settings.py.
"""

from __future__ import annotations

import os
import resource
import shutil
import ssl
import tempfile
import threading
from collections.abc import Callable
from typing import Any

from cds_hooks.settings import load_settings

_settings = load_settings()
# Memory holds charts and tokens: no core files. The database and its log are for us alone.
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.umask(0o077)
# Before NumPy is loaded. Its matrices here are small: a second thread of OpenBLAS only spins beside
# the first, which doubled the processor time of a prediction.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if _settings.workers > 1:
    # Workers add up their figures in files. prometheus_client looks for the folder when it is
    # imported, so nothing above, and only functions below, may import it.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="meam-figures-")

wsgi_app = "cds_hooks.app:create_app()"
bind = _settings.bind
workers = _settings.workers
worker_class = "cds_hooks.discreet_worker.DiscreetWorker"  # and bounded, see there
# A thread for each hook at work or waiting, and some for health checks and explanation pages.
threads = _settings.max_concurrent_hooks + _settings.max_waiting_hooks + 8
timeout = 60  # of the worker's heart beat, not of a request
graceful_timeout = 30
keepalive = 5
accesslog = None  # addresses may be signed links; we log routes ourselves
errorlog = "-"
logger_class = "cds_hooks.discreet_worker.DiscreetLog"
control_socket_disable = True  # nobody needs to steer gunicorn from beside
certfile = str(_settings.tls_certificate) if _settings.tls == "direct" else None
keyfile = str(_settings.tls_key) if _settings.tls == "direct" else None
ca_certs = str(_settings.tls_client_ca) if _settings.tls_client_ca else None
cert_reqs = ssl.CERT_REQUIRED if _settings.tls_client_ca else ssl.CERT_NONE


def ssl_context(_config: Any, default_factory: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """TLS 1.2 or later."""
    context = default_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def post_worker_init(worker: Any) -> None:
    """Do beside the first requests what they would wait for or do without.

    That is keys of issuers, what FHIR servers say that they can do, and rare units.
    """
    from cds_hooks.warm_up import settle_memory, share_arenas

    share_arenas()
    settle_memory()
    threading.Thread(target=_prepare, args=(worker,), daemon=True).start()


def _prepare(worker: Any) -> None:
    from cds_hooks.parts import parts_of
    from fhir_adapters import ucum  # here, since its import alone takes a second

    parts = parts_of(worker.wsgi)
    parts.adviser.statements.prepare(parts.authenticator.fhir_servers())
    parts.authenticator.fetch_keys()
    ucum.preload()


def worker_exit(_server: Any, worker: Any) -> None:
    """Give the database's connections back."""
    from cds_hooks.parts import parts_of

    if worker.wsgi is not None:
        parts_of(worker.wsgi).store.close()


def child_exit(_server: Any, worker: Any) -> None:
    """Leave out of the sums what only a living worker has."""
    if _settings.workers > 1:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)


def on_exit(_server: Any) -> None:
    """Remove the workers' figures."""
    if _settings.workers > 1:
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
