"""Every SQL statement about outgoing webhooks, with named parameters."""

DELIVERY_COLUMNS = "id, task_id, type, url, body, state, attempts, failures, leases, next_try_ms"
# An attempt whose lease has expired, or that somebody has started anew, changes nothing any more.
IS_OWN_ATTEMPT = "id = :id AND state = 'PENDING' AND leases = :leases"

INSERT_DELIVERY = """
    INSERT INTO webhook_deliveries (id, task_id, type, url, receiver, body, next_try_ms)
    VALUES (:id, :task_id, :type, :url, :receiver, :body, :now) ON CONFLICT DO NOTHING
"""
SELECT_OF_TASK = f"SELECT {DELIVERY_COLUMNS} FROM webhook_deliveries WHERE task_id = :task_id ORDER BY seq"
HAS_DUE = "SELECT 1 FROM webhook_deliveries WHERE next_try_ms <= :now LIMIT 1"
# The first few of each receiver, so that one that hangs delays only its own. Receivers are found by an index:
# a hundred thousand deliveries that one of them keeps waiting are not read each time.
SELECT_DUE_OF_EACH = """
    WITH RECURSIVE receivers (receiver) AS (
        SELECT min(receiver) FROM webhook_deliveries WHERE next_try_ms IS NOT NULL
        UNION ALL
        SELECT (SELECT min(receiver) FROM webhook_deliveries
            WHERE next_try_ms IS NOT NULL AND receiver > receivers.receiver)
        FROM receivers WHERE receiver IS NOT NULL)
    SELECT due.seq, due.receiver FROM receivers
    /*sqlite*/CROSS JOIN/*postgres JOIN*/ webhook_deliveries AS due ON due.seq IN (
        SELECT own.seq FROM webhook_deliveries AS own
        WHERE own.receiver = receivers.receiver AND own.next_try_ms <= :now
        ORDER BY own.next_try_ms, own.seq LIMIT :at_once_each)
    ORDER BY due.next_try_ms, due.seq
"""
LEASE_DUE = f"""
    UPDATE webhook_deliveries SET leases = leases + 1, next_try_ms = :lease_until
    WHERE seq IN (
        SELECT seq FROM webhook_deliveries
        WHERE seq IN (SELECT CAST(value AS BIGINT) FROM json_each(:seqs)) AND next_try_ms <= :now
        /*postgres FOR UPDATE SKIP LOCKED*/)
    RETURNING {DELIVERY_COLUMNS}
"""
# A time that a clock which has stepped back will not reach for long.
PULL_DUE = "UPDATE webhook_deliveries SET next_try_ms = :now WHERE next_try_ms > :farthest"
STORE_ATTEMPT = f"""
    UPDATE webhook_deliveries SET state = :state, attempts =
        /*sqlite*/json_insert(attempts, '$[#]', json(:attempt))
        /*postgres CAST(CAST(attempts AS jsonb) || CAST(:attempt AS jsonb) AS text)*/,
        failures = :failures, next_try_ms = :next_try_ms
    WHERE {IS_OWN_ATTEMPT} RETURNING id
"""
REDELIVER = """
    UPDATE webhook_deliveries SET state = 'PENDING', failures = 0, leases = leases + 1, next_try_ms = :now
    WHERE id = :id AND task_id = :task_id RETURNING id
"""
