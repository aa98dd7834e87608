"""FLOW RECORDS -> COLLECTORS. The Exporting Process of RFC 7011: IPFIX over UDP or TCP, or JSON lines in Suricata's EVE shape.

Owns the encodings, the ways out and what waits for them. May import records, config and the floor. Must not meter, judge or
store; must not import other rooms of its layer. A folder per encoding, strangers to each other.
"""
