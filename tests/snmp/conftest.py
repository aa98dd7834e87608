"""A real snmpd for the tests of this room."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from snmp_agent_process import AgentProcess


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """One snmpd for all tests that only read it."""
    yield from _running(tmp_path_factory.mktemp("snmpd"))


@pytest.fixture
def own_agent(tmp_path: Path) -> Iterator[AgentProcess]:
    """An snmpd that a test may stop."""
    yield from _running(tmp_path)


def _running(directory: Path) -> Iterator[AgentProcess]:
    if not shutil.which("snmpd") or not shutil.which("snmpbulkwalk"):
        pytest.skip("snmpd and the snmp tools are not installed")
    process = AgentProcess(directory)
    process.start()
    yield process
    process.stop()
