"""netmote: the edge agent of network sensors. The tree reads as the data flows; see docs/architecture.md."""

import os

# onnxruntime wheels from 1.29 on report home at import; the switch must be set before the first import anywhere.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
