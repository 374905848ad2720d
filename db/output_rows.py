"""The rows of kept outputs: written when a task ends, leased while they are copied, and their files' end."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict

from db import output_queries as queries
from db.batched_reads import BatchedReads
from db.engine import Connection, Engine, Row
from metrics import OUTPUTS
from models import NewOutput, Output, OutputState

# RunningHub says that a result's link works for a day.
LINK_LIFETIME_MS = 24 * 3600 * 1000


def _output(row: Row) -> Output:
    values = dict(zip(row.keys(), row, strict=True))
    return Output(**values | {"state": OutputState(values["state"])})


class OutputRows:
    """Every operation on outputs. A file is deleted when no row refers to it any more.

    A deletion is stored first, as a row of `files_to_delete` that triggers write: it survives a crash and a
    store that is down, and until it is done no output can refer to the file again.
    `on_all_copied(connection, task_id)` is part of the transaction that ends the last copy of a task.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], int],
        *,
        on_all_copied: Callable[[Connection, str], Awaitable[None]] | None = None,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._on_all_copied = on_all_copied
        self._of_tasks = BatchedReads(self._read)

    async def insert(self, connection: Connection, task_id: str, outputs: Iterable[NewOutput]) -> None:
        """Part of the transaction that sets the task to SUCCESS."""
        now = self._clock()
        for output in outputs:
            values = asdict(output) | _text_values(output)
            values |= {"task_id": task_id, "now": now, "expires_ms": now + LINK_LIFETIME_MS}
            await connection.execute_fetchall(queries.INSERT_OUTPUT, values)

    # Reading

    async def of_task(self, task_id: str) -> list[Output]:
        """In the order of `result_data`; empty for a task that has none."""
        return await self._of_tasks.get(task_id) or []

    async def of_task_in(self, connection: Connection, task_id: str) -> list[Output]:
        """As `of_task`, as part of a transaction."""
        parameters = {"task_ids": json.dumps([task_id])}
        return [
            _output(row) for row in await connection.execute_fetchall(queries.SELECT_OF_TASKS, parameters)
        ]

    async def of_tasks(self, task_ids: Sequence[str]) -> dict[str, list[Output]]:
        """By task id; a task without outputs is not in it."""
        return await self._read(set(task_ids))

    async def text(self, output: Output) -> str:
        """The whole text of an output that is kept in its row; `Output.text` has none that is long."""
        values = {"task_id": output.task_id, "n": output.n}
        return "".join([row["text"] or "" for row in await self._engine.read(queries.SELECT_TEXT, values)])

    async def _read(self, task_ids: set[str]) -> dict[str, list[Output]]:
        found: dict[str, list[Output]] = {}
        for row in await self._engine.read(queries.SELECT_OF_TASKS, {"task_ids": json.dumps(list(task_ids))}):
            found.setdefault(row["task_id"], []).append(_output(row))
        return found

    # Copying

    async def lease(self, *, lease_ms: int, limit: int) -> list[Output]:
        """Lease up to `limit` outputs whose copy is due; nobody else gets them until the lease expires."""
        now = self._clock()
        if not await self._engine.read(queries.HAS_DUE, {"now": now}):
            return []
        parameters = {"now": now, "lease_until": now + lease_ms, "limit": limit}

        async def statements(connection: Connection) -> list[Output]:
            return [_output(row) for row in await connection.execute_fetchall(queries.LEASE_DUE, parameters)]

        return await self._engine.write(statements)

    async def renew(self, outputs: Iterable[Output], *, lease_ms: int) -> None:
        lease_until = self._clock() + lease_ms

        async def statements(connection: Connection) -> None:
            for output in outputs:
                await connection.execute_fetchall(
                    queries.RENEW_LEASE, {**_copy(output), "lease_until": lease_until}
                )

        await self._engine.write(statements)

    async def pull_due(self, *, longest_ms: int) -> None:
        """Make due what would wait for longer: leased by a killed process, or the clock has stepped back."""
        parameters = {"now": self._clock(), "farthest": self._clock() + longest_ms}
        if not await self._engine.read(queries.HAS_FAR, parameters):
            return

        async def statements(connection: Connection) -> None:
            await connection.execute_fetchall(queries.PULL_DUE, parameters)
            await connection.execute_fetchall(queries.PULL_THUMBNAILS_DUE, parameters)
            await connection.execute_fetchall(queries.RETRY_FILE_TO_DELETE, parameters)

        await self._engine.write(statements)

    async def claim_key(self, output: Output, storage_key: str) -> bool:
        """Note where the file is about to appear.

        False: the row is not this worker's any more, or a file with this key is about to be deleted.
        """
        parameters = {**_copy(output), "storage_key": storage_key}
        return await self._change_file(queries.CLAIM_KEY, parameters, storage_key)

    async def kept(
        self,
        output: Output,
        *,
        storage_key: str,
        size: int,
        sha256: str,
        text: str | None,
        media_type: str,
        has_thumbnail: bool = False,
    ) -> bool:
        """The file is complete under the claimed key.

        False: the row is not this worker's any more; the file is deleted unless another row refers to it. The
        deletion that went with the row may have come before the file. `has_thumbnail`: one is to be made.
        """
        values: dict[str, object] = {
            "storage_key": storage_key,
            "size": size,
            "sha256": sha256,
            "text": text,
        }
        now = self._clock()
        values |= {"media_type": media_type, "thumbnail_due_ms": now if has_thumbnail else None}
        parameters = {**_copy(output), **values, "now": now}
        if await self._finish(queries.FINISH_KEPT, parameters, OutputState.KEPT):
            return True
        parameters = {"storage_key": storage_key}
        await self._change_file(queries.DELETE_UNREFERENCED, parameters, storage_key)
        return False

    async def not_kept(self, output: Output, state: OutputState) -> bool:
        """The copy has ended without a file."""
        return await self._finish(queries.FINISH_UNKEPT, {**_copy(output), "state": state}, state)

    async def _finish(self, sql: str, parameters: dict[str, object], state: OutputState) -> bool:
        async def statements(connection: Connection) -> bool:
            # Of two copies that end at the same time, one is the last.
            await self._engine.lock(connection, f"outputs of {parameters['task_id']}")
            if not list(await connection.execute_fetchall(sql, parameters)):
                return False
            is_copying = list(await connection.execute_fetchall(queries.HAS_KEEPING, parameters))
            if self._on_all_copied and not is_copying:
                await self._on_all_copied(connection, str(parameters["task_id"]))
            return True

        is_own = await self._engine.write(statements)
        if is_own:
            self._engine.metrics.count(OUTPUTS, state.lower())
        return is_own

    async def retry(self, output: Output, *, delay_ms: int, failures: int) -> None:
        """Try again later."""
        values = {"next_try_ms": self._clock() + delay_ms, "failures": failures}
        await self._change(queries.RETRY, {**_copy(output), **values})

    async def keep_again(self, output: Output) -> None:
        """A kept file has disappeared: copy it once more, while RunningHub's link works."""
        values = {"task_id": output.task_id, "n": output.n, "now": self._clock()}
        await self._change(queries.KEEP_AGAIN, values)

    # Thumbnails

    async def lease_thumbnails(self, *, lease_ms: int, limit: int) -> list[Output]:
        """Lease up to `limit` kept images whose thumbnail is to be made."""
        now = self._clock()
        if not await self._engine.read(queries.HAS_THUMBNAIL_DUE, {"now": now}):
            return []
        parameters = {"now": now, "lease_until": now + lease_ms, "limit": limit}

        async def statements(connection: Connection) -> list[Output]:
            rows = await connection.execute_fetchall(queries.LEASE_THUMBNAILS_DUE, parameters)
            return [_output(row) for row in rows]

        return await self._engine.write(statements)

    async def set_thumbnail(self, output: Output, size: int | None) -> None:
        """The thumbnail is in its place; None: there is none. Deleted again where the output has gone."""
        values = {"task_id": output.task_id, "n": output.n, "storage_key": output.storage_key}
        if not await self._change(queries.SET_THUMBNAIL, {**values, "thumbnail_size": size}):
            await self._change(queries.DELETE_UNREFERENCED, {"storage_key": output.storage_key})

    async def forget_thumbnail(self, output: Output) -> None:
        """A thumbnail has disappeared: the output goes without one."""
        values = {"task_id": output.task_id, "n": output.n, "storage_key": output.storage_key}
        await self._change(queries.FORGET_THUMBNAIL, values)

    # Deleting

    async def delete_kept_before(self, before_ms: int, *, limit: int) -> int:
        """Give up outputs that were kept before then, at most `limit`; returns how many."""

        async def statements(connection: Connection) -> int:
            parameters = {"before": before_ms, "limit": limit}
            return len(list(await connection.execute_fetchall(queries.DELETE_KEPT_BEFORE, parameters)))

        return await self._engine.write(statements)

    async def lease_files_to_delete(self, *, lease_ms: int, limit: int) -> list[str]:
        """Lease up to `limit` keys of files that nothing refers to."""
        now = self._clock()
        if not await self._engine.read(queries.HAS_FILE_TO_DELETE, {"now": now}):
            return []
        parameters = {"now": now, "lease_until": now + lease_ms, "limit": limit}

        async def statements(connection: Connection) -> list[str]:
            rows = await connection.execute_fetchall(queries.LEASE_FILES_TO_DELETE, parameters)
            return [row["storage_key"] for row in rows]

        return await self._engine.write(statements)

    async def file_deleted(self, storage_key: str) -> None:
        await self._change(queries.FILE_DELETED, {"storage_key": storage_key})

    async def _change_file(self, sql: str, parameters: dict[str, object], storage_key: str) -> bool:
        """A change that depends on who else refers to the file; triggers take the same lock."""

        async def statements(connection: Connection) -> bool:
            await self._engine.lock(connection, f"file {storage_key}")
            return bool(list(await connection.execute_fetchall(sql, parameters)))

        return await self._engine.write(statements)

    async def _change(self, sql: str, parameters: dict[str, object]) -> bool:
        async def statements(connection: Connection) -> bool:
            return bool(list(await connection.execute_fetchall(sql, parameters)))

        return await self._engine.write(statements)


def _text_values(output: NewOutput) -> dict[str, object]:
    """A text is kept in its row, without a copy."""
    if output.text is None:
        return {"size": None, "sha256": None}
    data = output.text.encode()
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _copy(output: Output) -> dict[str, object]:
    """Names a copy in progress; see IS_OWN_COPY."""
    return {"task_id": output.task_id, "n": output.n, "attempts": output.attempts}
