"""Every SQL statement on users, their limits and usage."""

USER_COLUMNS = "name, created_at, expires_ms, limits, webapp_ids"

SELECT_USER = f"SELECT {USER_COLUMNS} FROM users WHERE name = :name"
SELECT_USER_BY_TOKEN = f"SELECT {USER_COLUMNS} FROM users WHERE token_hash = :token_hash"
SELECT_USERS = f"SELECT {USER_COLUMNS} FROM users ORDER BY name"
INSERT_USER = f"""
    INSERT INTO users VALUES (:name, :token_hash, :created_at, :expires_ms, :limits, :webapp_ids)
    ON CONFLICT (name) DO NOTHING RETURNING {USER_COLUMNS}
"""
UPDATE_USER = f"""
    UPDATE users SET expires_ms = :expires_ms, limits = :limits, webapp_ids = :webapp_ids WHERE name = :name
    RETURNING {USER_COLUMNS}
"""
SET_TOKEN = f"UPDATE users SET token_hash = :token_hash WHERE name = :name RETURNING {USER_COLUMNS}"
DELETE_USER = "DELETE FROM users WHERE name = :name RETURNING name"

# Limits. A task counts as active while it may be claimed or runs: what is over the limit is held.
COUNT_ACTIVE = """
    SELECT (SELECT count(*) FROM tasks WHERE owner = :owner AND status IN ('SUBMITTING', 'QUEUED', 'RUNNING'))
        + (SELECT count(*) FROM tasks WHERE owner = :owner AND status = 'PENDING' AND hold IS NULL)
"""
HOLD_TASK = """
    UPDATE tasks SET hold = 'user_limit' WHERE id = :id AND status = 'PENDING' AND hold IS NULL RETURNING id
"""
HOLD_CLAIMABLE = """
    UPDATE tasks SET hold = 'user_limit' WHERE seq IN (
        SELECT seq FROM tasks WHERE owner = :owner AND status = 'PENDING' AND hold IS NULL
        /*postgres FOR UPDATE SKIP LOCKED*/)
"""
# A released task's turn is computed as a new task's: an old one would let it pass those of other users.
RELEASE_HELD = """
    UPDATE tasks SET hold = NULL, version = version + 1, turn = 1 + /*sqlite*/max/*postgres greatest*/(
        (SELECT turn FROM queue_turn),
        coalesce((SELECT max(turn) FROM tasks AS own
            WHERE own.owner = :owner AND own.status = 'PENDING' AND own.hold IS NULL), 0))
    WHERE seq = (
        SELECT seq FROM tasks WHERE owner = :owner AND status = 'PENDING' AND hold = 'user_limit'
        ORDER BY turn, seq LIMIT 1 /*postgres FOR UPDATE SKIP LOCKED*/)
    RETURNING id
"""
SELECT_HELD_OWNERS = """
    SELECT DISTINCT owner FROM tasks WHERE owner IS NOT NULL AND status = 'PENDING' AND hold = 'user_limit'
"""
COUNT_PENDING = "SELECT count(*) FROM tasks WHERE owner = :owner AND status = 'PENDING'"
COUNT_CREATED = """
    SELECT (SELECT count(*) FROM tasks WHERE owner = :owner AND created_at >= :since)
        + (SELECT count(*) FROM deleted_tasks WHERE owner = :owner AND created_at >= :since)
"""
SUM_COINS = """
    SELECT coalesce(sum(coins_micros), 0) FROM (
        SELECT coins_micros FROM tasks
        WHERE owner = :owner AND ended_ms >= :since_ms AND coins_micros IS NOT NULL
        UNION ALL
        SELECT coins_micros FROM deleted_tasks
        WHERE owner = :owner AND ended_ms >= :since_ms AND coins_micros IS NOT NULL) AS costs
"""

# Usage: every task that has ended, once, whether it is still stored or not.
USAGE_COLUMNS = "status, webapp_id, owner, account, coins_micros, money_micros, third_party_money_micros"
GROUPS = {
    "day": """/*sqlite*/date(ended_ms / 1000, 'unixepoch')
        /*postgres to_char(to_timestamp(ended_ms / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')*/""",
    "webapp": "webapp_id",
    "owner": "owner",
    "account": "account",
}


def select_usage(*, groups: tuple[str, ...], is_of_one_owner: bool) -> str:
    """Sums over the tasks that ended in a period, for each combination of `groups` (names of `GROUPS`)."""
    names = "".join(f"{GROUPS[name]} AS {name}, " for name in groups)
    numbers = ", ".join(str(number) for number in range(1, len(groups) + 1))
    order = ", ".join(f"{number} NULLS FIRST" for number in range(1, len(groups) + 1))
    grouping = f"GROUP BY {numbers} ORDER BY {order}" if groups else ""
    where = "WHERE ended_ms >= :from_ms AND ended_ms < :to_ms"
    where += " AND owner = :owner" if is_of_one_owner else ""
    columns = f"{USAGE_COLUMNS}, ended_ms, run_seconds"
    return f"""
        SELECT {names}count(*) AS tasks,
            count(*) FILTER (WHERE status = 'SUCCESS') AS succeeded,
            count(*) FILTER (WHERE status = 'FAILED') AS failed,
            CAST(coalesce(sum(coins_micros), 0) AS BIGINT) AS coins_micros,
            CAST(coalesce(sum(money_micros), 0) AS BIGINT) AS money_micros,
            CAST(coalesce(sum(third_party_money_micros), 0) AS BIGINT) AS third_party_money_micros,
            CAST(coalesce(sum(CAST(round(run_seconds * 1000) AS BIGINT)), 0) AS BIGINT) AS run_ms
        FROM (SELECT {columns} FROM tasks {where}
            UNION ALL SELECT {columns} FROM deleted_tasks {where}) AS ended
        {grouping}
    """
