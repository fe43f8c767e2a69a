"""``python -m conformance.ehr``: serve the practice EHR on this machine."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType

import click
from werkzeug.serving import make_server

from conformance.ehr.app import create_app
from conformance.ehr.cds_client import Connection

TOKEN_VARIABLE = "PRACTICE_EHR_FHIR_TOKEN"  # noqa: S105  # the name of a variable, not a secret


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--fhir", required=True, help="Base URL of the FHIR R4 server with the patients.")
@click.option("--service", required=True, help="Base URL of the CDS service, before /cds-services.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8092, show_default=True, help="Port to listen on.")
def main(fhir: str, service: str, host: str, port: int) -> None:
    """Serve the practice EHR: pick a patient, open the chart, see the cards.

    An access token for the FHIR server is read from the environment variable
    PRACTICE_EHR_FHIR_TOKEN.
    """
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    token = os.environ.get(TOKEN_VARIABLE, "")
    connection = Connection(fhir.rstrip("/"), service.rstrip("/"), token)
    url = f"http://{host}:{port}"
    try:
        server = make_server(host, port, create_app(connection, url), threaded=True)
    except (OSError, SystemExit) as exc:  # werkzeug exits by itself where a port is taken
        raise click.ClickException(f"Port {port} on {host} cannot be used; name another.") from exc
    signal.signal(signal.SIGTERM, _stop)
    click.echo(f"Practice EHR: {url}/", err=True)
    server.serve_forever()


def _stop(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
