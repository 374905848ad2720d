"""Outputs for their readers: what RunningHub's results become, links, kept bytes and relays."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from database import Database
from db.engine import Connection
from errors import (
    AppError,
    Forbidden,
    OutputGone,
    OutputNotFound,
    OutputUnavailable,
    RunningHubTimeout,
    RunningHubUnavailable,
)
from files.disk_store import DiskStore
from files.output_store import OutputStore, StoreUnavailable
from files.result_download import ResultDownloader
from models import MAX_TEXT_BYTES, NewOutput, Output, OutputState
from secret_key import SecretKey
from tasks.outputs import Outputs, new_outputs
from tests.conftest import Clock
from tests.files.file_host import file_host, response

pytestmark = pytest.mark.anyio

S = OutputState
LONG_TEXT = "x" * (MAX_TEXT_BYTES + 1)


# What RunningHub returns


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (
            {"fileUrl": "https://x/y.png", "fileType": "png", "nodeId": "9", "taskCostTime": "27"},
            NewOutput(0, S.KEEPING, "image/png", "https://x/y.png", "png", "9"),
        ),
        (
            {"url": "https://x/y.mp4", "outputType": "mp4", "nodeId": "9", "text": None},
            NewOutput(0, S.KEEPING, "video/mp4", "https://x/y.mp4", "mp4", "9"),
        ),
        (
            {"url": None, "outputType": "txt", "nodeId": "9", "text": "a cat"},
            NewOutput(0, S.KEPT, "text/plain", None, "txt", "9", "a cat"),
        ),
        ({"fileUrl": 5, "fileType": None}, NewOutput(0, S.LOST, "text/plain")),
        ({"text": LONG_TEXT}, NewOutput(0, S.KEPT, "text/plain", text=LONG_TEXT)),
    ],
)
def test_a_result_becomes_an_output(result: dict[str, Any], expected: NewOutput) -> None:
    assert new_outputs([result], is_kept=True) == (expected,)


def test_an_output_has_the_place_of_its_result() -> None:
    results = [{"fileUrl": "https://x/0.png"}, "no object", {"fileUrl": "https://x/2.png"}]
    assert [output.n for output in new_outputs(results, is_kept=True)] == [0, 2]


def test_where_outputs_are_not_kept_only_texts_are() -> None:
    results = [{"fileUrl": "https://x/0.png"}, {"text": "a cat"}]
    assert [output.state for output in new_outputs(results, is_kept=False)] == [S.NOT_KEPT, S.KEPT]


def test_half_a_surrogate_pair_in_a_text_is_replaced() -> None:
    (output,) = new_outputs([{"text": "a \ud83d"}], is_kept=True)
    assert output.text == "a ?"


# Links and bytes


class BrokenStore(DiskStore):
    """A store that does not respond; nothing but `open` is called."""

    async def open(self, key: str, start: int, stop: int) -> Any:
        raise StoreUnavailable("the S3 store could not be reached")


def output(**members: Any) -> Output:
    values: dict[str, Any] = dict.fromkeys(field.name for field in fields(Output))
    values |= {"task_id": "task-1", "n": 0, "state": S.KEPT, "media_type": "image/png", "expires_ms": 0}
    return Output(**values | {"size": 5, "storage_key": "a-key", "source_url": "https://x/y.png"} | members)


@asynccontextmanager
async def reading(
    database: Database, clock: Clock, store: OutputStore | None, **members: Any
) -> AsyncIterator[Outputs]:
    async with ResultDownloader({"127.0.0.1"}) as relays:
        yield Outputs(
            database.outputs,
            store,
            relays,
            SecretKey(b"x" * 32),
            clock=clock,
            **{"link_ttl_s": 86_400, **members},
        )


async def test_a_store_that_is_down_is_replaced_by_runninghub_while_its_link_works(
    database: Database, clock: Clock, tmp_path: Path
) -> None:
    async with reading(database, clock, BrokenStore(tmp_path)) as outputs:
        assert await outputs.open_kept(output(expires_ms=clock() + 1), 0, 5) is None
        with pytest.raises(OutputUnavailable) as raised:
            await outputs.open_kept(output(expires_ms=clock()), 0, 5)
        assert (raised.value.status_code, raised.value.retry_after) == (503, 5)


async def test_a_long_text_is_read_from_its_row_and_not_with_its_task(
    database: Database, clock: Clock
) -> None:
    texts = [LONG_TEXT[1:], LONG_TEXT]

    async def statements(connection: Connection) -> None:
        await database.outputs.insert(
            connection, "task-1", new_outputs([{"text": text} for text in texts], is_kept=True)
        )

    await database.engine.write(statements)
    rows = await database.outputs.of_task("task-1")
    assert [(row.state, row.size, row.text) for row in rows] == [
        (S.KEPT, MAX_TEXT_BYTES, texts[0]),
        (S.KEPT, MAX_TEXT_BYTES + 1, None),
    ]
    async with reading(database, clock, None) as outputs:
        for row, text in zip(rows, texts, strict=True):
            source = await outputs.open_kept(row, 0, len(text))
            assert source is not None
            assert b"".join([chunk async for chunk in source]) == text.encode()


async def test_a_thumbnail_in_a_store_that_is_down_is_unavailable(
    database: Database, clock: Clock, tmp_path: Path
) -> None:
    async with reading(database, clock, BrokenStore(tmp_path)) as outputs:
        with pytest.raises(OutputUnavailable) as raised:
            await outputs.open_thumbnail(output(thumbnail_size=5))
        assert (raised.value.status_code, raised.value.retry_after) == (503, 5)


async def test_there_is_no_thumbnail_where_nothing_is_kept(database: Database, clock: Clock) -> None:
    async with reading(database, clock, None) as outputs:
        with pytest.raises(OutputNotFound, match="no thumbnail"):
            await outputs.open_thumbnail(output(thumbnail_size=5))


async def test_a_kept_text_is_read_from_its_row(database: Database, clock: Clock) -> None:
    async with reading(database, clock, None) as outputs:
        source = await outputs.open_kept(output(storage_key=None, text="a 猫"), 2, 5)
        assert source is not None
        assert b"".join([chunk async for chunk in source]) == "猫".encode()


@pytest.mark.parametrize("state", list(S))
async def test_what_is_gone_says_why(database: Database, clock: Clock, state: OutputState) -> None:
    async with file_host() as host, reading(database, clock, None) as outputs:
        host.respond = lambda _: response(b"", status="403 Forbidden")
        with pytest.raises(OutputGone, match=r"and RunningHub's link has expired\.$"):
            await outputs.relay(output(state=state, source_url=host.url()), None)


@pytest.mark.parametrize(
    ("sent", "error"),
    [(response(b"", status="502 Bad Gateway"), RunningHubUnavailable), (b"", RunningHubUnavailable)],
)
async def test_a_file_host_that_fails_is_a_problem_that_may_pass(
    database: Database, clock: Clock, sent: bytes, error: type[AppError]
) -> None:
    async with file_host() as host, reading(database, clock, None) as outputs:
        host.respond = lambda _: sent
        with pytest.raises(error):
            await outputs.relay(output(state=S.KEEPING, source_url=host.url()), None)


async def test_a_file_host_that_hangs_is_a_timeout(database: Database, clock: Clock) -> None:
    async with (
        file_host() as host,
        ResultDownloader({"127.0.0.1"}, stalled_s=0.02) as relays,
    ):
        host.respond, host.is_slow = lambda _: b"", True
        secret = SecretKey(b"x" * 32)
        outputs = Outputs(database.outputs, None, relays, secret, link_ttl_s=1, clock=clock)
        with pytest.raises(RunningHubTimeout):
            await outputs.relay(output(state=S.KEEPING, source_url=host.url()), None)


async def test_an_address_that_is_not_allowed_is_gone(database: Database, clock: Clock) -> None:
    async with reading(database, clock, None) as outputs:
        with pytest.raises(OutputGone, match="is not one that may be fetched from"):
            await outputs.relay(output(state=S.KEEPING, source_url="http://169.254.169.254/"), None)


def link_end(link: str) -> int:
    return int(link.partition("expires=")[2].partition("&")[0])


@pytest.mark.parametrize(
    ("link_ttl_s", "shortest_s", "longest_s"),
    [(1, 1, 2), (0.5, 0.5, 1.5), (199, 199, 200), (86_400, 85_536, 86_400)],
)
async def test_a_link_lasts_as_long_as_the_setting_says(
    database: Database, clock: Clock, link_ttl_s: float, shortest_s: float, longest_s: float
) -> None:
    async with reading(database, clock, None, link_ttl_s=link_ttl_s) as outputs:
        for _ in range(50):
            lasts_s = link_end(outputs.link(output())) - clock() / 1000
            assert shortest_s <= lasts_s <= longest_s
            clock.go_on(37.3)


async def test_a_link_is_checked_until_the_moment_it_expires(database: Database, clock: Clock) -> None:
    async with reading(database, clock, None, link_ttl_s=10) as outputs:
        path, _, query = outputs.link(output()).partition("?")
        expires, _, signature = query.removeprefix("expires=").partition("&signature=")
        outputs.check_link(path, expires, signature)
        clock.go_on(9.999)
        outputs.check_link(path, expires, signature)
        clock.go_on(1)
        with pytest.raises(Forbidden, match="expired"):
            outputs.check_link(path, expires, signature)
        with pytest.raises(Forbidden, match="not valid"):
            outputs.check_link(path, str(int(expires) + 100), signature)
