"""SNMP in netmote's own hand: the polling subset of BER, v1, v2c and v3 with USM, one socket per address family.

Owns: octets on the wire to and from `Reply` of the session seam. May import: the floor, `snmp.session`, `snmp.credentials`,
cryptography. Must not: walk, retry, pace, or know what an OID means.
"""
