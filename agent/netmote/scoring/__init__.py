"""Vectors and facts to scores, with what drove them. Pure: no clock, no I/O, no logging.

Owns the detector protocol, rules, baselines, calibration, fusion and explanation. May import windows and records.
Detectors return surprise, -log10 p; the score shown is 1 - p, high is anomalous.
"""
