"""How a run signs in: a token that it is given, or one that it gets by SMART Backend Services."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from conformance.bounded import NoAnswer
from conformance.client_keys import ClientKeys, PrivateKey
from conformance.exchange import Answer, NotJson, Wire
from conformance.sandbox.server import Server, outcome_codes, told

DEFAULT_SCOPE = "system/*.rs"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class NoAccess(Exception):
    """There is no token; the message is one sentence and holds no secret."""


def token_of_file(path: Path) -> str:
    """Read a token: the file's one line. Raises NoAccess."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise NoAccess(f"{path} cannot be read as a token.") from exc
    if not token or any(character.isspace() for character in token):
        raise NoAccess(f"{path}: expected one token and nothing else.")
    return token


def backend_token(
    fhir: str,
    client_id: str,
    key: PrivateKey,
    kid: str,
    scope: str = DEFAULT_SCOPE,
    authority: Path | None = None,
) -> str:
    """Get a token for a client without a user. Raises NoAccess.

    The token endpoint is the one of .well-known/smart-configuration below the FHIR base URL.
    """
    wire = Wire(authority=authority)
    try:
        endpoint = _token_endpoint(Server(fhir, wire))
        assertion = ClientKeys(client_id, key, kid).token(endpoint, {"claims": {"sub": client_id}})
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": _ASSERTION,
            "client_assertion": assertion,
        }
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        return _token(
            wire.send("POST", endpoint, headers, urlencode(form).encode(), "POST token endpoint")
        )
    except NoAnswer as exc:
        raise NoAccess(str(exc)) from exc
    finally:
        wire.close()


def _token_endpoint(server: Server) -> str:
    answer = server.ask(".well-known/smart-configuration", accept="application/json")
    endpoint = _object(answer).get("token_endpoint")
    if not isinstance(endpoint, str) or not endpoint.startswith(("https://", "http://")):
        raise NoAccess(f"{answer.what}: {told(answer)}, and it names no token_endpoint.")
    return endpoint


def _token(answer: Answer) -> str:
    body = _object(answer)
    token = body.get("access_token")
    if answer.status == 200 and isinstance(token, str) and token:
        return token
    error = body.get("error")
    known = isinstance(error, str) and error.replace("_", "").isalpha() and len(error) < 40
    said = f" ({error})" if known and not outcome_codes(answer) else ""
    raise NoAccess(f"The token endpoint gave no token: {told(answer)}{said}.")


def _object(answer: Answer) -> Mapping[str, object]:
    try:
        body = answer.json()
    except NotJson:
        return {}
    return body if isinstance(body, dict) else {}
