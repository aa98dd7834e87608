"""Composition: ingest, analyse, deliver, supervised. The only room that knows everyone."""
