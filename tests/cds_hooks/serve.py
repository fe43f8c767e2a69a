"""The service for gunicorn in tests, with a look into the process."""

from __future__ import annotations

import sys

from flask import Flask, Response, jsonify

from cds_hooks.app import create_app


def application() -> Flask:
    """Build the application from the environment, as the real one does."""
    app = create_app()
    app.add_url_rule("/test/modules", view_func=_modules)
    return app


def _modules() -> Response:
    return jsonify(sorted(sys.modules))
