"""Builds the components, starts them, and stops them in the right order."""

import asyncio
import gc
import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr

from config import Settings
from database import Database
from db.engine import DatabaseRefused
from db.worker_lock import NoWorkerLock, WorkerLock
from files.disk_store import DiskStore
from files.output_store import OutputStore, StoreUnavailable
from files.result_download import ResultDownloader
from files.s3_store import S3Location, S3Store
from files.thumbnails import ThumbnailMaker
from forms.app_hosts import AppHosts
from forms.cache import FormCache
from models import Output, Task, WebhookEvent
from runninghub.accounts import Accounts
from runninghub.client import Pools, open_pools
from runninghub.progress_stream import ProgressStreams
from secret_key import SecretKey
from task_service import TaskService
from tasks.account_monitor import AccountMonitor
from tasks.change_feed import ChangeFeed
from tasks.metrics_recorder import MetricsRecorder
from tasks.output_copier import COPIES_AT_ONCE, OutputCopier
from tasks.outputs import OUTPUTS_NOT_KEPT, Outputs
from tasks.poll_schedule import PollSchedule
from tasks.poller import LEASE_MARGIN_S, Poller
from tasks.progress_follower import ProgressFollower
from tasks.retention import Retention
from tasks.run_times import RunTimes
from tasks.submit_limiter import AccountLimits, SubmitPlanner
from tasks.submitter import Submitter
from tasks.webhook_sender import AT_ONCE, LONGEST_DELAY_MS, WebhookSender
from users.authenticator import Authenticator
from users.jwks import Jwks
from users.jwt_verifier import JwtVerifier
from users.key_source import key_source
from webapp_service import WebappService
from webhooks.receivers import Receivers
from webhooks.signature import WebhookSigner

log = logging.getLogger(__name__)

MB = 2**20
WebhookBody = Callable[[WebhookEvent, str, Task, Sequence[tuple[Output, str]]], str]
"""The body of a webhook: `(event, timestamp, task, its outputs with their links)` to JSON."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# How long a stop may take. Only what does not respond at all (a disk, a frozen database) takes longer; by
# then the outcomes of paid calls are stored, or cannot be.
LONGEST_STOP_S = 14.0


class StartRefused(Exception):
    """The service cannot start; one line for people."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes work with; built and stopped by the lifespan."""

    settings: Settings
    database: Database
    accounts: Accounts
    webapps: WebappService
    forms: FormCache
    tasks: TaskService
    run_times: RunTimes
    submitter: Submitter
    monitor: AccountMonitor
    poller: Poller
    change_feed: ChangeFeed
    outputs: Outputs
    output_store: OutputStore | None
    output_copier: OutputCopier | None
    downloads: tuple[ResultDownloader, ResultDownloader]
    retention: Retention
    metrics_recorder: MetricsRecorder
    secret: SecretKey
    authenticator: Authenticator
    jwks: Jwks | None
    progress_streams: ProgressStreams | None
    progress_follower: ProgressFollower | None
    webhook_sender: WebhookSender | None
    webhook_receivers: Receivers | None


@asynccontextmanager
async def running(
    settings: Settings, webhook_body: WebhookBody, *, clock: Callable[[], int] | None = None
) -> AsyncIterator[Services]:
    """Open the database, start the loops, and stop both in the right order. Raises StartRefused.

    `clock` (milliseconds since 1970) is the time of all rows, links and leases, instead of the database's.
    """
    _check_database_url(settings)
    async with AsyncExitStack() as stack:
        try:
            # First: while a backup is being restored, neither the key nor the database is the one that stays.
            lock = _worker_lock(settings)
            await stack.enter_async_context(lock)
            secret = _secret_key(settings)
            worker = f"{os.getpid()}-{secrets.token_hex(4)}"
            database = await stack.enter_async_context(
                Database(
                    settings.database_location,
                    worker=worker,
                    user_limits=settings.user_limits,
                    clock=clock,
                )
            )
        except (DatabaseRefused, OSError, ValueError) as exc:
            raise StartRefused(
                f"DATABASE_URL={settings.database_url_without_password} cannot be used: {exc}"
            ) from exc
        pools = await stack.enter_async_context(open_pools(settings.runninghub_timeout_s))
        services = build(settings, secret, database, pools, webhook_body)
        for downloads in services.downloads:
            await stack.enter_async_context(downloads)
        if services.progress_streams:
            await stack.enter_async_context(services.progress_streams)
        if services.webhook_receivers:
            await stack.enter_async_context(services.webhook_receivers)
        fingerprints = {account.name: account.key_fingerprint for account in services.accounts.all}
        await database.assign_accounts(fingerprints)
        await database.worker_seen(is_only_worker=lock.is_only_worker)
        if lock.is_only_worker:
            await services.submitter.give_up_stale(is_only_worker=True)
            await database.pull_due(longest_ms=int(settings.poll_interval_max_s * 1000))
            await database.outputs.pull_due(longest_ms=0)
            await database.deliveries.pull_due(longest_ms=LONGEST_DELAY_MS)
        await _prepare(services.output_store, is_only_worker=lock.is_only_worker)
        if lock.is_only_worker:
            await lock.share()
        await stack.enter_async_context(_working(services))
        # What the start made lives as long as the process: the collector need not visit it again.
        gc.collect()
        gc.freeze()
        yield services


