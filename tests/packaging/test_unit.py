"""The unit file: hardened, every line of it explained, and right for the service manager."""

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "netmote.service"


def test_exposure() -> None:
    """`systemd-analyze security` rates the unit 1.5 or better."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", str(UNIT)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def test_every_restriction_says_what_it_denies() -> None:
    """Each directive of the sandbox stands under a comment, so that an administrator knows what a drop-in gives up."""
    lines = UNIT.read_text().splitlines()
    sandbox = lines[lines.index("## What it may do: one privilege, raw packets") : lines.index("## Budget")]
    unexplained = [
        line
        for before, line in pairwise(sandbox)
        if re.match(r"[A-Z]\w+=", line)
        and not before.startswith("#")
        and before.partition("=")[0] not in (line.partition("=")[0], "IPAddressDeny")
    ]
    assert not unexplained
    assert sum("Denies" in line for line in sandbox) >= 25


def test_no_setting_is_written_twice() -> None:
    """Only lists may repeat a name."""
    names = [line.partition("=")[0] for line in UNIT.read_text().splitlines() if re.match(r"[A-Z]\w+=", line)]
    repeated = {name for name in names if names.count(name) > 1}
    assert repeated <= {"LoadCredential", "SystemCallFilter", "After", "Wants"}


def test_telemetry_of_onnxruntime_is_off() -> None:
    """Nothing leaves a sensor unasked."""
    assert re.search(r"^Environment=.*\bORT_DISABLE_TELEMETRY=1\b", UNIT.read_text(), re.MULTILINE)
