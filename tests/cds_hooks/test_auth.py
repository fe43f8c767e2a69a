"""Requirements 15, 64 and 67 to 77: who may call. Every fault is a 401 without detail."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer
from werkzeug import Response

from cds_hooks.errors import NotReady, Unauthenticated
from cds_hooks.jwks import KeySets
from cds_hooks.keys import KeyRing, new_key
from cds_hooks.parts import parts_of
from cds_hooks.retention import purge
from cds_hooks.store import Store
from cds_hooks.trust import TrustedIssuer
from fhir_adapters.client import new_session
from tests.cds_hooks import signing, world
from tests.cds_hooks.conftest import Service
from tests.cds_hooks.signing import bearer, claims, ec_key, jwk, rsa_key, token

URL = "/cds-services/meam-risk"
JWKS = {"keys": [jwk(ec_key())]}


def issuer(**changes: Any) -> TrustedIssuer:
    values: dict[str, Any] = {"iss": signing.ISS, "jwks": JWKS, **changes}
    return TrustedIssuer(**values)


@pytest.fixture
def secured(service: Service) -> Any:
    """Makes clients of a service that asks for JWTs; the issuer's members by keyword."""

    def make(
        clock: Any = lambda: world.NOW, protect_discovery: bool = False, **changes: Any
    ) -> Any:
        return service(
            clock=clock,
            mode_auth="jwt",
            public_base_url=signing.BASE,
            issuers=(issuer(**changes),),
            protect_discovery=protect_discovery,
        )

    return make


@pytest.fixture
def client(secured: Any) -> FlaskClient:
    made: FlaskClient = secured()
    return made


def _post(client: FlaskClient, value: str | None, **headers: str) -> Any:
    sent = {**(bearer(value) if value is not None else {}), **headers}
    return client.post(URL, json=world.hook_request(), headers=sent)


def _refused(response: Any) -> None:
    assert response.status_code == 401
    assert response.get_data() == b""
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_good_jwt_is_accepted(client: FlaskClient) -> None:
    assert _post(client, token()).status_code == 200


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwdw==", "Bearer a.b.c", "Bearer " + "x" * 20_000],
)
def test_r67_without_a_jwt_401(client: FlaskClient, header: str | None) -> None:
    sent = {"Authorization": header} if header is not None else {}
    _refused(client.post(URL, json=world.hook_request(), headers=sent))


def test_r67_every_address_asks_for_a_jwt(client: FlaskClient) -> None:
    _refused(client.post(URL, json=world.hook_request()))
    _refused(client.post(f"{URL}/feedback", json={"feedback": []}))


