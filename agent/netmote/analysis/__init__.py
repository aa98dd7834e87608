"""The whole middle, assembled and pure: batches and event time in; vectors, scores and alerts out.

Daemon, replay and training call this and nothing beside it. Must not: read clocks, do I/O, log, know SQLite or asyncio.
"""
