"""Offline: dataset, split, fit, quantise, evaluate. Never imported by the daemon; ships as the extra [train]."""
