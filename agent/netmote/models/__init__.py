"""Model bundles: manifest, checks, self-test, registry, and the detectors that run them.

May import scoring and what lies below. onnxruntime only in onnx_detector, built from bytes already verified.
"""
