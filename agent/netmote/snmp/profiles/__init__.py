"""Profiles: which objects of a vendor give CPU, memory, temperature, fans and power, as YAML chosen by sysObjectID.

Owns the document, its check and the choice. May import: the floor, config, `snmp.oid`. Must not: ask a device (`details` does).
"""
