"""Puts the parts together, starts them, and ends them in the right order."""

import asyncio
import gc
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from config import Settings
from database import Database
from db.sqlite import DatabaseRefused
from db.worker_lock import WorkerLock
from forms.builder import webapp_form
from forms.cache import FetchForm, FormCache
from forms.types import Form
from secret_key import SecretKey
from stop_signals import on_stop_signal
from task_service import TaskService
from tasks.change_feed import ChangeFeed
from tasks.poll_schedule import Pace
from tasks.poller import Poller
from tasks.run_times import RunTimes
from tasks.submitter import Submitter
from webapp_service import WebappService, create_client


class StartRefused(Exception):
    """The service cannot start; one line for people."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes work with; made and ended by the lifespan."""

    settings: Settings
    database: Database
    webapps: WebappService
    forms: FormCache
    tasks: TaskService
    run_times: RunTimes
    submitter: Submitter
    poller: Poller
    change_feed: ChangeFeed


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Services]:
    """Open the database, start the watch, and end both in the right order. Raises StartRefused."""
    _check_database_url(settings)
    async with AsyncExitStack() as stack:
        try:
            secret = SecretKey.next_to(settings.database_path)
            lock = await stack.enter_async_context(WorkerLock(settings.database_path))
            database = await stack.enter_async_context(Database(settings.database_path))
        except (DatabaseRefused, OSError, ValueError, sqlite3.Error) as exc:
            raise StartRefused(
                f"DATABASE_URL={settings.database_url_without_password} cannot be used: {exc}"
            ) from exc
        client = await stack.enter_async_context(create_client(settings))
        services = _build(settings, secret, database, client)
        if lock.is_only_worker:
            await services.submitter.give_up_stale(is_only_worker=True)
            await database.pull_due(longest_ms=int(settings.poll_interval_max_s * 1000))
            await lock.share()
        await stack.enter_async_context(_working(services))
        # What the start made lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        yield services


def _check_database_url(settings: Settings) -> None:
    """Refuse what the engine would report without naming the setting. Raises StartRefused."""
    start = f"DATABASE_URL={settings.database_url_without_password} cannot be used"
    if settings.uses_postgresql:
        raise StartRefused(f"{start}: this version has no PostgreSQL driver; use sqlite:///")
    folder = Path(settings.database_path).absolute().parent
    if not folder.is_dir():
        raise StartRefused(f"{start}: the folder {folder} does not exist")


def fetch_form(webapps: WebappService) -> FetchForm:
    """How the cache obtains a form from RunningHub."""

    async def fetch(_: str, webapp_id: str) -> Form:
        return webapp_form(webapp_id, await webapps.app_data(webapp_id))

    return fetch


def _build(settings: Settings, secret: SecretKey, database: Database, client: httpx.AsyncClient) -> Services:
    webapps = WebappService(client, settings)
    forms = FormCache(fetch_form(webapps), settings.node_info_ttl_s)
    run_times = RunTimes(database)
    submitter = Submitter(database, webapps, settings, secret)
    pace = Pace()
    tasks = TaskService(database, webapps, submitter, forms, run_times, secret, settings, pace)
    return Services(
        settings=settings,
        database=database,
        webapps=webapps,
        forms=forms,
        tasks=tasks,
        run_times=run_times,
        submitter=submitter,
        poller=Poller(
            database,
            tasks,
            submitter,
            pace,
            lease_s=settings.runninghub_timeout_s,
            longest_wait_s=settings.poll_interval_max_s,
        ),
        change_feed=ChangeFeed(database),
    )


@asynccontextmanager
async def _working(services: Services) -> AsyncIterator[None]:
    """Run the loops; at the end stop taking work, then wait for paid calls under way."""
    loops = [asyncio.create_task(services.poller.run()), asyncio.create_task(services.change_feed.run())]

    def stop() -> None:
        services.change_feed.close()
        services.submitter.stop()

    try:
        with on_stop_signal(stop):
            yield
    finally:
        stop()
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await services.forms.close()
        await services.submitter.close()
