"""What every test shares: telemetry of onnxruntime off, the real data where it exists, and reasons for skipping."""

import os
import sys
from collections.abc import Iterator
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


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Commands that start something set the umask of their process; run within a test, that would be the umask of all that follow."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot run."""
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root: network namespaces and AF_PACKET"))
        if item.get_closest_marker("realdata") and not DATA.is_dir():
            item.add_marker(pytest.mark.skip(reason="the recordings (../shared/data) are not on this machine"))


def _skipped_in_ci(config: pytest.Config) -> list[pytest.TestReport]:
    """Reports of tests that were skipped though CI has all they need: only recordings may be absent."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") != "true" or reporter is None:
        return []
    skipped = reporter.stats.get("skipped", [])
    return [report for report in skipped if DATA.is_dir() or "realdata" not in report.keywords]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that CI should have run."""
    for report in _skipped_in_ci(terminalreporter.config):
        terminalreporter.write_line(f"CI should have run: {report.nodeid}: {report.longrepr}", red=True)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run when CI skipped what it should have run."""
    if _skipped_in_ci(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
