"""Packet columns over time to flow slices: the Metering Process of IPFIX (RFC 7011 section 2). State, no I/O, no clock.

May import capture and records.
"""
