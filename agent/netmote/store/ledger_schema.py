"""The schema of `ledger.db`, as recorded migrations.

A row of `alert_revision` is written once and only ever removed by expiry. `seq` is AUTOINCREMENT, so that with one
writer its order is the order of commits, and a number is never given twice: a cursor per sink and severity is all delivery needs.

The books of one sink, at every instant (view `ledger_identity`), and those of what it was sent again (`resend_identity`):

    created - created_before = acknowledged + queued + quarantined + expired
    asked = resent + waiting + refused + expired
"""

# ruff: noqa: S608 -- only constants of this room are joined into SQL; every value is bound

from netmote.store.migrations import Migration

LEDGER_NAME = "ledger.db"

_IDENTITY_1 = """
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

# Whether revision `r` still waits for the sink of cursor `c`: the join `c.severity = r.severity` picks the cursor.
IS_QUEUED = (
    "r.is_silenced = 0 AND r.seq > c.cursor"
    " AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.sink = c.sink AND q.seq = r.seq)"
    " AND NOT EXISTS (SELECT 1 FROM delivered_ahead a WHERE a.sink = c.sink AND a.seq = r.seq)"
)

_IDENTITY_2 = f"""
CREATE VIEW ledger_identity AS
SELECT sink, created, acknowledged, queued, quarantined, expired,
       created = acknowledged + queued + quarantined + expired AS holds
FROM (
  SELECT s.sink AS sink,
         (SELECT created_total FROM ledger) - s.created_before AS created,
         s.acknowledged AS acknowledged,
         (SELECT count(*) FROM sink_cursor c JOIN alert_revision r ON r.severity = c.severity
           WHERE c.sink = s.sink AND {IS_QUEUED}) AS queued,
         s.quarantined AS quarantined,
         s.expired AS expired
  FROM sink s
)
"""

_RESEND_IDENTITY = """
CREATE VIEW resend_identity AS
SELECT sink, asked, resent, waiting, refused, expired, asked = resent + waiting + refused + expired AS holds
FROM (
  SELECT s.sink AS sink, s.resend_asked AS asked, s.resent AS resent,
         (SELECT count(*) FROM resend e WHERE e.sink = s.sink) AS waiting,
         s.resend_refused AS refused, s.resend_expired AS expired
  FROM sink s
)
"""

# RFC 3339 in UTC, to the second.
_TIME = "strftime('%Y-%m-%dT%H:%M:%SZ', {} / 1000000000, 'unixepoch')"

# For people and their SQL: one row a revision, the words of its document beside its place in the ledger.
_ALERTS = f"""
CREATE VIEW alerts AS
SELECT r.seq AS seq, {_TIME.format("r.committed_at_ns")} AS committed_at, r.is_clock_synchronised AS is_clock_synchronised,
       r.alert_id AS alert_id, r.revision AS revision, r.state AS state,
       json_extract(CAST(r.body AS TEXT), '$.severity') AS severity,
       json_extract(CAST(r.body AS TEXT), '$.entity.kind') || ':' || json_extract(CAST(r.body AS TEXT), '$.entity.name') AS entity,
       json_extract(CAST(r.body AS TEXT), '$.group') AS rule,
       json_extract(CAST(r.body AS TEXT), '$.title') AS title,
       {_TIME.format("r.last_seen_ns")} AS last_seen_at, r.is_silenced AS is_silenced
FROM alert_revision r
"""

# What of each alert still waits for each sink, in the order in which it is offered but for revisions taken along.
_QUEUE = f"""
CREATE VIEW queue AS
SELECT c.sink AS sink, r.severity AS severity_id, r.seq AS seq, r.alert_id AS alert_id, r.revision AS revision,
       {_TIME.format("r.committed_at_ns")} AS committed_at
FROM sink_cursor c JOIN alert_revision r ON r.severity = c.severity
WHERE {IS_QUEUED}
ORDER BY c.sink, r.severity, r.seq
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
            _IDENTITY_1,
        ),
    ),
    Migration(
        version=2,
        name="a cursor per sink and severity, numbers withheld, resends, the state of the clock",
        statements=(
            "DROP VIEW ledger_identity",
            # The lower the number, the graver (RFC 5424), the sooner it goes out.
            """CREATE TABLE sink_cursor(
                 sink TEXT NOT NULL REFERENCES sink(sink),
                 severity INTEGER NOT NULL,
                 cursor INTEGER NOT NULL,
                 PRIMARY KEY(sink, severity)
               ) STRICT, WITHOUT ROWID""",
            """INSERT INTO sink_cursor(sink, severity, cursor)
               SELECT s.sink, v.value, s.cursor FROM sink s, json_each('[0,1,2,3,4,5,6,7]') v""",
            "ALTER TABLE sink DROP COLUMN cursor",
            "ALTER TABLE sink ADD COLUMN resend_asked INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE sink ADD COLUMN resent INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE sink ADD COLUMN resend_refused INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE sink ADD COLUMN resend_expired INTEGER NOT NULL DEFAULT 0",
            # Delivered although its cursor is still before it: an earlier revision that had to go ahead of a graver one.
            """CREATE TABLE delivered_ahead(
                 sink TEXT NOT NULL REFERENCES sink(sink),
                 seq INTEGER NOT NULL,
                 severity INTEGER NOT NULL,
                 PRIMARY KEY(sink, seq)
               ) STRICT, WITHOUT ROWID""",
            """CREATE TABLE resend(
                 sink TEXT NOT NULL REFERENCES sink(sink),
                 seq INTEGER NOT NULL,
                 PRIMARY KEY(sink, seq)
               ) STRICT, WITHOUT ROWID""",
            # Numbers a receiver will never get, so that gaps upstream stay meaningful. sink '' stands for every sink.
            """CREATE TABLE withheld(
                 sink TEXT NOT NULL,
                 first INTEGER NOT NULL,
                 last INTEGER NOT NULL,
                 reason TEXT NOT NULL,
                 PRIMARY KEY(sink, first)
               ) STRICT, WITHOUT ROWID""",
            # The table above is whole from this number on.
            "CREATE TABLE withheld_floor(sink TEXT PRIMARY KEY, below INTEGER NOT NULL) STRICT, WITHOUT ROWID",
            # Version 1 did not note what expired: of its numbers nothing whole can be said.
            """INSERT INTO withheld_floor(sink, below)
               SELECT s.sink, 1 + ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'alert_revision'), 0) FROM sink s""",
            # NULL: not known.
            "ALTER TABLE alert_revision ADD COLUMN is_clock_synchronised INTEGER",
            # Changes at every opening, here and in the file beside the ledger: an older copy of one of them is seen.
            "ALTER TABLE ledger ADD COLUMN opening TEXT NOT NULL DEFAULT ''",
            "DROP INDEX alert_revision_forwarded",
            "CREATE INDEX alert_revision_severity ON alert_revision(severity, seq) WHERE is_silenced = 0",
            _IDENTITY_2,
            _RESEND_IDENTITY,
        ),
    ),
    Migration(version=3, name="views that people read", statements=(_ALERTS, _QUEUE)),
)
