"""The RELP sink: RFC 5424 messages, each acknowledged."""
