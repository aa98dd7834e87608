"""Alerts to upstream. A folder per sink, strangers to each other. May import alerts and what lies below; never the store.

Delivery (in daemon) hands batches over and keeps the cursor; a sink holds no alert after `deliver` returned.
"""
