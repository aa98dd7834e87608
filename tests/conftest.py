"""What every test shares: telemetry of onnxruntime off, the real data where it exists, and reasons for skipping."""

import os
import sys
from pathlib import Path

import pytest

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.path.insert(0, str(Path(__file__).parent / "fakes"))

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The recordings with ground truth; a user's machine has none."""
    if not DATA.is_dir():
        pytest.skip("the recordings (../shared/data) are not on this machine")
    return DATA


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root: network namespaces and AF_PACKET"))
        if item.get_closest_marker("realdata") and not DATA.is_dir():
            item.add_marker(pytest.mark.skip(reason="the recordings (../shared/data) are not on this machine"))
