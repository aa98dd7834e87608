"""The status page and the HTTP endpoints. The daemon hands it snapshots, which are nouns of telemetry."""
