"""Libraries of sinks: optional, imported only by the sink that is configured, named when they are not there."""

import subprocess
import sys

import pytest

from netmote.sinks.libraries import require_library

LIBRARIES = ("nats", "nkeys", "nacl", "aiomqtt", "paho", "aiokafka", "opentelemetry", "google.protobuf")


def test_a_daemon_without_these_sinks_imports_none_of_their_libraries() -> None:
    """Not at start, not with their configuration models: memory and time are for those who want them."""
    program = f"import sys, netmote.daemon.lifecycle; print(*(name for name in {LIBRARIES} if name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60).stdout
    assert found.split() == []


@pytest.mark.parametrize("module", ["no_such_module", "no_such_module.inside", "json.no_such_module"])
def test_one_that_is_not_there_is_named_with_its_extra(module: str) -> None:
    """The sentence can be acted on."""
    with pytest.raises(ValueError, match=rf'{module}.*pip install "netmote\[kafka\]"'):
        require_library(module, extra="kafka")


def test_one_that_is_there_is_not_imported() -> None:
    """Looking for it costs nothing."""
    program = (
        "import sys; from netmote.sinks.libraries import require_library\n"
        "require_library('aiokafka', extra='kafka'); print('aiokafka' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60).stdout
    assert told.strip() == "False"
