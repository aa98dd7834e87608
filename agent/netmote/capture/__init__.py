"""Bytes on the wire to packet columns: one block of packets at a time, vectorised with numpy. Rings, capture files, header decode.

May import records and the floor. Must not: keep flow state, know windows or the store. scapy is never imported here.
"""
