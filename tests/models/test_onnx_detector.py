"""The door to onnxruntime: nothing leaves the machine, nothing is written, foreign bytes are refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netmote.models.onnx_detector import OnnxRuntime
from netmote.models.refusal import BundleRefused, Refusal

PROBE = """
import json, os, sys, time
{first}
import netmote.models.onnx_detector as door
from netmote.models.config import ModelsConfig
from netmote.models.registry import load_detectors
from netmote.windows.schemas import ALL
loaded = load_detectors(ModelsConfig(), schemas=ALL)
time.sleep(1.0)
held = []
for entry in os.listdir("/proc/self/fd"):
    try:
        held.append(os.readlink("/proc/self/fd/" + entry))
    except OSError:
        pass
print(json.dumps({{
    "active": [status.state for status in loaded.bundles],
    "files": [os.path.join(place, name) for place, _, names in os.walk(os.environ["HOME"]) for name in names],
    "sockets": [link for link in held if link.startswith("socket:")],
    "threads": sorted(open("/proc/self/task/" + task + "/comm").read().strip() for task in os.listdir("/proc/self/task")),
    "switch": os.environ.get("ORT_DISABLE_TELEMETRY"),
}}))
"""


def _probe(home: Path, *, first: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    return subprocess.run(
        [sys.executable, "-c", PROBE.format(first=first)],
        env={**inherited, "HOME": str(home), "OPENBLAS_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_nothing_is_written_opened_or_started(tmp_path: Path) -> None:
    """In an empty home, with the switch not set by the user: a model loads and runs, no file is made, no socket opened, no thread left."""
    done = _probe(tmp_path)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["active"] == ["active"]
    assert (seen["files"], seen["sockets"], seen["switch"]) == ([], [], "1")
    assert len(seen["threads"]) == 1


def test_the_door_does_not_open_when_reporting_is_on(tmp_path: Path) -> None:
    """A user who sets the switch to 0 gets no onnxruntime: the import fails, and the loader says so by using numpy."""
    done = _probe(tmp_path, ORT_DISABLE_TELEMETRY="0")
    assert done.returncode != 0
    assert "would report home" in done.stderr
    code = (
        "from netmote.models.config import ModelsConfig; from netmote.models.registry import load_detectors;"
        "from netmote.windows.schemas import ALL; import sys;"
        "print(load_detectors(ModelsConfig(), schemas=ALL).bundles[0].runtime, 'onnxruntime' in sys.modules)"
    )
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "0", "HOME": str(tmp_path)}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
        == "numpy False\n"
    )


def test_what_onnxruntime_does_not_accept_is_refused() -> None:
    """Junk never becomes a session; the version of the runtime is in the reason."""
    with pytest.raises(BundleRefused, match="onnxruntime") as refusal:
        OnnxRuntime(b"junk")
    assert refusal.value.reason is Refusal.RUNTIME
