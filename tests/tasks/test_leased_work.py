"""Leased work on plain fakes: what runs at the same time, what a failure leaves, and how it stops."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from tasks.leased_work import LeasedWork
from tests.conftest import until

pytestmark = pytest.mark.anyio

NEVER_S = 3600.0


class Rows:
    """Items that are due, and what is done with them; each ends when a test says so."""

    def __init__(self, *due: str) -> None:
        self.due = list(due)
        self.leases: list[int] = []
        self.started: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.renewed: list[list[str]] = []
        self.failing: set[str] = set()
        self.may_end = asyncio.Event()

    async def lease(self, limit: int) -> Sequence[str]:
        self.leases.append(limit)
        if "lease" in self.failing:
            raise OSError("the database is locked")
        leased, self.due = self.due[:limit], self.due[limit:]
        return leased

    async def work(self, item: str) -> None:
        self.started.append(item)
        try:
            await self.may_end.wait()
            if item in self.failing:
                raise OSError("no luck")
            self.ended.append(item)
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise

    async def renew(self, items: Sequence[str]) -> None:
        self.renewed.append(sorted(items))


@asynccontextmanager
async def working(
    rows: Rows, *, at_once: int = 2, interval_s: float = NEVER_S, renew_s: float = NEVER_S
) -> AsyncIterator[LeasedWork[str]]:
    work = LeasedWork(
        "test",
        lease=rows.lease,
        work=rows.work,
        renew=rows.renew,
        at_once=at_once,
        interval_s=interval_s,
        renew_s=renew_s,
    )
    loop = asyncio.create_task(work.run())
    yield work
    loop.cancel()
    with suppress(asyncio.CancelledError):
        await loop


async def test_no_more_items_are_leased_than_may_run_at_once() -> None:
    rows = Rows("a", "b", "c")
    async with working(rows):
        await until(lambda: rows.started == ["a", "b"])
        assert (rows.leases, rows.due) == ([2], ["c"])


async def test_the_next_item_starts_as_soon_as_one_has_ended() -> None:
    rows = Rows("a", "b", "c", "d")
    async with working(rows):
        rows.may_end.set()
        await until(lambda: rows.ended == ["a", "b", "c", "d"])


async def test_new_items_are_found_at_the_interval() -> None:
    rows = Rows()
    rows.may_end.set()
    async with working(rows, interval_s=0.001):
        await until(lambda: len(rows.leases) > 3)
        rows.due.append("late")
        await until(lambda: rows.ended == ["late"])


async def test_waking_finds_new_items_at_once() -> None:
    rows = Rows()
    rows.may_end.set()
    async with working(rows) as work:
        await until(lambda: rows.leases == [2])
        rows.due.append("late")
        work.wake()
        await until(lambda: rows.ended == ["late"])


async def test_an_item_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    rows = Rows("bad", "good", "next")
    rows.failing.add("bad")
    async with working(rows):
        rows.may_end.set()
        await until(lambda: rows.ended == ["good", "next"])
    assert [record.message for record in caplog.records] == ["test: an item failed"]


async def test_a_lease_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    rows = Rows("a")
    rows.failing.add("lease")
    rows.may_end.set()
    async with working(rows, interval_s=0.001):
        await until(lambda: len(rows.leases) > 2)
        rows.failing.clear()
        await until(lambda: rows.ended == ["a"])
    assert {record.message for record in caplog.records} == {"test: a round failed"}


async def test_the_leases_of_what_is_in_progress_are_renewed() -> None:
    rows = Rows("a", "b")
    async with working(rows, interval_s=0.001, renew_s=0.001):
        await until(lambda: len(rows.renewed) > 1)
    assert rows.renewed[:2] == [["a", "b"], ["a", "b"]]


async def test_nothing_is_renewed_before_it_is_time_or_while_nothing_is_in_progress() -> None:
    rows = Rows("a")
    async with working(rows, interval_s=0.001):
        await until(lambda: len(rows.leases) > 3)
        assert rows.renewed == []
    rows = Rows()
    async with working(rows, interval_s=0.001, renew_s=0.001):
        await until(lambda: len(rows.leases) > 3)
        assert rows.renewed == []


async def test_a_stop_cancels_what_is_in_progress_and_waits_for_its_end() -> None:
    rows = Rows("a", "b", "c")
    async with working(rows):
        await until(lambda: rows.started == ["a", "b"])
    assert (rows.cancelled, rows.ended, rows.due) == (["a", "b"], [], ["c"])
