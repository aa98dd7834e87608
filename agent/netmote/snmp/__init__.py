"""Devices to interface and device records. Owns sessions, walks, counter differences and port identity.

May import records, config, telemetry and the floor. Must not: write SQLite, know windows. pysnmp only in pysnmp_session.
"""
