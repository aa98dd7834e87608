"""Makes the builders of this folder importable from its tests and from tests/property."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
