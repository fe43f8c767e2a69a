"""Benchmarks, each a command; ``make bench`` runs them all."""

import os

# Before NumPy is loaded, as gunicorn_conf.py does for the service that is measured.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
