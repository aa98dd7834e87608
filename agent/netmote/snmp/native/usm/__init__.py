"""The User-based Security Model without I/O (RFC 3414, RFC 3826, RFC 7860): who sent a message, and who may read it.

Owns: keys, digests, ciphers, salts, what is known of an authoritative engine, what a report means, and the octets of an SNMPv3
message. May import: `snmp.session`, `snmp.native.ber`, cryptography. Must not: know sockets, deadlines, or what a PDU asks for.
"""
