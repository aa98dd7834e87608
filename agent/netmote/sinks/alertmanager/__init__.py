"""The Alertmanager sink."""
