"""Scores to alerts: fingerprint, pending -> firing -> resolved, deduplication, silences, inhibition, budget.

A pure state machine over event time. May import scoring, windows and records. Must not: read clocks, do I/O, log.
"""
