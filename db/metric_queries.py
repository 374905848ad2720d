"""Every SQL statement about metrics, with named parameters."""

ADD_SAMPLE = """
    INSERT INTO metric_samples (name, labels, part, value) VALUES (:name, :labels, :part, :value)
    ON CONFLICT (name, labels, part) DO UPDATE SET value = metric_samples.value + :value
"""
SELECT_SAMPLES = "SELECT name, labels, part, value FROM metric_samples"
SELECT_LABELS = "SELECT DISTINCT labels FROM metric_samples WHERE name = :name"
SET_STREAMS = """
    INSERT INTO worker_streams (worker, streams, seen_ms) VALUES (:worker, :streams, :now)
    ON CONFLICT (worker) DO UPDATE SET streams = :streams, seen_ms = :now
"""
DELETE_STREAMS = "DELETE FROM worker_streams WHERE worker = :worker OR seen_ms < :seen_after"

# Everything that is as it is now, in one statement: `name`, `label`, and a number. None reads final tasks.
SELECT_GAUGES = """
    SELECT 'tasks' AS name, status AS label, sum(n) AS value FROM task_counts GROUP BY status
    UNION ALL
    SELECT 'running', account, sum(n) FROM task_counts
    WHERE status IN ('SUBMITTING', 'QUEUED', 'RUNNING') GROUP BY account
    UNION ALL
    SELECT 'oldest_waiting', created_at, 1 FROM tasks
    WHERE seq = (SELECT min(seq) FROM tasks WHERE status = 'PENDING')
    UNION ALL
    SELECT 'poll_deadline', '', min(poll_deadline_ms) FROM tasks
    WHERE next_poll_ms <= :now
        AND /*sqlite*/+/*postgres */status IN ('PENDING', 'QUEUED', 'RUNNING', 'SUBMIT_UNKNOWN')
    UNION ALL
    SELECT 'deliveries', '', count(*) FROM webhook_deliveries WHERE next_try_ms IS NOT NULL
    UNION ALL
    SELECT 'outputs', '', count(*) FROM outputs WHERE next_try_ms IS NOT NULL
    UNION ALL
    SELECT 'streams', '', sum(streams) FROM worker_streams WHERE seen_ms BETWEEN :seen_after AND :seen_before
"""
