"""Which JWTs are accepted, and whom they name."""

import base64
import hmac
import json
import random
import time
from hashlib import sha256
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from config import Settings
from tests.conftest import Clock, until
from tests.settings import GivenSettings
from users.jwks import Jwks, usable_keys
from users.jwt_verifier import InvalidJwt, JwtVerifier

pytestmark = pytest.mark.anyio

SECRET = "a-secret-of-at-least-thirty-two-bytes"
ISSUER, AUDIENCE = "https://login.example/", "gateway"
RSA_KEY = rsa.generate_private_key(65537, 2048)
KEYS: dict[str, Any] = {
    "RS256": RSA_KEY,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def jwk(algorithm: str, key_id: str, key: Any = None) -> dict[str, Any]:
    public = (key or KEYS[algorithm]).public_key()
    kinds: dict[str, Any] = {
        "RS256": jwt.algorithms.RSAAlgorithm,
        "ES256": jwt.algorithms.ECAlgorithm,
        "EdDSA": jwt.algorithms.OKPAlgorithm,
    }
    return {**json.loads(kinds[algorithm].to_jwk(public)), "kid": key_id, "use": "sig"}


class KeyServer:
    """What JWT_JWKS_URL returns; counts how often it was asked."""

    def __init__(self) -> None:
        self.keys = [jwk(algorithm, algorithm) for algorithm in KEYS]
        self.fetches = 0
        self.is_down = False

    async def __call__(self) -> Any:
        self.fetches += 1
        if self.is_down:
            raise ConnectionError("refused")
        return {"keys": self.keys}


class Monotonic:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def settings(**values: Any) -> Settings:
    defaults = {"_env_file": None, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    return GivenSettings(**defaults | values)


@pytest.fixture
def server() -> KeyServer:
    return KeyServer()


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def verifier(server: KeyServer, clock: Clock, monotonic: Monotonic) -> JwtVerifier:
    values = settings(jwt_secret=SECRET, jwt_jwks_url="https://login.example/keys")
    return JwtVerifier(values, Jwks(server, monotonic=monotonic), clock)


def claims(clock: Clock, **members: Any) -> dict[str, Any]:
    now = clock.now_ms // 1000
    given = {"sub": "ann", "iss": ISSUER, "aud": AUDIENCE, "exp": now + 60, "iat": now} | members
    return {name: value for name, value in given.items() if value is not None}


def signed(clock: Clock, algorithm: str = "HS256", key_id: str | None = None, **members: Any) -> bytes:
    key = KEYS.get(algorithm, SECRET)
    headers = {"kid": key_id or algorithm}
    return jwt.encode(claims(clock, **members), key, algorithm, headers=headers).encode()


def part(value: Any) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


@pytest.mark.parametrize("algorithm", ["HS256", *KEYS])
async def test_each_accepted_algorithm_names_its_user(
    verifier: JwtVerifier, clock: Clock, algorithm: str
) -> None:
    assert await verifier.owner(signed(clock, algorithm)) == "ann"


@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
@pytest.mark.parametrize(
    "members",
    [
        {"exp": None},
        {"exp": 1},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": -(10**400)},
        {"nbf": 10**11},
        {"nbf": "now"},
        {"iss": "https://other.example/"},
        {"iss": None},
        {"iss": 7},
        {"aud": "other"},
        {"aud": None},
        {"aud": [1]},
        {"sub": None},
        {"sub": ""},
        {"sub": {"name": "ann"}},
        {"sub": True},
        {"sub": "ann\nbob"},
        {"sub": "a" * 256},
    ],
)
async def test_a_jwt_with_a_wrong_claim_is_invalid(
    verifier: JwtVerifier, clock: Clock, algorithm: str, members: dict[str, Any]
) -> None:
    now = clock.now_ms // 1000
    body = {"sub": "ann", "iss": ISSUER, "aud": AUDIENCE, "exp": now + 60} | members
    body = {name: value for name, value in body.items() if value is not None}
    payload = part({"alg": algorithm, "kid": algorithm}) + b"." + part(body)
    token = payload + b"." + signature(payload, algorithm)
    with pytest.raises(InvalidJwt):
        await verifier.owner(token)


def signature(payload: bytes, algorithm: str) -> bytes:
    made: Any = jwt.get_algorithm_by_name(algorithm)
    key = SECRET.encode() if algorithm == "HS256" else RSA_KEY
    return base64.urlsafe_b64encode(made.sign(payload, key)).rstrip(b"=")


async def test_no_signature_is_not_a_signature(verifier: JwtVerifier, clock: Clock) -> None:
    for algorithm in ("none", "None", "NONE", None, 7, ["HS256"], "HS384", "PS256", ""):
        payload = part({"alg": algorithm, "kid": "RS256"}) + b"." + part(claims(clock))
        for end in (b"", b"AAAA", signature(payload, "HS256")):
            with pytest.raises(InvalidJwt):
                await verifier.owner(payload + b"." + end)


async def test_a_public_key_is_no_secret(server: KeyServer, clock: Clock, monotonic: Monotonic) -> None:
    """The classic confusion of algorithms: an HMAC made with what everybody can read."""
    public = RSA_KEY.public_key()
    forms = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        part(jwk("RS256", "RS256")),
    ]
    payload = part({"alg": "HS256", "kid": "RS256"}) + b"." + part(claims(clock))
    for secret in ({}, {"jwt_secret": SECRET}):
        values = settings(jwt_jwks_url="https://login.example/keys", **secret)
        verifier = JwtVerifier(values, Jwks(server, monotonic=monotonic), clock)
        for form in forms:
            digest = base64.urlsafe_b64encode(hmac.digest(form, payload, "sha256")).rstrip(b"=")
            with pytest.raises(InvalidJwt):
                await verifier.owner(payload + b"." + digest)


async def test_a_key_verifies_only_its_own_algorithm(verifier: JwtVerifier, clock: Clock) -> None:
    for algorithm in KEYS:
        for key_id in set(KEYS) - {algorithm}:
            with pytest.raises(InvalidJwt):
                await verifier.owner(signed(clock, algorithm, key_id))


async def test_thousands_of_damaged_tokens_open_nothing(verifier: JwtVerifier, clock: Clock) -> None:
    rng, tokens = random.Random(7), [signed(clock), signed(clock, "ES256")]
    rejected = 0
    for number in range(3_000):
        token = bytearray(tokens[number % 2])
        # The last character of a signature has unused bits: changing those changes nothing.
        token[rng.randrange(len(token) - 1)] = rng.choice(b"abcXYZ019-_.~\n\xff")
        if bytes(token) in tokens:
            continue
        with pytest.raises(InvalidJwt):
            await verifier.owner(bytes(token))
        rejected += 1
    assert rejected > 2_700


async def test_a_verified_jwt_ends_at_its_time_although_it_is_remembered(
    verifier: JwtVerifier, clock: Clock
) -> None:
    token = signed(clock, "RS256")
    assert await verifier.owner(token) == "ann"
    clock.go_on(59.9)
    assert await verifier.owner(token) == "ann"
    clock.go_on(0.1)
    with pytest.raises(InvalidJwt):
        await verifier.owner(token)


async def test_without_issuer_and_audience_any_are_accepted(clock: Clock) -> None:
    values = settings(jwt_secret=SECRET, jwt_issuer=None, jwt_audience=None, jwt_user_claim="user")
    verifier = JwtVerifier(values, None, clock)
    assert await verifier.owner(signed(clock, user=42, iss="x", aud=["y"])) == "42"
    with pytest.raises(InvalidJwt):
        await verifier.owner(signed(clock, "RS256", user="ann"))


async def test_a_remembered_jwt_costs_little(verifier: JwtVerifier, clock: Clock) -> None:
    """Compared with verifying a signature, in the same run."""
    token = signed(clock, "RS256")
    await verifier.owner(token)

    async def seconds(tokens: list[bytes]) -> float:
        began = time.perf_counter()
        for each in tokens:
            await verifier.owner(each)
        return time.perf_counter() - began

    fresh = [signed(clock, "RS256", jti=str(number)) for number in range(50)]
    assert await seconds([token] * 50) < await seconds(fresh) / 3


# Keys


async def test_an_unknown_key_id_fetches_the_keys_again_once_in_30_seconds(
    verifier: JwtVerifier, server: KeyServer, clock: Clock, monotonic: Monotonic
) -> None:
    assert await verifier.owner(signed(clock, "RS256")) == "ann"
    assert server.fetches == 1
    new = rsa.generate_private_key(65537, 2048)
    server.keys.append(jwk("RS256", "new", new))
    token = jwt.encode(claims(clock), new, "RS256", headers={"kid": "new"}).encode()
    assert await verifier.owner(token) == "ann"
    assert server.fetches == 2
    for number in range(100):
        with pytest.raises(InvalidJwt):
            await verifier.owner(signed(clock, "RS256", f"made-up-{number}"))
    assert server.fetches == 2
    monotonic.now_s += 30
    with pytest.raises(InvalidJwt):
        await verifier.owner(signed(clock, "RS256", "made-up"))
    assert server.fetches == 3


async def test_known_keys_stay_valid_while_their_address_is_unreachable(
    verifier: JwtVerifier, server: KeyServer, clock: Clock, monotonic: Monotonic
) -> None:
    assert await verifier.owner(signed(clock, "ES256")) == "ann"
    server.is_down = True
    monotonic.now_s += 100_000
    with pytest.raises(InvalidJwt):
        await verifier.owner(signed(clock, "ES256", "unknown"))
    clock.go_on(30)
    assert await verifier.owner(signed(clock, "ES256")) == "ann"


async def test_the_first_keys_are_fetched_when_their_address_is_back(
    verifier: JwtVerifier, server: KeyServer, clock: Clock, monotonic: Monotonic
) -> None:
    server.is_down = True
    for _ in range(3):
        with pytest.raises(InvalidJwt):
            await verifier.owner(signed(clock, "RS256"))
    assert server.fetches == 1
    server.is_down = False
    monotonic.now_s += 2
    assert await verifier.owner(signed(clock, "RS256")) == "ann"


async def test_a_withdrawn_key_is_forgotten(
    verifier: JwtVerifier, server: KeyServer, clock: Clock, monotonic: Monotonic
) -> None:
    assert await verifier.owner(signed(clock, "RS256")) == "ann"
    server.keys = server.keys[1:]
    monotonic.now_s += 600
    assert await verifier.owner(signed(clock, "RS256", jti="1")) == "ann"  # starts a fetch, waits for none
    await until(lambda: server.fetches == 2)
    assert await verifier.owner(signed(clock, "ES256", jti="2")) == "ann"
    with pytest.raises(InvalidJwt):
        await verifier.owner(signed(clock, "RS256", "RS256", jti="3"))


@pytest.mark.parametrize("document", [None, [], {}, {"keys": None}, {"keys": [None, 1, {}, {"kty": "RSA"}]}])
def test_an_unusual_document_has_no_keys(document: Any) -> None:
    assert usable_keys(document) == {}


def test_secrets_and_keys_for_encryption_are_left_out() -> None:
    secret = {"kty": "oct", "k": base64.urlsafe_b64encode(sha256(b"x").digest()).decode(), "kid": "a"}
    assert usable_keys({"keys": [secret, {**jwk("RS256", "b"), "use": "enc"}]}) == {}
