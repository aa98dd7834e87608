"""IPFIX (RFC 7011): templates from one table, messages, statistics as options, UDP and TCP."""
