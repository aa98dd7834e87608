"""What a device says beyond its ports: gauges of the standard MIBs and of a profile, and its LLDP neighbours, read slowly.

Owns: which objects there are, what their values mean, when they are asked and at what cost. May import: the floor, records, the
room's seam (`session`, `walk`, `oid`, `mib`, `reading`) and `profiles`. Must not: delay a counter, or fail a poll.
"""
