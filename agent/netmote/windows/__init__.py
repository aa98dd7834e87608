"""Records to feature vectors: sliding windows over event time. Pure numpy; owns window borders, watermarks and feature formulas.

May import records. Must not: read clocks, do I/O, log, know detectors. Accumulators are integers; floats are computed once,
when a window closes, in canonical entity order, so the result depends on the records alone and not on how they were batched.
"""
