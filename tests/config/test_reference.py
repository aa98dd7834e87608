"""The configuration reference is what the models say today."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["configuration.md", "rules.md", "features.md", "metrics.md"])
def test_reference_is_current(page: str) -> None:
    """`make docs` has been run since the models, rules, schemas and metrics changed."""
    pages = runpy.run_path(str(ROOT / "packaging" / "generate_reference.py"))["PAGES"]
    assert (ROOT / "docs" / page).read_text() == pages[page]()
