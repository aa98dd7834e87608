"""Addresses as somebody else may see them: kept, truncated, or replaced by keyed pseudonyms. Pure.

May import alerts, records, telemetry's values and the floor. Must not: do I/O, read the key's file, or decide where it applies.
"""
