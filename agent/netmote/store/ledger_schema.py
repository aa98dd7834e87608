"""The schema of `ledger.db`, as recorded migrations.

A row of `alert_revision` is written once and only ever removed by expiry. `seq` is AUTOINCREMENT, so that with one
writer its order is the order of commits, and a number is never given twice: a cursor per sink is all delivery needs.

The books of one sink, at every instant (view `ledger_identity`):

    created - created_before = acknowledged + queued + quarantined + expired
"""

from netmote.store.migrations import Migration

LEDGER_NAME = "ledger.db"

_IDENTITY = """
CREATE VIEW ledger_identity AS
SELECT sink, created, acknowledged, queued, quarantined, expired,
       created = acknowledged + queued + quarantined + expired AS holds
FROM (
  SELECT s.sink AS sink,
         (SELECT created_total FROM ledger) - s.created_before AS created,
         s.acknowledged AS acknowledged,
         (SELECT count(*) FROM alert_revision r
           WHERE r.seq > s.cursor AND r.is_silenced = 0
             AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.sink = s.sink AND q.seq = r.seq)) AS queued,
         s.quarantined AS quarantined,
         s.expired AS expired
  FROM sink s
)
"""

LEDGER_MIGRATIONS = (
    Migration(
        version=1,
        name="alerts, sinks, silences and the checkpoint",
        statements=(
            # carried_over: revisions saved from a damaged ledger; a sink that has no cursor then begins before them.
            # running_ns: how long the agent has run under this ledger. Ages count in it, so a step of the wall clock expires nothing.
            """CREATE TABLE ledger(
                 only INTEGER PRIMARY KEY CHECK(only = 1),
                 epoch TEXT NOT NULL,
                 created_total INTEGER NOT NULL,
                 running_ns INTEGER NOT NULL,
                 carried_over INTEGER NOT NULL DEFAULT 0
               ) STRICT""",
            """CREATE TABLE alert_revision(
                 seq INTEGER PRIMARY KEY AUTOINCREMENT,
                 sensor TEXT NOT NULL,
                 alert_id TEXT NOT NULL,
                 revision INTEGER NOT NULL,
                 state TEXT NOT NULL,
                 severity INTEGER NOT NULL,
                 is_silenced INTEGER NOT NULL,
                 last_seen_ns INTEGER NOT NULL,
                 committed_at_ns INTEGER NOT NULL,
                 running_ns INTEGER NOT NULL,
                 body BLOB NOT NULL,
                 crc INTEGER NOT NULL,
                 UNIQUE(alert_id, revision)
               ) STRICT""",
            "CREATE INDEX alert_revision_firing ON alert_revision(seq) WHERE state = 'firing'",
            # Small indexes beside wide rows: counting a backlog and finding what is old must not read every alert's body.
            "CREATE INDEX alert_revision_forwarded ON alert_revision(seq) WHERE is_silenced = 0",
            "CREATE INDEX alert_revision_age ON alert_revision(running_ns)",
            """CREATE TABLE sink(
                 sink TEXT PRIMARY KEY,
                 cursor INTEGER NOT NULL,
                 created_before INTEGER NOT NULL,
                 acknowledged INTEGER NOT NULL DEFAULT 0,
                 quarantined INTEGER NOT NULL DEFAULT 0,
                 expired INTEGER NOT NULL DEFAULT 0
               ) STRICT, WITHOUT ROWID""",
            """CREATE TABLE quarantine(
                 sink TEXT NOT NULL REFERENCES sink(sink),
                 seq INTEGER NOT NULL,
                 reason TEXT NOT NULL,
                 quarantined_at_ns INTEGER NOT NULL,
                 PRIMARY KEY(sink, seq)
               ) STRICT, WITHOUT ROWID""",
            """CREATE TABLE silence(
                 silence_id TEXT PRIMARY KEY,
                 created_at_ns INTEGER NOT NULL,
                 ends_at_ns INTEGER NOT NULL,
                 reason TEXT NOT NULL,
                 alert_group TEXT,
                 entity TEXT
               ) STRICT, WITHOUT ROWID""",
            """CREATE TABLE checkpoint(
                 only INTEGER PRIMARY KEY CHECK(only = 1),
                 file_uuid TEXT,
                 batch_id INTEGER,
                 event_time_ns INTEGER NOT NULL,
                 state BLOB NOT NULL,
                 crc INTEGER NOT NULL
               ) STRICT""",
            """CREATE TABLE telemetry_gap(
                 file_uuid TEXT NOT NULL,
                 batch_id INTEGER NOT NULL,
                 detected_at_ns INTEGER NOT NULL,
                 reason TEXT NOT NULL,
                 PRIMARY KEY(file_uuid, batch_id)
               ) STRICT, WITHOUT ROWID""",
            _IDENTITY,
        ),
    ),
)