def test_r67_open_mode_warns_at_start_and_on_each_card(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    client = service()
    assert "callers are not authenticated" in capsys.readouterr().err
    (card,) = client.post(URL, json=world.hook_request()).json["cards"]
    assert "open development mode: callers are not authenticated" in card["detail"]


def test_r15_discovery_may_be_protected(secured: Any) -> None:
    client = secured(protect_discovery=True)
    _refused(client.get("/cds-services"))
    good = token(aud=f"{signing.BASE}/cds-services")
    assert client.get("/cds-services", headers=bearer(good)).status_code == 200
    _refused(client.get("/cds-services", headers=bearer(token())))


@pytest.mark.parametrize(
    "header",
    [{"kid": None}, {"kid": ""}, {"kid": 1}, {"typ": None}, {"typ": "at+jwt"}, {"crit": ["b64"]}],
)
def test_r68_the_header_needs_kid_and_typ(client: FlaskClient, header: dict[str, Any]) -> None:
    _refused(_post(client, _signed(header)))


@pytest.mark.parametrize("kid", ["a b/c=", "a-b_c=", "a+b/c", "A+b/c="])
def test_r68_kid_is_compared_byte_for_byte(client: FlaskClient, kid: str) -> None:
    _refused(_post(client, token(header={"kid": kid})))


def test_r68_a_kid_that_is_not_unique_is_refused(secured: Any) -> None:
    client = secured(jwks={"keys": [jwk(ec_key()), jwk(rsa_key())]})
    _refused(_post(client, token()))


def _signed(header: dict[str, Any], key: Any = None, **changes: Any) -> str:
    """A JWT signed by hand, so that header and claims may be anything."""
    whole = {"alg": "ES384", "typ": "JWT", "kid": signing.KID, **header}
    whole = {name: value for name, value in whole.items() if value is not None}
    signed = ".".join(_b64(json.dumps(part).encode()) for part in (whole, claims(**changes)))
    der = (key or ec_key()).sign(signed.encode(), ec.ECDSA(hashes.SHA384()))
    r, s = decode_dss_signature(der)
    return f"{signed}.{_b64(r.to_bytes(48) + s.to_bytes(48))}"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def test_the_hand_signed_jwt_is_good_when_nothing_is_wrong_with_it(client: FlaskClient) -> None:
    assert _post(client, _signed({})).status_code == 200


def test_r69_alg_none_is_refused(client: FlaskClient) -> None:
    parts = [
        _b64(json.dumps(part).encode())
        for part in (
            {"alg": "none", "typ": "JWT", "kid": signing.KID},
            claims(),
        )
    ]
    _refused(_post(client, ".".join([*parts, ""])))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_r69_the_public_key_is_no_shared_secret(client: FlaskClient, algorithm: str) -> None:
    header = {"alg": algorithm, "typ": "JWT", "kid": signing.KID}
    signed = ".".join(_b64(json.dumps(part).encode()) for part in (header, claims()))
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    mac = hmac.new(signing.public_pem(ec_key()), signed.encode(), digest).digest()
    _refused(_post(client, f"{signed}.{_b64(mac)}"))


def test_r69_a_p256_key_does_not_do_for_es384(secured: Any) -> None:
    client = secured(jwks={"keys": [jwk(ec_key("P-256"))]})
    _refused(_post(client, _signed({}, ec_key("P-256"))))


def test_r69_rs384_where_it_is_listed(secured: Any) -> None:
    client = secured(jwks={"keys": [jwk(rsa_key())]}, algorithms=("RS384",))
    assert _post(client, token(rsa_key(), "RS384")).status_code == 200
    _refused(_post(client, token(rsa_key(), "RS256")))
    _refused(_post(client, token(ec_key(), "ES384")))


def test_r69_a_key_for_another_algorithm_or_use_is_refused(secured: Any) -> None:
    for members in ({"alg": "ES256"}, {"use": "enc"}):
        client = secured(jwks={"keys": [jwk(ec_key(), **members)]})
        _refused(_post(client, token()))


def test_r69_short_rsa_keys_are_refused(secured: Any) -> None:
    client = secured(jwks={"keys": [jwk(rsa_key(1024))]}, algorithms=("RS384",))
    with pytest.warns(UserWarning, match="below the minimum"):
        short = token(rsa_key(1024), "RS384")
    _refused(_post(client, short))


def test_a_changed_signature_or_claim_is_refused(client: FlaskClient) -> None:
    head, _, signature = token().split(".")
    other = _b64(json.dumps(claims(exp=9_999_999_999)).encode())
    _refused(_post(client, f"{head}.{other}.{signature}"))
    _, body, signature = token(rsa_key(), "RS384").split(".")
    _refused(_post(client, f"{head}.{body}.{signature}"))


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "iat", "jti"])
def test_r70_each_claim_is_required(client: FlaskClient, name: str) -> None:
    _refused(_post(client, token(**{name: None})))


def test_r70_other_claims_are_tolerated(client: FlaskClient) -> None:
    now = int(world.NOW.timestamp())
    assert _post(client, token(nbf=now - 5, sub="ehr", tenant="t", x={"y": 1})).status_code == 200


def test_r70_nbf_is_honoured(client: FlaskClient) -> None:
    _refused(_post(client, token(nbf=int(world.NOW.timestamp()) + 90)))


