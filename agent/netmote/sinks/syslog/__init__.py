"""The syslog sink: RFC 5424 over TLS, which nobody acknowledges."""
