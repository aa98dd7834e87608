"""snmpsim serving recordings of real devices on a free loopback port; the community is the recording's path."""

import bz2
import subprocess
import sys
import time
from pathlib import Path

from snmp_agent_process import free_port

# snmprec types (decimal tags; "x": the value is hexadecimal, ":" a variation module computes it)
Recording = dict[str, tuple[int, bytes | int | None]]


class Simulator:
    """snmpsim-command-responder over copies of the recordings wanted."""

    def __init__(self, directory: Path, recordings: Path, names: list[str], *, only: tuple[str, ...] = ("",)) -> None:
        """`only`: OIDs that begin so; serving fewer begins sooner."""
        self._recordings, self._names, self._directory = recordings, names, directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        for name in names:
            copy = directory / "data" / f"{name}.snmprec"
            copy.parent.mkdir(parents=True, exist_ok=True)
            begins = tuple(prefix.encode() for prefix in only)
            lines = [line for line in self._raw(name).splitlines(keepends=True) if line.startswith(begins)]
            copy.write_bytes(b"".join(lines))  # unpacked: snmpsim seeks, which bz2 makes very slow

    def _raw(self, name: str) -> bytes:
        path = self.file(name)
        return bz2.decompress(path.read_bytes()) if path.suffix == ".bz2" else path.read_bytes()

    def file(self, name: str) -> Path:
        return next(path for suffix in (".snmprec", ".snmprec.bz2") if (path := self._recordings / f"{name}{suffix}").exists())

    def start(self) -> None:
        program = Path(sys.executable).parent / "snmpsim-command-responder"
        command = [program, "--data-dir", self._directory / "data", "--cache-dir", self._directory / "cache"]
        command += ["--agent-udpv4-endpoint", f"127.0.0.1:{self.port}", "--process-user", "root", "--process-group", "root"]
        (self._directory / "cache").mkdir()
        with (self._directory / "snmpsim.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 90 + 3 * len(self._names)  # it indexes all of them first
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.stop()
                raise RuntimeError((self._directory / "snmpsim.log").read_text()[-2000:])

    def _answers(self) -> bool:
        command = ["snmpget", "-v2c", "-c", self._names[-1], "-r0", "-t1", f"127.0.0.1:{self.port}", "1.3.6.1.2.1.1.3.0"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def recording(self, name: str) -> Recording:
        """Every object of a recording: OID -> (tag, value); value None where a variation module computes it."""
        objects: Recording = {}
        for line in self._raw(name).decode("latin-1").splitlines():
            oid, kind, value = line.split("|", 2) if line.count("|") >= 2 else ("", "", "")
            tag = kind.partition(":")[0]
            if not oid or oid.startswith("#"):
                continue
            number = int(tag.rstrip("xe"))
            if ":" in kind:
                objects[oid] = (number, None)
            elif number in (4, 6, 64, 68):
                objects[oid] = (number, bytes.fromhex(value) if tag.endswith("x") else value.encode("latin-1"))
            else:
                objects[oid] = (number, int(value or 0))
        return objects
