"""Every SQL statement about kept outputs, with named parameters."""

from db.postgres_sql import FREE_ROWS, LOCKED
from models import MAX_TEXT_BYTES

# A list of tasks must not read long texts, which are not shown there.
OUTPUT_COLUMNS = (
    "task_id, n, state, source_url, file_type, media_type, node_id, size, sha256,"
    f" CASE WHEN size <= {MAX_TEXT_BYTES} THEN text END AS text, storage_key,"
    " attempts, failures, expires_ms, thumbnail_size"
)
# What is being copied is guarded by its attempt: a worker whose lease has expired changes nothing any more.
IS_OWN_COPY = "task_id = :task_id AND n = :n AND state = 'KEEPING' AND attempts = :attempts"

INSERT_OUTPUT = """
    INSERT INTO outputs (task_id, n, state, source_url, file_type, media_type, node_id, size, sha256, text,
        next_try_ms, kept_ms, expires_ms)
    VALUES (:task_id, :n, :state, :source_url, :file_type, :media_type, :node_id, :size, :sha256, :text,
        CASE WHEN :state = 'KEEPING' THEN CAST(:now AS BIGINT) END,
        CASE WHEN :state = 'KEPT' THEN CAST(:now AS BIGINT) END, :expires_ms)
    ON CONFLICT DO NOTHING
"""
SELECT_OF_TASKS = f"""
    SELECT {OUTPUT_COLUMNS} FROM outputs WHERE task_id IN (SELECT value FROM json_each(:task_ids))
    ORDER BY task_id, n
"""
SELECT_TEXT = "SELECT text FROM outputs WHERE task_id = :task_id AND n = :n"
HAS_DUE = "SELECT 1 FROM outputs WHERE next_try_ms <= :now LIMIT 1"
LEASE_DUE = f"""
    UPDATE outputs SET attempts = attempts + 1, next_try_ms = :lease_until
    WHERE (task_id, n) IN (
        {FREE_ROWS}SELECT task_id, n FROM outputs WHERE next_try_ms <= :now ORDER BY next_try_ms LIMIT :limit
        {LOCKED})
    RETURNING {OUTPUT_COLUMNS}
"""
RENEW_LEASE = f"UPDATE outputs SET next_try_ms = :lease_until WHERE {IS_OWN_COPY}"
# A lease of a killed process, or a time that a clock which has stepped back will not reach for long.
HAS_FAR = """
    SELECT 1 FROM (SELECT max(next_try_ms) AS last FROM outputs WHERE next_try_ms IS NOT NULL
        UNION ALL SELECT max(next_try_ms) FROM files_to_delete
        UNION ALL SELECT max(thumbnail_due_ms) FROM outputs WHERE thumbnail_due_ms IS NOT NULL) AS times
    WHERE last > :farthest
"""
PULL_THUMBNAILS_DUE = "UPDATE outputs SET thumbnail_due_ms = :now WHERE thumbnail_due_ms > :farthest"
PULL_DUE = "UPDATE outputs SET next_try_ms = :now WHERE next_try_ms > :farthest"
# A file that is about to be deleted must not be referred to again.
CLAIM_KEY = f"""
    UPDATE outputs SET storage_key = :storage_key WHERE {IS_OWN_COPY}
        AND NOT EXISTS (SELECT 1 FROM files_to_delete WHERE storage_key = :storage_key)
    RETURNING n
"""
FINISH_KEPT = f"""
    UPDATE outputs SET state = 'KEPT', next_try_ms = NULL, kept_ms = :now, size = :size, sha256 = :sha256,
        text = :text, media_type = :media_type, thumbnail_due_ms = :thumbnail_due_ms
    WHERE {IS_OWN_COPY} AND storage_key = :storage_key RETURNING n
"""
FINISH_UNKEPT = f"""
    UPDATE outputs SET state = :state, next_try_ms = NULL, storage_key = NULL WHERE {IS_OWN_COPY} RETURNING n
"""
RETRY = f"""
    UPDATE outputs SET next_try_ms = :next_try_ms, failures = :failures WHERE {IS_OWN_COPY}
"""
KEEP_AGAIN = """
    UPDATE outputs SET state = 'KEEPING', next_try_ms = :now, failures = 0, kept_ms = NULL,
        thumbnail_size = NULL, thumbnail_due_ms = NULL
    WHERE task_id = :task_id AND n = :n AND state = 'KEPT' AND storage_key IS NOT NULL AND expires_ms > :now
"""
# The key of a copy that has ended after its row had gone.
DELETE_UNREFERENCED = """
    INSERT INTO files_to_delete (storage_key) SELECT CAST(:storage_key AS TEXT)
    WHERE NOT EXISTS (SELECT 1 FROM outputs WHERE storage_key = :storage_key) ON CONFLICT DO NOTHING
"""
HAS_KEEPING = "SELECT 1 FROM outputs WHERE task_id = :task_id AND state = 'KEEPING' LIMIT 1"
DELETE_KEPT_BEFORE = f"""
    UPDATE outputs SET state = 'DELETED', storage_key = NULL, text = NULL, thumbnail_size = NULL,
        thumbnail_due_ms = NULL
    WHERE (task_id, n) IN (
        {FREE_ROWS}SELECT task_id, n FROM outputs WHERE state = 'KEPT' AND kept_ms < :before
        ORDER BY kept_ms LIMIT :limit
        {LOCKED})
    RETURNING n
"""
HAS_THUMBNAIL_DUE = "SELECT 1 FROM outputs WHERE thumbnail_due_ms <= :now LIMIT 1"
LEASE_THUMBNAILS_DUE = f"""
    UPDATE outputs SET thumbnail_due_ms = :lease_until
    WHERE (task_id, n) IN (
        {FREE_ROWS}SELECT task_id, n FROM outputs WHERE thumbnail_due_ms <= :now
        ORDER BY thumbnail_due_ms LIMIT :limit
        {LOCKED})
    RETURNING {OUTPUT_COLUMNS}
"""
# The same file, wherever its thumbnail was made: equal files have equal thumbnails.
SET_THUMBNAIL = """
    UPDATE outputs SET thumbnail_size = :thumbnail_size, thumbnail_due_ms = NULL
    WHERE task_id = :task_id AND n = :n AND storage_key = :storage_key AND state = 'KEPT' RETURNING n
"""
FORGET_THUMBNAIL = """
    UPDATE outputs SET thumbnail_size = NULL
    WHERE task_id = :task_id AND n = :n AND storage_key = :storage_key
"""
HAS_FILE_TO_DELETE = "SELECT 1 FROM files_to_delete WHERE next_try_ms <= :now LIMIT 1"
LEASE_FILES_TO_DELETE = f"""
    UPDATE files_to_delete SET next_try_ms = :lease_until WHERE storage_key IN (
        {FREE_ROWS}SELECT storage_key FROM files_to_delete WHERE next_try_ms <= :now
        ORDER BY next_try_ms LIMIT :limit {LOCKED})
    RETURNING storage_key
"""
RETRY_FILE_TO_DELETE = "UPDATE files_to_delete SET next_try_ms = :now WHERE next_try_ms > :farthest"
FILE_DELETED = "DELETE FROM files_to_delete WHERE storage_key = :storage_key"
