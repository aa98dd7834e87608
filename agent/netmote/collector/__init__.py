"""The reference upstream, small on purpose: takes the webhook's batches, commits before it answers, and misses sensors and numbers.

May import store, telemetry, web's page furniture and the floor. Must not: know the daemon, or decide anything for a sensor.
"""
