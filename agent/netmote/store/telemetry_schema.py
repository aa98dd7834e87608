"""The schema of a telemetry file, as recorded migrations, with the views people read.

What a collector handed on is in `batch`: panes and interface batches as one compressed BLOB of columns, the rest as rows
of the tables beside it. The `*_minute` tables are roll-ups kept while appending, so that SQL needs no numpy:

    sqlite3 telemetry-20261122.db 'SELECT * FROM interface_traffic_per_minute LIMIT 5'
"""

# ruff: noqa: S608 -- only constants of this room are joined into SQL; every value is bound

from netmote.store.migrations import Migration

MINUTE_NS = 60_000_000_000

# RFC 3339 in UTC, to the second.
_TIME = "strftime('%Y-%m-%dT%H:%M:%SZ', {} / 1000000000, 'unixepoch')"

TELEMETRY_MIGRATIONS = (
    Migration(
        version=1,
        name="batches, records, roll-ups and views",
        statements=(
            """CREATE TABLE telemetry_file(
                 only INTEGER PRIMARY KEY CHECK(only = 1),
                 file_uuid TEXT NOT NULL,
                 day TEXT NOT NULL,
                 begun_at_ns INTEGER NOT NULL,
                 begun_running_ns INTEGER NOT NULL
               ) STRICT""",
            "CREATE TABLE text(text_id INTEGER PRIMARY KEY, value TEXT NOT NULL UNIQUE) STRICT",
            "CREATE TABLE entity(entity_id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, UNIQUE(kind, name)) STRICT",
            "CREATE TABLE layout(layout_id INTEGER PRIMARY KEY, columns TEXT NOT NULL UNIQUE) STRICT",
            # AUTOINCREMENT: an id is never given twice.
            """CREATE TABLE batch(
                 batch_id INTEGER PRIMARY KEY AUTOINCREMENT,
                 kind TEXT NOT NULL,
                 source_id INTEGER NOT NULL REFERENCES text(text_id),
                 start_ns INTEGER NOT NULL,
                 end_ns INTEGER NOT NULL,
                 appended_at_ns INTEGER NOT NULL,
                 running_ns INTEGER NOT NULL,
                 rows INTEGER NOT NULL,
                 entity_id INTEGER REFERENCES entity(entity_id),
                 detail TEXT,
                 layout_id INTEGER REFERENCES layout(layout_id),
                 crc INTEGER,
                 body BLOB
               ) STRICT""",
            "CREATE INDEX batch_start ON batch(start_ns)",
            "CREATE INDEX batch_end ON batch(end_ns)",
            """CREATE TABLE device_record(
                 batch_id INTEGER PRIMARY KEY REFERENCES batch(batch_id),
                 is_reachable INTEGER NOT NULL,
                 round_trip_ns INTEGER,
                 sys_up_time INTEGER,
                 requests INTEGER NOT NULL,
                 timeouts INTEGER NOT NULL
               ) STRICT""",
            # ANY, not REAL: a REAL column turns -0.0 into 0.0. NULL stands for NaN, which SQLite does not store.
            """CREATE TABLE gauge(
                 batch_id INTEGER NOT NULL REFERENCES batch(batch_id),
                 name_id INTEGER NOT NULL REFERENCES text(text_id),
                 value ANY,
                 PRIMARY KEY(batch_id, name_id)
               ) STRICT, WITHOUT ROWID""",
            """CREATE TABLE fact(
                 batch_id INTEGER NOT NULL REFERENCES batch(batch_id),
                 ordinal INTEGER NOT NULL,
                 entity_id INTEGER NOT NULL REFERENCES entity(entity_id),
                 name_id INTEGER NOT NULL REFERENCES text(text_id),
                 time_ns INTEGER NOT NULL,
                 value ANY,
                 annotations TEXT,
                 PRIMARY KEY(batch_id, ordinal)
               ) STRICT, WITHOUT ROWID""",
            # An interval counts for the minute in which it ends.
            """CREATE TABLE interface_minute(
                 minute_ns INTEGER NOT NULL,
                 entity_id INTEGER NOT NULL REFERENCES entity(entity_id),
                 receive_octets INTEGER NOT NULL,
                 transmit_octets INTEGER NOT NULL,
                 receive_packets INTEGER NOT NULL,
                 transmit_packets INTEGER NOT NULL,
                 intervals INTEGER NOT NULL,
                 invalid_intervals INTEGER NOT NULL,
                 PRIMARY KEY(minute_ns, entity_id)
               ) STRICT, WITHOUT ROWID""",
            """CREATE TABLE flow_minute(
                 minute_ns INTEGER NOT NULL,
                 source_id INTEGER NOT NULL REFERENCES text(text_id),
                 slices INTEGER NOT NULL,
                 octets INTEGER NOT NULL,
                 packets INTEGER NOT NULL,
                 dropped_packets INTEGER NOT NULL,
                 PRIMARY KEY(minute_ns, source_id)
               ) STRICT, WITHOUT ROWID""",
            f"""CREATE VIEW interface_traffic_per_minute AS
                SELECT {_TIME.format("m.minute_ns")} AS minute, e.name AS interface, m.receive_octets, m.transmit_octets,
                       m.receive_packets, m.transmit_packets, m.intervals, m.invalid_intervals
                FROM interface_minute m JOIN entity e USING(entity_id)""",
            f"""CREATE VIEW capture_traffic_per_minute AS
                SELECT {_TIME.format("m.minute_ns")} AS minute, t.value AS source, m.slices, m.octets, m.packets, m.dropped_packets
                FROM flow_minute m JOIN text t ON t.text_id = m.source_id""",
            f"""CREATE VIEW device_reachability_per_minute AS
                SELECT {_TIME.format("b.end_ns / 60000000000 * 60000000000")} AS minute, e.name AS device, count(*) AS polls,
                       sum(d.is_reachable) AS answered, sum(d.timeouts) AS timeouts, avg(d.round_trip_ns) / 1e6 AS mean_round_trip_ms
                FROM device_record d JOIN batch b USING(batch_id) JOIN entity e USING(entity_id)
                GROUP BY b.end_ns / 60000000000, e.entity_id""",
            f"""CREATE VIEW host_gauges AS
                SELECT {_TIME.format("b.end_ns")} AS time, e.name AS sensor, t.value AS gauge, g.value AS value
                FROM gauge g JOIN batch b USING(batch_id) JOIN entity e USING(entity_id) JOIN text t ON t.text_id = g.name_id
                WHERE b.kind = 'host'""",
            f"""CREATE VIEW facts AS
                SELECT {_TIME.format("f.time_ns")} AS time, e.kind || ':' || e.name AS entity, t.value AS name, f.value, f.annotations
                FROM fact f JOIN entity e USING(entity_id) JOIN text t ON t.text_id = f.name_id""",
        ),
    ),
)
