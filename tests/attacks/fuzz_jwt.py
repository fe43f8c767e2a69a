"""Forged, broken and misused JWTs. Only the whole right one may be let in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.attacks.answers import CANARY
from tests.attacks.target import DISCOVERY, FEEDBACK, HOOK, Target
from tests.cds_hooks import signing, world

_NOW_S = int(world.NOW.timestamp())
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([CANARY, 10**400, [], {}, [[]], signing.ISS, signing.URL])
)
_CLAIM = st.sampled_from(["iss", "aud", "exp", "iat", "nbf", "jti", "sub", "tenant", "x"])
_HEADER = st.sampled_from(["alg", "kid", "typ", "jku", "crit", "b64", "jwk", "x5u", "zip"])
_ALGORITHMS = st.sampled_from(["none", "None", "HS256", "HS384", "ES256", "RS256", "RS384", ""])


@st.composite
def changed(draw: st.DrawFn) -> tuple[str, str]:
    """A token, and what was done to it."""
    kind = draw(st.sampled_from(["claim", "header", "key", "bytes", "signature", "text", "times"]))
    claims = signing.claims(tenant="north")
    header: dict[str, Any] = {"typ": "JWT", "kid": signing.KID}
    if kind == "claim":
        claims[draw(_CLAIM)] = draw(_SCALARS)
    elif kind == "times":
        name = draw(st.sampled_from(["exp", "iat", "nbf"]))
        claims[name] = _NOW_S + draw(st.integers(-(10**12), 10**12) | st.integers(-4000, 4000))
    elif kind == "header":
        header[draw(_HEADER)] = draw(_SCALARS)
    token = _signed(header, claims)
    if kind == "key":
        secret = signing.public_pem(signing.ec_key())
        token = _by_hand({**header, "alg": draw(_ALGORITHMS)}, claims, secret)
    elif kind == "bytes":
        at = draw(st.integers(0, len(token) - 1))
        token = (
            token[:at] + draw(st.sampled_from(["A", ".", "=", "-", "", "\u00e9"])) + token[at + 1 :]
        )
    elif kind == "signature":
        token = token.rpartition(".")[0] + "." + draw(st.sampled_from(["", "AA", "A" * 128, "=="]))
    elif kind == "text":
        token = draw(st.text(max_size=40)) + "." + draw(st.text(max_size=40))
    return token, kind


def forged_tokens(made: Target, count: int, seed_number: int) -> None:
    """Send ``count`` tokens to the protected routes, and check by hand who was let in."""

    @seed(seed_number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(made_token=changed(), path=st.sampled_from([HOOK, HOOK, FEEDBACK]))
    def send(made_token: tuple[str, str], path: str) -> None:
        token, kind = made_token
        header = f"Bearer {token}".encode("utf-8", "surrogatepass").decode("latin-1")
        header = "".join(one for one in header if one.isprintable())
        status = made.post(f"jwt {kind}", path, {}, f"{kind} {token[:300]}", Authorization=header)
        if status not in (401, 403) and not _is_right(token):
            made.results.fault(f"jwt {kind}: let in", token)

    send()
    made.send("jwt none", "GET", DISCOVERY)
    _replay(made)


def _replay(made: Target) -> None:
    header = signing.bearer(signing.token(tenant="north"))
    first = made.post("jwt replay", HOOK, {}, **header)
    again = made.post("jwt replay", HOOK, {}, **header)
    if (first, again) != (400, 401):
        made.results.fault(f"jwt replay: {first}, then {again}")


def _is_right(token: str) -> bool:
    """Whether what was changed leaves the token one that we have to take."""
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(
            token,
            signing.ec_key().public_key(),
            algorithms=["ES384"],
            audience=[signing.URL, f"{signing.URL}/feedback"],
            issuer=signing.ISS,
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
    except (jwt.PyJWTError, ValueError):
        return False
    life = claims["exp"] - claims["iat"]
    in_time = claims["exp"] > _NOW_S - 60 and claims["iat"] <= _NOW_S + 60
    return (
        header.get("typ") == "JWT"
        and "crit" not in header
        and header.get("kid") == signing.KID
        and in_time
        and claims.get("nbf", 0) <= _NOW_S + 60
        and 0 < life <= 3600
    )


def _signed(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Sign whatever is in there, as PyJWT would not let us."""
    head = {"alg": "ES384", **header}
    signing_input = f"{_part(head)}.{_part(claims)}"
    algorithm = jwt.get_algorithm_by_name("ES384")
    signature = algorithm.sign(signing_input.encode(), signing.ec_key())
    return f"{signing_input}.{_b64(signature)}"


def _by_hand(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """The classic attacks: no signature, or the public key as an HMAC secret."""
    signing_input = f"{_part(header)}.{_part(claims)}"
    digest = hmac.new(secret, signing_input.encode(), hashlib.sha256).digest()
    signature = b"" if header["alg"].lower() in ("none", "") else digest
    return f"{signing_input}.{_b64(signature)}"


def _part(value: Any) -> str:
    return _b64(json.dumps(value).encode())


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
