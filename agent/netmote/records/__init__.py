"""What was observed over an interval, as values. Owns the nouns every later stage imports; imports nothing of ours.

Must not: read clocks, do I/O, log, know who made a record or who reads it.
"""
