"""What a start brings in: nothing that only some sensors, or only readers of a page, need."""

import subprocess
import sys

# What it costs is why it is late: onnxruntime 17 MB, pysnmp 15, jinja2 and its templates 4, the rest are tools.
LATE = {"onnxruntime", "pysnmp", "jinja2", "scapy", "pyarrow", "matplotlib", "onnx", "nats", "aiomqtt", "aiokafka"}


def test_a_start_imports_only_what_every_sensor_needs() -> None:
    """The daemon's whole import graph, in an interpreter of its own."""
    code = "import sys, netmote.daemon.start; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    brought = set(done.stdout.split())
    assert {"aiohttp", "numpy"} <= brought
    assert not brought & LATE
