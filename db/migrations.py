"""The numbered schema changes; a file's `user_version` counts those it has.

Each has the same number in `postgres_migrations.py`, as PostgreSQL has it.
"""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE tasks (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        status TEXT NOT NULL CHECK (status IN ('PENDING', 'SUBMITTING', 'QUEUED', 'RUNNING',
            'SUCCESS', 'FAILED', 'CANCELLED', 'SUBMIT_UNKNOWN')),
        version INTEGER NOT NULL DEFAULT 1,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        webapp_id TEXT,
        node_info TEXT NOT NULL,
        instance_type TEXT,
        sealed_password BLOB,
        runninghub_task_id TEXT,
        hinted_task_id TEXT,
        result_data TEXT,
        error TEXT,
        node_errors TEXT,
        idempotency_key TEXT UNIQUE,
        request_digest TEXT,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        submitting_ms INTEGER,
        accepted_ms INTEGER,
        running_ms INTEGER,
        next_look_ms INTEGER,
        look_by_ms INTEGER,
        lost_since_ms INTEGER,
        run_seconds REAL
    ) STRICT;
    CREATE INDEX tasks_by_status ON tasks (status, seq);
    CREATE INDEX tasks_by_webapp ON tasks (webapp_id, seq);
    CREATE INDEX tasks_by_runninghub_id ON tasks (runninghub_task_id) WHERE runninghub_task_id IS NOT NULL;
    CREATE INDEX tasks_due ON tasks (next_look_ms, look_by_ms, status) WHERE next_look_ms IS NOT NULL;
    CREATE INDEX tasks_run_times ON tasks (webapp_id, seq) WHERE run_seconds IS NOT NULL;
    CREATE TABLE submit_gate (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        blocked_until_ms INTEGER NOT NULL DEFAULT 0,
        refusals INTEGER NOT NULL DEFAULT 0,
        streak INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    INSERT INTO submit_gate (id) VALUES (1);
    """,
    """
    ALTER TABLE tasks RENAME COLUMN sealed_password TO encrypted_password;
    ALTER TABLE tasks RENAME COLUMN next_look_ms TO next_poll_ms;
    ALTER TABLE tasks RENAME COLUMN look_by_ms TO poll_deadline_ms;
    ALTER TABLE submit_gate RENAME TO submit_limiter;
    ALTER TABLE submit_limiter RENAME COLUMN refusals TO rejections;
    """,
    # Accounts, workflows, users and fair turns; triggers count what may start, so that neither a claim nor
    # a count by status depends on how many rows there are.
    """
    ALTER TABLE tasks ADD COLUMN kind TEXT NOT NULL DEFAULT 'webapp'
        CHECK (kind IN ('webapp', 'workflow', 'model'));
    ALTER TABLE tasks ADD COLUMN workflow_id TEXT;
    ALTER TABLE tasks ADD COLUMN model_path TEXT;
    ALTER TABLE tasks ADD COLUMN run_options TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE tasks ADD COLUMN base_url TEXT;
    ALTER TABLE tasks ADD COLUMN account TEXT;
    ALTER TABLE tasks ADD COLUMN key_fingerprint TEXT;
    ALTER TABLE tasks ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tasks ADD COLUMN worker TEXT;
    ALTER TABLE tasks ADD COLUMN owner TEXT;
    ALTER TABLE tasks ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tasks ADD COLUMN metadata TEXT;
    ALTER TABLE tasks ADD COLUMN webhook_url TEXT;
    ALTER TABLE tasks ADD COLUMN rerun_of TEXT;
    ALTER TABLE tasks ADD COLUMN deadline_ms INTEGER;
    ALTER TABLE tasks ADD COLUMN hold TEXT CHECK (hold IN ('balance', 'hint', 'user_limit'));
    ALTER TABLE tasks ADD COLUMN waiting_since_ms INTEGER;
    ALTER TABLE tasks ADD COLUMN balance_at_refusal TEXT;
    ALTER TABLE tasks ADD COLUMN key_refusals INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tasks ADD COLUMN cancel_reason TEXT CHECK (cancel_reason IN ('user', 'deadline'));
    ALTER TABLE tasks ADD COLUMN is_cancel_confirmed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tasks ADD COLUMN lost_responses INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tasks ADD COLUMN lost_running_ms INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tasks ADD COLUMN lost_at_ms INTEGER;
    ALTER TABLE tasks ADD COLUMN ended_ms INTEGER;
    ALTER TABLE tasks ADD COLUMN cost TEXT;
    ALTER TABLE tasks ADD COLUMN coins_micros INTEGER;
    ALTER TABLE tasks ADD COLUMN money_micros INTEGER;
    ALTER TABLE tasks ADD COLUMN third_party_money_micros INTEGER;
    ALTER TABLE tasks ADD COLUMN imported_id TEXT;
    ALTER TABLE tasks ADD COLUMN is_duplicate INTEGER NOT NULL DEFAULT 0;

    UPDATE tasks SET turn = seq, cancel_reason = CASE WHEN cancel_requested THEN 'user' END,
        account = CASE WHEN status <> 'PENDING' THEN 'default' END,
        attempt = CASE WHEN status <> 'PENDING' THEN 1 ELSE 0 END;
    UPDATE tasks SET is_duplicate = 1 WHERE runninghub_task_id IS NOT NULL AND EXISTS (
        SELECT 1 FROM tasks AS other WHERE other.runninghub_task_id = tasks.runninghub_task_id
            AND other.seq > tasks.seq);
    UPDATE tasks SET ended_ms = CAST(round((julianday(updated_at) - 2440587.5) * 86400000) AS INTEGER)
        WHERE status IN ('SUCCESS', 'FAILED', 'CANCELLED');
    UPDATE tasks SET
        coins_micros = CAST(round(json_extract(result_data, '$[0].consumeCoins') * 1000000) AS INTEGER),
        money_micros = CAST(round(json_extract(result_data, '$[0].consumeMoney') * 1000000) AS INTEGER),
        third_party_money_micros =
            CAST(round(json_extract(result_data, '$[0].thirdPartyConsumeMoney') * 1000000) AS INTEGER),
        cost = json_object('coins', json_extract(result_data, '$[0].consumeCoins'),
            'money', json_extract(result_data, '$[0].consumeMoney'),
            'thirdPartyMoney', json_extract(result_data, '$[0].thirdPartyConsumeMoney'))
        WHERE status = 'SUCCESS' AND json_valid(result_data) AND coalesce(
            json_extract(result_data, '$[0].consumeCoins'), json_extract(result_data, '$[0].consumeMoney'),
            json_extract(result_data, '$[0].thirdPartyConsumeMoney')) IS NOT NULL;
    ALTER TABLE tasks DROP COLUMN cancel_requested;
    ALTER TABLE tasks DROP COLUMN lost_since_ms;

    DROP INDEX tasks_run_times;
    CREATE INDEX tasks_run_times ON tasks (coalesce(webapp_id, workflow_id, model_path), seq)
        WHERE run_seconds IS NOT NULL;
    CREATE UNIQUE INDEX tasks_one_per_run ON tasks (account, runninghub_task_id)
        WHERE runninghub_task_id IS NOT NULL AND is_duplicate = 0;
    CREATE INDEX tasks_by_status_and_webapp ON tasks (status, webapp_id, seq);
    CREATE INDEX tasks_by_owner ON tasks (owner, seq) WHERE owner IS NOT NULL;
    CREATE INDEX tasks_by_imported_id ON tasks (imported_id) WHERE imported_id IS NOT NULL;
    CREATE INDEX tasks_by_creation ON tasks (created_at);
    CREATE INDEX tasks_claimable ON tasks (base_url, coalesce(instance_type, 'default'), turn, seq)
        WHERE status = 'PENDING' AND hold IS NULL;
    CREATE INDEX tasks_held ON tasks (hold, turn, seq) WHERE status = 'PENDING' AND hold IS NOT NULL;
    CREATE INDEX tasks_turns ON tasks (owner, turn) WHERE status = 'PENDING';
    CREATE INDEX tasks_by_turn ON tasks (turn, seq) WHERE status = 'PENDING' AND hold IS NULL;
    CREATE INDEX tasks_at_account ON tasks (account, accepted_ms) WHERE status IN ('QUEUED', 'RUNNING');
    CREATE INDEX tasks_deadlines ON tasks (deadline_ms)
        WHERE deadline_ms IS NOT NULL AND status NOT IN ('SUCCESS', 'FAILED', 'CANCELLED')
            AND cancel_reason IS NULL;

    CREATE TABLE task_counts (
        status TEXT NOT NULL,
        account TEXT NOT NULL,
        instance_type TEXT NOT NULL,
        n INTEGER NOT NULL,
        PRIMARY KEY (status, account, instance_type)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO task_counts
        SELECT status, coalesce(account, ''), coalesce(instance_type, 'default'), count(*)
        FROM tasks GROUP BY 1, 2, 3;
    CREATE TRIGGER tasks_counted_on_insert AFTER INSERT ON tasks BEGIN
        INSERT INTO task_counts
            VALUES (NEW.status, coalesce(NEW.account, ''), coalesce(NEW.instance_type, 'default'), 1)
            ON CONFLICT (status, account, instance_type) DO UPDATE SET n = n + 1;
    END;
    CREATE TRIGGER tasks_counted_on_update AFTER UPDATE OF status, account ON tasks
        WHEN OLD.status <> NEW.status OR OLD.account IS NOT NEW.account BEGIN
        UPDATE task_counts SET n = n - 1 WHERE status = OLD.status AND account = coalesce(OLD.account, '')
            AND instance_type = coalesce(OLD.instance_type, 'default');
        INSERT INTO task_counts
            VALUES (NEW.status, coalesce(NEW.account, ''), coalesce(NEW.instance_type, 'default'), 1)
            ON CONFLICT (status, account, instance_type) DO UPDATE SET n = n + 1;
    END;
    CREATE TRIGGER tasks_counted_on_delete AFTER DELETE ON tasks BEGIN
        UPDATE task_counts SET n = n - 1 WHERE status = OLD.status AND account = coalesce(OLD.account, '')
            AND instance_type = coalesce(OLD.instance_type, 'default');
    END;

    CREATE TABLE queue_counts (
        level INTEGER NOT NULL,
        bucket INTEGER NOT NULL,
        n INTEGER NOT NULL,
        PRIMARY KEY (level, bucket)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO queue_counts SELECT 0, turn / 512, count(*) FROM tasks WHERE status = 'PENDING' GROUP BY 2;
    INSERT INTO queue_counts SELECT 1, turn, count(*) FROM tasks WHERE status = 'PENDING' GROUP BY 2;
    CREATE TRIGGER queue_entered_on_insert AFTER INSERT ON tasks
        WHEN NEW.status = 'PENDING' AND NEW.hold IS NULL BEGIN
        INSERT INTO queue_counts VALUES (0, NEW.turn / 512, 1), (1, NEW.turn, 1)
            ON CONFLICT (level, bucket) DO UPDATE SET n = n + 1;
    END;
    CREATE TRIGGER queue_entered_on_update AFTER UPDATE OF status, hold ON tasks
        WHEN NOT (OLD.status = 'PENDING' AND OLD.hold IS NULL)
            AND NEW.status = 'PENDING' AND NEW.hold IS NULL BEGIN
        INSERT INTO queue_counts VALUES (0, NEW.turn / 512, 1), (1, NEW.turn, 1)
            ON CONFLICT (level, bucket) DO UPDATE SET n = n + 1;
    END;
    CREATE TRIGGER queue_left_on_update AFTER UPDATE OF status, hold ON tasks
        WHEN OLD.status = 'PENDING' AND OLD.hold IS NULL
            AND NOT (NEW.status = 'PENDING' AND NEW.hold IS NULL) BEGIN
        UPDATE queue_counts SET n = n - 1 WHERE (level = 0 AND bucket = OLD.turn / 512)
            OR (level = 1 AND bucket = OLD.turn);
        DELETE FROM queue_counts WHERE n = 0 AND ((level = 0 AND bucket = OLD.turn / 512)
            OR (level = 1 AND bucket = OLD.turn));
    END;
    CREATE TRIGGER queue_left_on_delete AFTER DELETE ON tasks
        WHEN OLD.status = 'PENDING' AND OLD.hold IS NULL BEGIN
        UPDATE queue_counts SET n = n - 1 WHERE (level = 0 AND bucket = OLD.turn / 512)
            OR (level = 1 AND bucket = OLD.turn);
    END;
    CREATE TABLE queue_turn (id INTEGER PRIMARY KEY CHECK (id = 1), turn INTEGER NOT NULL) STRICT;
    INSERT INTO queue_turn VALUES (1, (SELECT coalesce(max(seq), 0) FROM tasks));

    CREATE TABLE accounts (
        name TEXT PRIMARY KEY,
        state TEXT NOT NULL DEFAULT 'ok'
            CHECK (state IN ('ok', 'insufficient_balance', 'key_refused', 'unavailable')),
        message TEXT,
        since_ms INTEGER,
        is_probe_needed INTEGER NOT NULL DEFAULT 0,
        next_probe_ms INTEGER,
        probes INTEGER NOT NULL DEFAULT 0,
        paused_until_ms INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0,
        unknown_outcomes INTEGER NOT NULL DEFAULT 0,
        failed_ms INTEGER NOT NULL DEFAULT 0,
        concurrent_limit INTEGER,
        running_elsewhere INTEGER NOT NULL DEFAULT 0,
        coins TEXT,
        money TEXT,
        currency TEXT
    ) STRICT;
    CREATE TABLE submit_limiters (
        account TEXT NOT NULL,
        instance_type TEXT NOT NULL,
        in_flight_max INTEGER NOT NULL DEFAULT 1,
        slots INTEGER,
        acceptances INTEGER NOT NULL DEFAULT 0,
        rejections INTEGER NOT NULL DEFAULT 0,
        blocked_until_ms INTEGER NOT NULL DEFAULT 0,
        failed_ms INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, instance_type)
    ) STRICT, WITHOUT ROWID;
    DROP TABLE submit_limiter;
    CREATE TABLE stray_runs (
        account TEXT NOT NULL,
        runninghub_task_id TEXT NOT NULL,
        task_id TEXT NOT NULL,
        next_cancel_ms INTEGER NOT NULL,
        PRIMARY KEY (account, runninghub_task_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE workers (id TEXT PRIMARY KEY, seen_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    """,
    # Kept outputs. Triggers note files that no row refers to any more, whichever statement removed the row.
    """
    CREATE TABLE outputs (
        task_id TEXT NOT NULL,
        n INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('KEEPING', 'KEPT', 'TOO_LARGE', 'LOST', 'DELETED', 'NOT_KEPT')),
        source_url TEXT,
        file_type TEXT,
        media_type TEXT NOT NULL,
        node_id TEXT,
        size INTEGER,
        sha256 TEXT,
        text TEXT,
        storage_key TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0,
        next_try_ms INTEGER,
        expires_ms INTEGER NOT NULL,
        kept_ms INTEGER,
        PRIMARY KEY (task_id, n)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX outputs_due ON outputs (next_try_ms) WHERE next_try_ms IS NOT NULL;
    CREATE INDEX outputs_by_file ON outputs (storage_key) WHERE storage_key IS NOT NULL;
    CREATE INDEX outputs_by_age ON outputs (kept_ms) WHERE state = 'KEPT';
    CREATE TABLE files_to_delete (
        storage_key TEXT PRIMARY KEY,
        next_try_ms INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX files_to_delete_due ON files_to_delete (next_try_ms);
    CREATE TRIGGER outputs_of_deleted_task AFTER DELETE ON tasks BEGIN
        DELETE FROM outputs WHERE task_id = OLD.id;
    END;
    CREATE TRIGGER file_of_deleted_output AFTER DELETE ON outputs WHEN OLD.storage_key IS NOT NULL BEGIN
        INSERT OR IGNORE INTO files_to_delete (storage_key) SELECT OLD.storage_key
            WHERE NOT EXISTS (SELECT 1 FROM outputs WHERE storage_key = OLD.storage_key);
    END;
    CREATE TRIGGER file_of_changed_output AFTER UPDATE OF storage_key ON outputs
        WHEN OLD.storage_key IS NOT NULL AND OLD.storage_key IS NOT NEW.storage_key BEGIN
        INSERT OR IGNORE INTO files_to_delete (storage_key) SELECT OLD.storage_key
            WHERE NOT EXISTS (SELECT 1 FROM outputs WHERE storage_key = OLD.storage_key);
    END;
    """,
    # Which apps were run here, by user: a list of apps reads no task.
    """
    CREATE TABLE used_webapps (
        owner TEXT NOT NULL,
        webapp_id TEXT NOT NULL,
        tasks INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        last_used_at TEXT NOT NULL,
        PRIMARY KEY (owner, webapp_id)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO used_webapps SELECT coalesce(owner, ''), webapp_id, count(*), max(seq), max(created_at)
        FROM tasks WHERE webapp_id IS NOT NULL GROUP BY 1, 2;
    CREATE INDEX used_webapps_by_webapp ON used_webapps (webapp_id);
    CREATE TRIGGER webapp_used AFTER INSERT ON tasks WHEN NEW.webapp_id IS NOT NULL BEGIN
        INSERT INTO used_webapps
            VALUES (coalesce(NEW.owner, ''), NEW.webapp_id, 1, NEW.seq, NEW.created_at)
            ON CONFLICT (owner, webapp_id)
            DO UPDATE SET tasks = tasks + 1, last_seq = NEW.seq, last_used_at = NEW.created_at;
    END;
    CREATE TRIGGER webapp_task_deleted AFTER DELETE ON tasks WHEN OLD.webapp_id IS NOT NULL BEGIN
        UPDATE used_webapps SET tasks = tasks - 1
            WHERE owner = coalesce(OLD.owner, '') AND webapp_id = OLD.webapp_id;
    END;
    """,
    # Users, their limits, and usage. A deleted task's usage remains: who deletes tasks gets no quota back.
    """
    CREATE TABLE users (
        name TEXT PRIMARY KEY,
        token_hash BLOB NOT NULL UNIQUE,
        created_at TEXT NOT NULL,
        expires_ms INTEGER,
        limits TEXT NOT NULL DEFAULT '{}',
        webapp_ids TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tasks_active_by_owner ON tasks (owner)
        WHERE owner IS NOT NULL AND status IN ('SUBMITTING', 'QUEUED', 'RUNNING');
    CREATE INDEX tasks_claimable_by_owner ON tasks (owner, turn)
        WHERE owner IS NOT NULL AND status = 'PENDING' AND hold IS NULL;
    CREATE INDEX tasks_held_by_owner ON tasks (owner, turn, seq)
        WHERE owner IS NOT NULL AND status = 'PENDING' AND hold = 'user_limit';
    CREATE INDEX tasks_by_owner_and_creation ON tasks (owner, created_at) WHERE owner IS NOT NULL;
    CREATE INDEX tasks_costs_by_owner ON tasks (owner, ended_ms, coins_micros)
        WHERE owner IS NOT NULL AND coins_micros IS NOT NULL;
    CREATE INDEX tasks_by_end ON tasks (ended_ms) WHERE ended_ms IS NOT NULL;
    CREATE TABLE deleted_tasks (
        created_at TEXT NOT NULL,
        ended_ms INTEGER NOT NULL,
        status TEXT NOT NULL,
        webapp_id TEXT,
        owner TEXT,
        account TEXT,
        coins_micros INTEGER,
        money_micros INTEGER,
        third_party_money_micros INTEGER,
        run_seconds REAL
    ) STRICT;
    CREATE INDEX deleted_tasks_by_end ON deleted_tasks (ended_ms);
    CREATE INDEX deleted_tasks_by_owner_and_creation ON deleted_tasks (owner, created_at)
        WHERE owner IS NOT NULL;
    CREATE INDEX deleted_tasks_costs_by_owner ON deleted_tasks (owner, ended_ms, coins_micros)
        WHERE owner IS NOT NULL AND coins_micros IS NOT NULL;
    CREATE TRIGGER usage_of_deleted_task AFTER DELETE ON tasks WHEN OLD.ended_ms IS NOT NULL BEGIN
        INSERT INTO deleted_tasks VALUES (OLD.created_at, OLD.ended_ms, OLD.status, OLD.webapp_id, OLD.owner,
            OLD.account, OLD.coins_micros, OLD.money_micros, OLD.third_party_money_micros, OLD.run_seconds);
    END;
    """,
    # Outgoing webhooks. The copies of a task's outputs end once, even where a lost file is copied again.
    """
    CREATE TABLE webhook_deliveries (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        task_id TEXT NOT NULL,
        type TEXT NOT NULL,
        url TEXT NOT NULL,
        receiver TEXT NOT NULL,
        body TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'DELIVERED', 'FAILED')),
        attempts TEXT NOT NULL DEFAULT '[]',
        failures INTEGER NOT NULL DEFAULT 0,
        leases INTEGER NOT NULL DEFAULT 0,
        next_try_ms INTEGER
    ) STRICT;
    CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_try_ms) WHERE next_try_ms IS NOT NULL;
    CREATE INDEX webhook_deliveries_by_task ON webhook_deliveries (task_id);
    CREATE UNIQUE INDEX webhook_outputs_kept_once ON webhook_deliveries (task_id)
        WHERE type = 'task.outputs_kept';
    CREATE TRIGGER deliveries_of_deleted_task AFTER DELETE ON tasks BEGIN
        DELETE FROM webhook_deliveries WHERE task_id = OLD.id;
    END;
    """,
    # Which receivers have something to be sent, without reading all that one of them keeps waiting.
    """
    CREATE INDEX webhook_deliveries_by_receiver ON webhook_deliveries (receiver, next_try_ms, seq)
        WHERE next_try_ms IS NOT NULL;
    """,
    # Thumbnails of kept images: each lies next to its file, and ends with it.
    """
    ALTER TABLE outputs ADD COLUMN thumbnail_size INTEGER;
    """,
    # In which format a task's own address is called: ours, or RunningHub's for its clients.
    """
    ALTER TABLE tasks ADD COLUMN webhook_format TEXT NOT NULL DEFAULT 'standard'
        CHECK (webhook_format IN ('standard', 'runninghub'));
    """,
    # Metrics: what all workers have counted, and how many streams each has open.
    """
    CREATE TABLE metric_samples (
        name TEXT NOT NULL,
        labels TEXT NOT NULL,
        part TEXT NOT NULL,
        value REAL NOT NULL,
        PRIMARY KEY (name, labels, part)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE worker_streams (
        worker TEXT PRIMARY KEY,
        streams INTEGER NOT NULL,
        seen_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    # How far a running task is, where RunningHub's WebSocket is followed.
    """
    ALTER TABLE tasks ADD COLUMN progress TEXT;
    """,
    # Thumbnails are made after their image is kept, one after the other.
    """
    ALTER TABLE outputs ADD COLUMN thumbnail_due_ms INTEGER;
    CREATE INDEX outputs_thumbnails_due ON outputs (thumbnail_due_ms) WHERE thumbnail_due_ms IS NOT NULL;
    """,
)