def test_r71_foreign_issuers_are_refused(client: FlaskClient) -> None:
    _refused(_post(client, token(iss="https://other.example.org")))
    _refused(_post(client, token(iss=signing.ISS + "/")))


def test_r71_a_foreign_jku_is_not_fetched(secured: Any, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/evil").respond_with_json(JWKS)
    client = secured()
    _refused(_post(client, token(header={"jku": httpserver.url_for("/evil")})))
    assert httpserver.log == []


def test_r72_keys_from_the_listed_jku(secured: Any, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/jwks").respond_with_json(JWKS)
    jku = httpserver.url_for("/jwks")
    client = secured(jwks={}, jku=(jku,))
    assert _post(client, token(header={"jku": jku})).status_code == 200
    assert _post(client, token()).status_code == 200
    assert len(httpserver.log) == 1, "the set is cached"


def test_r72_keys_from_a_file(secured: Any, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(JWKS))
    assert _post(secured(jwks={}, jwks_file=file), token()).status_code == 200


class Ticks:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def key_sets() -> tuple[KeySets, Ticks]:
    ticks = Ticks()
    return KeySets(new_session(), ticks), ticks


def _kid(sets: KeySets, url: str, kid: str) -> bool:
    try:
        sets.key(issuer(jwks={}, jku=(url,)), None, kid, "ES384")
    except Unauthenticated:
        return False
    return True


def test_r72_an_unknown_kid_asks_once_and_then_not_for_a_while(
    key_sets: tuple[KeySets, Ticks], httpserver: HTTPServer
) -> None:
    sets, ticks = key_sets
    url = httpserver.url_for("/jwks")
    httpserver.expect_request("/jwks").respond_with_json(JWKS)
    assert _kid(sets, url, signing.KID)
    ticks.now_s += 60
    assert not any(_kid(sets, url, "new") for _ in range(20))
    assert len(httpserver.log) == 2
    httpserver.clear_all_handlers()
    httpserver.expect_request("/jwks").respond_with_json({"keys": [jwk(ec_key(), "new")]})
    ticks.now_s += 60
    assert _kid(sets, url, "new")
    assert not _kid(sets, url, signing.KID), "rotated out"


def test_r72_who_comes_back_when_told_to_finds_keys_that_were_late(
    key_sets: tuple[KeySets, Ticks], httpserver: HTTPServer
) -> None:
    """An issuer that starts after us: 503 for as long as Retry-After says, not for longer."""
    sets, ticks = key_sets
    url = httpserver.url_for("/jwks")
    for _ in range(20):
        with pytest.raises(NotReady) as refused:
            _kid(sets, url, signing.KID)
    assert len(httpserver.log) == 1, "nobody can make us hammer"
    httpserver.expect_request("/jwks").respond_with_json(JWKS)
    ticks.now_s += refused.value.retry_after_s or 0
    assert _kid(sets, url, signing.KID)
    httpserver.clear()


@pytest.mark.parametrize(
    "answer",
    [
        Response(status=500),
        Response(status=302, headers={"Location": "/elsewhere"}),
        Response("<html>"),
        Response("[" * 100_000),
        Response(json.dumps({"keys": {}})),
        Response(" " * 300_000),
    ],
)
def test_r72_keys_that_cannot_be_fetched_are_503_and_leave_old_keys(
    key_sets: tuple[KeySets, Ticks], httpserver: HTTPServer, answer: Response
) -> None:
    sets, ticks = key_sets
    url = httpserver.url_for("/jwks")
    httpserver.expect_request("/elsewhere").respond_with_json(JWKS)
    httpserver.expect_oneshot_request("/jwks").respond_with_response(answer)
    with pytest.raises(NotReady):
        _kid(sets, url, signing.KID)
    httpserver.expect_oneshot_request("/jwks").respond_with_json(JWKS)
    ticks.now_s += 31
    assert _kid(sets, url, signing.KID)
    httpserver.expect_oneshot_request("/jwks").respond_with_response(answer)
    ticks.now_s += 3600
    assert _kid(sets, url, signing.KID), "an issuer whose server is down is not locked out"
    ticks.now_s += 25 * 3600
    with pytest.raises(NotReady):
        _kid(sets, url, signing.KID)
    assert not [entry for entry, _ in httpserver.log if entry.path == "/elsewhere"]


def test_r72_keys_are_fetched_ahead_of_the_first_request(
    secured: Any, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/jwks").respond_with_json(JWKS)
    client = secured(jwks={}, jku=(httpserver.url_for("/jwks"), httpserver.url_for("/gone")))
    parts_of(client.application).authenticator.fetch_keys()
    assert _post(client, token()).status_code == 200
    assert len(httpserver.log) == 2
    httpserver.clear()


def test_r72_private_members_are_ignored(key_sets: tuple[KeySets, Ticks]) -> None:
    private = {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec_key())), "kid": signing.KID}
    assert "d" in private
    sets, _ = key_sets
    key = sets.key(issuer(jwks={"keys": [private]}), None, signing.KID, "ES384")
    assert not hasattr(key.key, "private_numbers")


@pytest.mark.parametrize(
    "aud",
    [
        signing.BASE,
        signing.URL + "/",
        signing.URL.replace("meam-risk", "other"),
        signing.URL + "/feedback",
        "http://localhost" + URL,
        [],
        ["https://a.example.org"],
        1,
    ],
)
def test_r73_the_audience_is_the_exact_address(client: FlaskClient, aud: Any) -> None:
    _refused(_post(client, token(aud=aud)))


def test_r73_the_audience_may_be_an_array(client: FlaskClient) -> None:
    assert _post(client, token(aud=["https://a.example.org", signing.URL])).status_code == 200


def test_r73_host_headers_do_not_count(client: FlaskClient) -> None:
    evil = token(aud="https://evil.example" + URL)
    forwarded = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    _refused(_post(client, evil, Host="evil.example", **forwarded))


def test_r73_an_audience_that_a_hospital_typed_in(secured: Any) -> None:
    client = secured(audiences=("meam production",))
    assert _post(client, token(aud="meam production")).status_code == 200


def test_r64_feedback_accepts_both_audiences(client: FlaskClient) -> None:
    for aud in (signing.URL, f"{signing.URL}/feedback"):
        response = client.post(
            f"{URL}/feedback", json={"feedback": []}, headers=bearer(token(aud=aud))
        )
        assert response.status_code == 200


@pytest.mark.parametrize(
    ("shift_s", "life_s", "status"),
    [
        (-361, 300, 401),  # expired 61 s ago
        (-330, 300, 200),  # expired 30 s ago
        (30, 300, 200),  # issued 30 s in the future
        (61, 300, 401),
        (0, 3600, 200),
        (0, 3601, 401),
        (0, 0, 401),
        (0, -10, 401),
    ],
)
def test_r74_times_with_a_minute_of_leeway(
    client: FlaskClient, shift_s: int, life_s: int, status: int
) -> None:
    iat = int(world.NOW.timestamp()) + shift_s
    assert _post(client, token(iat=iat, exp=iat + life_s)).status_code == status


@pytest.mark.parametrize("value", ["soon", True, [], 1e300, float("inf"), float("nan"), 10**400])
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_r74_times_that_are_no_times_are_refused(
    client: FlaskClient, name: str, value: Any
) -> None:
    _refused(_post(client, _signed({}, **{name: value})))


def test_r75_a_jwt_is_good_once(client: FlaskClient) -> None:
    once = token()
    assert _post(client, once).status_code == 200
    _refused(_post(client, once))


def test_r75_the_same_jti_in_another_jwt_is_refused(client: FlaskClient) -> None:
    assert _post(client, token(jti="j-1")).status_code == 200
    _refused(_post(client, token(jti="j-1")))


@pytest.mark.parametrize("jti", ["", 1, ["a"]])
def test_r75_jti_is_a_string(client: FlaskClient, jti: Any) -> None:
    _refused(_post(client, _signed({}, jti=jti)))


def test_r75_workers_share_what_they_have_seen(tmp_path: Path) -> None:
    keys = KeyRing([new_key()])
    url = f"sqlite:///{tmp_path / 'shared.sqlite'}"
    stores = [Store(url, keys) for _ in range(2)]
    assert stores[0].first_use("iss", "jti", 1.0)
    assert not stores[1].first_use("iss", "jti", 1.0)
    assert stores[1].first_use("other", "jti", 1.0)
    for store in stores:
        store.close()


def test_r75_of_many_at_once_one_is_first(tmp_path: Path) -> None:
    keys = KeyRing([new_key()])
    url = f"sqlite:///{tmp_path / 'shared.sqlite'}"
    stores = [Store(url, keys) for _ in range(4)]
    firsts: list[bool] = []
    start = threading.Barrier(4)

    def use(store: Store) -> None:
        start.wait()
        firsts.append(store.first_use("iss", "jti", 1.0))

    threads = [threading.Thread(target=use, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(firsts) == [False, False, False, True]
    for store in stores:
        store.close()


def test_r75_seen_ids_are_forgotten_after_they_expire(tmp_path: Path) -> None:
    store = Store(
        f"sqlite:///{tmp_path / 's.sqlite'}", KeyRing([new_key()]), clock=lambda: world.NOW
    )
    now_s = world.NOW.timestamp()
    store.first_use("iss", "old", now_s - 1)
    store.first_use("iss", "new", now_s + 1)
    assert purge(store, timedelta(days=1))["replays"] == 1
    assert store.first_use("iss", "old", now_s + 1)
    assert not store.first_use("iss", "new", now_s + 1)
    store.close()


@pytest.mark.parametrize(
    ("tenants", "claim", "status"),
    [
        ((), None, 200),
        ((), "north", 200),
        (("north",), "north", 200),
        (("north",), "south", 403),
        (("north",), None, 403),
        (("north",), ["north"], 403),
    ],
)
def test_r76_tenants(secured: Any, tenants: tuple[str, ...], claim: Any, status: int) -> None:
    assert _post(secured(tenants=tenants), token(tenant=claim)).status_code == status


@pytest.mark.parametrize("claim", ["a\x00b", "a\ud800b"])
def test_a_tenant_that_no_database_can_hold_is_refused(secured: Any, claim: str) -> None:
    client = secured()
    assert _post(client, token(tenant="Größe 7")).status_code == 200
    assert _post(client, token(tenant=claim)).status_code == 401


def test_an_issuer_may_be_limited_to_services(secured: Any) -> None:
    assert _post(secured(services=("other",)), token()).status_code == 403
    assert _post(secured(services=("meam-risk",)), token()).status_code == 200


def test_r77_a_refused_jwt_is_not_logged_or_stored(
    client: FlaskClient, log: Any, tmp_path: Path
) -> None:
    good, bad = token(), token(aud="https://other.example.org")
    _post(client, good)
    _refused(_post(client, bad))
    kept = log.getvalue().encode() + b"".join(f.read_bytes() for f in tmp_path.iterdir())
    for value in (good, bad):
        assert all(part.encode() not in kept for part in value.split("."))
    assert "InvalidAudienceError" in log.getvalue()
    assert signing.ISS in log.getvalue()


def test_each_issuer_has_its_own_fhir_servers(secured: Any) -> None:
    client = secured(fhir_servers=("https://fhir.example.org/r4",))
    for url, status in (("https://fhir.example.org/r4", 200), ("https://fhir.example.org", 403)):
        request = world.hook_request(fhirServer=url)
        assert client.post(URL, json=request, headers=bearer(token())).status_code == status


def test_prefetch_only_issuers_are_never_called_back(secured: Any, httpserver: HTTPServer) -> None:
    client = secured(prefetch_only=True)
    request = world.hook_request(fhirServer=httpserver.url_for("/r4"))
    del request["prefetch"]["notes"]
    response = client.post(URL, json=request, headers=bearer(token()))
    assert response.status_code == 200
    assert (
        "clinical notes: not available, the client did not send it"
        in response.json["cards"][0]["detail"]
    )
    assert httpserver.log == []


def test_r80_links_go_only_to_agreed_hosts(secured: Any) -> None:
    for hosts, expected in (((), True), (("cds.example.org",), True), (("other.org",), False)):
        (card,) = _post(secured(link_hosts=hosts), token()).json["cards"]
        assert ("links" in card) is expected


def test_r69_a_key_of_one_issuer_does_not_sign_for_another(service: Service) -> None:
    other = issuer(
        iss="https://b.example.org", jwks={"keys": [jwk(rsa_key())]}, algorithms=("RS384",)
    )
    client = service(mode_auth="jwt", public_base_url=signing.BASE, issuers=(issuer(), other))
    assert _post(client, token()).status_code == 200
    _refused(_post(client, token(iss="https://b.example.org")))
    assert _post(client, token(rsa_key(), "RS384", iss=other.iss)).status_code == 200
    _refused(_post(client, token(rsa_key(), "RS384")))


def test_r69_a_key_inside_the_jwt_is_not_used(client: FlaskClient, httpserver: HTTPServer) -> None:
    attacker = ec.generate_private_key(ec.SECP384R1())
    url = httpserver.url_for("/x5u")
    httpserver.expect_request("/x5u").respond_with_data("")
    for header in ({"jwk": jwk(attacker)}, {"x5u": url}, {"x5c": ["AA=="]}):
        _refused(_post(client, _signed(header, attacker)))
    assert httpserver.log == []


def test_r69_alg_is_compared_letter_by_letter(client: FlaskClient) -> None:
    for algorithm in ("es384", "ES384 ", "None", "NONE", None, 384, ["ES384"]):
        _refused(_post(client, _signed({"alg": algorithm})))


@pytest.mark.parametrize("part", ["header", "claims"])
def test_r77_deeply_nested_tokens_are_401(client: FlaskClient, part: str) -> None:
    deep = _b64(("[" * 6_000 + "]" * 6_000).encode())
    good = token().split(".")
    good[0 if part == "header" else 1] = deep
    _refused(_post(client, ".".join(good)))


def test_r71_the_jku_of_another_issuer_is_foreign_too(
    service: Service, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/a").respond_with_json({"keys": []})
    httpserver.expect_request("/b").respond_with_json(JWKS)
    a = issuer(jwks={}, jku=(httpserver.url_for("/a"),))
    b = issuer(iss="https://b.example.org", jwks={}, jku=(httpserver.url_for("/b"),))
    client = service(mode_auth="jwt", public_base_url=signing.BASE, issuers=(a, b))
    _refused(_post(client, token(header={"jku": b.jku[0]})))
    assert httpserver.log == []


def test_r72_without_the_issuers_keys_503_and_no_card(secured: Any, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/jwks").respond_with_data("", status=500)
    client = secured(jwks={}, jku=(httpserver.url_for("/jwks"),))
    for _ in range(3):
        response = _post(client, token())
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "5"
    assert len(httpserver.log) == 1, "a server that fails is asked once in half a minute"
    httpserver.clear()


def test_r74_a_shorter_life_for_one_issuer(secured: Any) -> None:
    client = secured(longest_life_s=300)
    now = int(world.NOW.timestamp())
    assert _post(client, token(exp=now + 300)).status_code == 200
    _refused(_post(client, token(exp=now + 301)))


def test_r73_the_audience_of_another_issuer_does_not_count(service: Service) -> None:
    other = issuer(iss="https://b.example.org", audiences=("typed in",))
    client = service(mode_auth="jwt", public_base_url=signing.BASE, issuers=(issuer(), other))
    assert _post(client, token(iss=other.iss, aud="typed in")).status_code == 200
    _refused(_post(client, token(aud="typed in")))


def test_r68_a_byte_changed_anywhere_is_refused(client: FlaskClient) -> None:
    good = _signed({})
    for place in range(0, len(good), 23):
        changed = good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]
        _refused(_post(client, changed))
