"""Scores to alerts: fingerprint, pending -> firing -> resolved, deduplication, silences, inhibition, budget.

A pure state machine over event time. May import scoring, windows, records and the nouns of telemetry. Must not: read clocks, do I/O, log.
"""