def _check_database_url(settings: Settings) -> None:
    """Refuse what the engine would report without naming the setting. Raises StartRefused."""
    if settings.uses_postgresql:
        if settings.outputs_url.startswith("file:"):
            log.warning(
                "outputs are kept on this machine's disk, where other instances do not find them;"
                " with several, set OUTPUTS_URL=s3://…"
            )
        return
    folder = Path(settings.database_path).absolute().parent
    if not folder.is_dir():
        start = f"DATABASE_URL={settings.database_url_without_password} cannot be used"
        raise StartRefused(f"{start}: the folder {folder} does not exist")


def _worker_lock(settings: Settings) -> WorkerLock | NoWorkerLock:
    return NoWorkerLock() if settings.uses_postgresql else WorkerLock(settings.database_path)


async def _prepare(store: OutputStore | None, *, is_only_worker: bool) -> None:
    """A place for outputs that does not work stops no task: copies wait for it, and /health says so."""
    with suppress(StoreUnavailable):
        if store is not None:
            await store.prepare(is_only_worker=is_only_worker)


def _secret_key(settings: Settings) -> SecretKey:
    configured = settings.secret_key.get_secret_value() if settings.secret_key else None
    return SecretKey.of(configured, settings.database_path)


def build(
    settings: Settings,
    secret: SecretKey,
    database: Database,
    pools: Pools,
    webhook_body: WebhookBody | None = None,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> Services:
    """All components on one database; nothing runs yet. `monotonic` is the clock of running time."""
    accounts = Accounts.of(settings, pools, secret.fingerprint, database.metrics)
    planner = SubmitPlanner(
        tuple(
            AccountLimits(a.name, a.base_url, a.key_fingerprint, a.max_concurrent, a.weight)
            for a in accounts.all
        ),
        settings.max_concurrent_tasks,
    )
    webapps = WebappService()
    app_hosts = AppHosts(accounts, webapps)
    forms = FormCache(app_hosts.fetch_form, settings.node_info_ttl_s)
    run_times = RunTimes(database)
    schedule = PollSchedule(run_times, settings, database.clock)
    lease_ms = int((settings.runninghub_timeout_s + LEASE_MARGIN_S) * 1000)
    monitor = AccountMonitor(database, webapps, accounts, planner, lease_ms=lease_ms)
    streams = ProgressStreams() if settings.progress else None
    progress = ProgressFollower(database, streams) if streams else None
    submitter = Submitter(database, webapps, accounts, planner, monitor, settings, secret, progress)
    receivers = (
        Receivers(may_be_private=settings.webhook_allow_private, at_once=AT_ONCE)
        if settings.webhook_secret
        else None
    )
    tasks = TaskService(
        database,
        webapps,
        accounts,
        submitter,
        monitor,
        forms,
        app_hosts,
        schedule,
        secret,
        settings,
        receivers=receivers,
        progress=progress,
        monotonic=monotonic,
    )
    poller = Poller(database, tasks, submitter, schedule, lease_s=settings.runninghub_timeout_s)
    monitor.on_freed = poller.wake
    store = _output_store(settings)
    account_hosts = {urlsplit(account.base_url).hostname or "" for account in settings.accounts}
    # Two clients: however many pages have outputs relayed, copies go on.
    copies = ResultDownloader(account_hosts, max_connections=COPIES_AT_ONCE)
    relays = ResultDownloader(account_hosts)
    copier = (
        OutputCopier(
            database.outputs,
            store,
            copies,
            clock=database.clock,
            max_file_bytes=int(settings.outputs_max_file_mb * MB),
            thumbnails=ThumbnailMaker(),
        )
        if store
        else None
    )
    jwks = Jwks(key_source(pools.free, settings.jwt_jwks_url)) if settings.jwt_jwks_url else None
    verifier = JwtVerifier(settings, jwks, database.clock) if settings.jwt_secret or jwks else None
    outputs = Outputs(
        database.outputs,
        store,
        relays,
        secret,
        link_ttl_s=settings.outputs_link_ttl_s,
        clock=database.clock,
    )
    change_feed = ChangeFeed(database)
    sender = None
    if receivers and webhook_body:
        _store_webhooks(database, outputs, settings, webhook_body)
        signer = WebhookSigner(settings.webhook_secret)
        sender = WebhookSender(database.deliveries, receivers, signer, clock=database.clock)
        database.deliveries.on_due = sender.wake
    return Services(
        settings=settings,
        database=database,
        accounts=accounts,
        webapps=webapps,
        forms=forms,
        tasks=tasks,
        run_times=run_times,
        submitter=submitter,
        monitor=monitor,
        poller=poller,
        change_feed=change_feed,
        outputs=outputs,
        output_store=store,
        output_copier=copier,
        downloads=(copies, relays),
        retention=Retention(database, settings),
        metrics_recorder=MetricsRecorder(
            database.metrics, database.metric_rows, lambda: change_feed.open_streams
        ),
        secret=secret,
        authenticator=Authenticator(database.users, verifier),
        jwks=jwks,
        progress_streams=streams,
        progress_follower=progress,
        webhook_sender=sender,
        webhook_receivers=receivers,
    )


def _store_webhooks(
    database: Database, outputs: Outputs, settings: Settings, webhook_body: WebhookBody
) -> None:
    """From now on, the end of every task is stored with what is to be posted about it."""

    def body(event: WebhookEvent, timestamp: str, task: Task, rows: Sequence[Output]) -> str:
        return webhook_body(event, timestamp, task, [(output, outputs.link(output)) for output in rows])

    database.deliveries.send_to(settings.webhook_url, body)


def _output_store(settings: Settings) -> OutputStore | None:
    """The place that OUTPUTS_URL names; None: outputs are not kept."""
    if settings.outputs_url == OUTPUTS_NOT_KEPT:
        return None
    parts = urlsplit(settings.outputs_url)
    if parts.scheme == "s3":
        return S3Store(
            S3Location(
                parts.netloc,
                prefix=parts.path.strip("/"),
                is_virtual_hosted=parse_qs(parts.query).get("virtual_hosted") == ["true"],
                endpoint=settings.aws_endpoint_url,
                region=settings.aws_region,
                access_key_id=settings.aws_access_key_id,
                secret_access_key=_value(settings.aws_secret_access_key),
                session_token=_value(settings.aws_session_token),
            )
        )
    folder = Path(parts.path).absolute()
    return DiskStore(folder, min_free_bytes=int(settings.outputs_min_free_mb * MB))


def _value(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


@asynccontextmanager
async def _working(services: Services) -> AsyncIterator[None]:
    """Run the loops; at the end accept no more work, then wait for paid calls in flight."""
    loops = [
        asyncio.create_task(loop)
        for loop in (
            services.monitor.run(),
            services.poller.run(),
            services.change_feed.run(),
            services.retention.run(),
            services.metrics_recorder.run(),
        )
    ]
    if services.output_copier:
        loops.append(asyncio.create_task(services.output_copier.run()))
    if services.progress_follower:
        loops.append(asyncio.create_task(services.progress_follower.run()))
    if services.webhook_sender:
        loops.append(asyncio.create_task(services.webhook_sender.run()))

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
        # At the same time: a loop whose disk does not respond must not keep paid calls from being stored.
        storing = asyncio.create_task(services.submitter.close())
        await asyncio.gather(*loops, return_exceptions=True)
        await storing
        await services.forms.close()
        await services.webapps.close()
        if services.jwks:
            await services.jwks.close()
        if services.output_store:
            await services.output_store.close()
        await services.metrics_recorder.store_in_time()


@contextmanager
def ends_in_time() -> Iterator[None]:
    """End the process `LONGEST_STOP_S` after a signal to stop, whatever it waits for then."""
    timer = threading.Timer(LONGEST_STOP_S, _end_process)
    timer.daemon = True

    def start() -> None:
        if not timer.is_alive():  # at the first of several signals
            timer.start()

    try:
        with on_stop_signal(start):
            yield
    finally:
        timer.cancel()


def _end_process() -> None:
    log.error("stopping takes too long: the process ends now")
    os._exit(1)


@contextmanager
def on_stop_signal(callback: Callable[[], None]) -> Iterator[None]:
    """Call `callback` in the running loop at SIGINT or SIGTERM, before the server's own handler.

    uvicorn tells the lifespan only when all streams have ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    servers_own = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback)
        own = servers_own[signal.Signals(number)]
        if callable(own):
            own(number, frame)

    for number, own in servers_own.items():
        if callable(own):
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, own in servers_own.items():
            signal.signal(number, own)
