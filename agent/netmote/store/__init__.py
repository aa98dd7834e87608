"""Records and alerts to and from SQLite. The only room that imports sqlite3 or aiosqlite.

May import alerts, records and the floor. Must not: decide what is recorded or announced.
"""
