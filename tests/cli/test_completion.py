"""Shell completion: commands and options by the installed name, and the scripts that the package ships are typer's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer._completion_shared import get_completion_script

COMPLETION = Path(__file__).resolve().parents[2] / "packaging" / "completion"
FILES = {"bash": "netmote.bash", "zsh": "_netmote", "fish": "netmote.fish"}


@pytest.mark.parametrize("shell", FILES)
def test_shipped_scripts_are_current(shell: str) -> None:
    """A newer typer that asks otherwise makes this fail."""
    script = get_completion_script(prog_name="netmote", complete_var="_NETMOTE_COMPLETE", shell=shell)
    assert (COMPLETION / FILES[shell]).read_text() == script + "\n"


def answers(*words: str) -> list[str]:
    environment = {
        **os.environ,
        "_NETMOTE_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    command = [sys.executable, "-I", "-m", "netmote"]  # as /usr/bin/netmote of the package runs it
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=30).stdout.split()


def test_commands_and_options_are_completed() -> None:
    """The module answers for the name `netmote`: commands of the lazy table, subcommands, options."""
    assert answers("netmote", "do") == ["doctor"]
    assert set(answers("netmote", "alerts", "s")) == {"show", "silence", "silences"}
    assert "--no-network" in answers("netmote", "doctor", "--no")


def test_bash_completes(tmp_path: Path) -> None:
    """Bash itself, with the shipped script and the name found on its path."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    program = tmp_path / "netmote"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -m netmote "$@"\n')
    program.chmod(0o755)
    ask = f'. {COMPLETION}/netmote.bash; COMP_WORDS=(netmote dis); COMP_CWORD=1; _netmote_completion netmote; echo "${{COMPREPLY[@]}}"'
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run([bash, "--norc", "-c", ask], env=environment, check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == ["discover"]
