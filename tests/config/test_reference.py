"""The configuration reference is what the models say today."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_reference_is_current() -> None:
    """`make docs` has been run since the models changed."""
    generated = runpy.run_path(str(ROOT / "packaging" / "generate_reference.py"))["reference"]()
    assert (ROOT / "docs" / "configuration.md").read_text() == generated
