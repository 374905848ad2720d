"""Ten thousand requests with tokens and ids that are not theirs: none gets past the authentication.

The application is called as a server calls it, without an HTTP client: a request takes a fraction of a
millisecond.
"""

import asyncio
import json
import random
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from fastapi import FastAPI

from models import PUBLIC_ID_BASE, NewOutput, OutputState
from tests.conftest import NODE, at_runninghub
from tests.users.service import OPERATOR_TOKEN, Served, serving_users
from tests.users.test_isolation import OF_A_TASK, OPERATOR_ONLY, OWN
from transitions import Finished

pytestmark = pytest.mark.anyio

TOKENS, JWTS, OTHERS_IDS = 4_000, 4_000, 2_000
AT_ONCE = 100
JWT_SECRET = "a-secret-of-at-least-thirty-two-bytes"
ISSUER, AUDIENCE = "https://login.example/", "gateway"
HIDDEN = "what only ann may read"
ROUTES = sorted(OF_A_TASK | OPERATOR_ONLY | OWN)


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    directory: Path = tmp_path_factory.mktemp("random")
    tokens = {"jwt_secret": JWT_SECRET, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    async with serving_users(directory, log_level="ERROR", **tokens) as served:
        task = await at_runninghub(
            served.services.database,
            1,
            id="ann-final",
            owner="ann",
            node_info=[{**NODE, "fieldValue": HIDDEN}],
        )
        text = NewOutput(0, OutputState.KEPT, "text/plain", text=HIDDEN)
        run = Finished("1001", [{"text": HIDDEN}], 2.5, {"coins": "3"}, {}, (text,))
        assert await served.services.database.store(task.id, run)
        yield served


async def request(app: FastAPI, route: str, task_id: str, token: bytes) -> tuple[int, bytes]:
    """The status and body of one request."""
    method, path = route.split()
    path = path.format(task_id=task_id, n=0, name="ann", signature="0" * 64, delivery_id="none")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"authorization", b"Bearer " + token)],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    status, body = 0, bytearray()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)
        body.extend(message.get("body", b""))

    await app(scope, receive, send)
    return status, bytes(body)


def damaged(chance: random.Random, token: bytes) -> bytes:
    """A token with one change that is not undone by how it is read."""
    changed = bytearray(token)
    place = chance.randrange(len(changed) - 1)
    match chance.randrange(4):
        case 0:
            changed[place] = chance.choice([each for each in b"abcXYZ019" if each != changed[place]])
        case 1:
            del changed[place : place + 1 + chance.randrange(3)]
        case 2:
            changed[place:place] = chance.randbytes(2).hex().encode()
        case 3:
            changed = bytearray(token.swapcase())
    return bytes(changed)


def random_tokens(chance: random.Random, known: list[bytes]) -> Iterator[bytes]:
    """Anything, and near misses of real tokens."""
    for number in range(TOKENS):
        if number % 2:
            yield damaged(chance, known[number // 2 % len(known)])
        else:
            text = urlsafe_b64encode(chance.randbytes(chance.randrange(1, 60))).rstrip(b"=")
            yield chance.choice([text, b"rhg_" + text, text + b"." + text + b"." + text, b"Bearer " + text])


def jwts(chance: random.Random) -> Iterator[bytes]:
    """JWTs that name ann, each with something wrong."""
    now = int(time.time())
    right = {"sub": "ann", "exp": now + 3600, "iss": ISSUER, "aud": AUDIENCE}
    valid = jwt.encode(right, JWT_SECRET).encode()
    wrong: list[dict[str, Any]] = [
        {**right, "exp": now - 3600},
        {**right, "nbf": now + 3600},
        {**right, "exp": "tomorrow"},
        {**right, "iss": "https://login.example"},
        {**right, "iss": None},
        {**right, "aud": "another"},
        {**right, "sub": ""},
        {**right, "sub": None},
        {**right, "sub": ["ann"]},
        *({name: value for name, value in right.items() if name != left_out} for left_out in right),
    ]
    for number in range(JWTS):
        match number % 4:
            case 0:
                # Unverified: PyJWT refuses to encode some of these claims.
                claims = chance.choice(wrong) | {"n": number}
                yield jwt.api_jws.encode(_json(claims), JWT_SECRET).encode()
            case 1:
                yield jwt.encode({**right, "n": number}, f"{JWT_SECRET}{number}").encode()
            case 2:
                header = chance.choice(
                    [{"alg": "none"}, {"alg": "None"}, {"alg": "HS512"}, {"alg": "RS256"}, {}]
                )
                head, claims_part = (urlsafe_b64encode(_json(each)).rstrip(b"=") for each in (header, right))
                yield head + b"." + claims_part + b"." + chance.choice([b"", valid.rpartition(b".")[2]])
            case 3:
                yield damaged(chance, valid)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


async def statuses(served: Served, tokens: Iterator[bytes], chance: random.Random) -> Counter[int]:
    found: Counter[int] = Counter()
    for token in tokens:
        status, body = await request(served.app, chance.choice(ROUTES), "ann-final", token)
        found[status] += 1
        assert HIDDEN.encode() not in body
    return found


async def test_no_random_or_damaged_token_is_anybodys(served: Served) -> None:
    chance = random.Random(18)
    known = [OPERATOR_TOKEN.encode(), (await served.create_user("cho")).encode()]
    assert await statuses(served, random_tokens(chance, known), chance) == {401: TOKENS}


async def test_no_jwt_with_something_wrong_names_anybody(served: Served) -> None:
    chance = random.Random(19)
    assert await statuses(served, jwts(chance), chance) == {401: JWTS}


async def test_no_spelling_of_another_users_id_finds_the_task(served: Served) -> None:
    chance = random.Random(20)
    bob = (await served.create_user("bob")).encode()
    task = await served.services.database.task("ann-final")
    assert task is not None
    public_id = str(PUBLIC_ID_BASE + task.seq)
    spellings = ["ann-final", "1001", public_id, "ANN-FINAL", "ann-final ", " ann-final", "%61nn-final"]
    spellings += ["ann-final\0", "0001001", "+1001", "1001.0", "*", "%", "_", "' OR 1=1 --", "..", "null"]
    routes = sorted(OF_A_TASK - {"POST /task/query_task_status"})
    found: Counter[int] = Counter()
    for _ in range(OTHERS_IDS // AT_ONCE):
        picked = [(chance.choice(routes), chance.choice(spellings)) for _ in range(AT_ONCE)]
        responses = [request(served.app, route, task_id, bob) for route, task_id in picked]
        for status, body in await asyncio.gather(*responses):
            found[status] += 1
            assert HIDDEN.encode() not in body
    assert found == {404: OTHERS_IDS}
    assert await served.services.database.task("ann-final") == task
