"""A real snmpd of net-snmp on a free loopback port, with v2c and v3 users, that can be stopped and started again."""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

AUTH_PASSWORD = "authentication-pass"
PRIV_PASSWORD = "privacy-password"

# security name -> (auth protocol, priv protocol) in the words of UsmConfig
USERS = {
    "md5des": ("md5", "des"),
    "sha": ("sha", "aes128"),
    "sha224": ("sha224", "aes192"),
    "sha256": ("sha256", "aes128"),
    "sha384only": ("sha384", "none"),
    "sha512": ("sha512", "aes256"),
    "nobody": ("none", "none"),
}
_NET_SNMP = {
    "md5": "MD5", "sha": "SHA", "sha224": "SHA-224", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512",
    "des": "DES", "aes128": "AES", "aes192": "AES192", "aes256": "AES256",
}  # fmt: skip
_LEVEL = {(False, False): "noauth", (True, False): "auth", (True, True): "priv"}


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class AgentProcess:
    """snmpd in the foreground. `start` returns when it answers."""

    def __init__(self, directory: Path, *, community: str = "public", keeps_state: bool = False) -> None:
        """With `keeps_state` its engineBoots rise with each start, as an installed snmpd's do; else they stay 1."""
        self.directory, self.community, self.keeps_state = directory, community, keeps_state
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            f"agentaddress udp:127.0.0.1:{self.port},udp6:[::1]:{self.port}",
            f"rocommunity {community}",
            f"rocommunity6 {community}",
        ]
        for name, (auth, priv) in USERS.items():
            create = ["createUser", name]
            if auth != "none":
                create += [_NET_SNMP[auth], AUTH_PASSWORD]
            if priv != "none":
                create += [_NET_SNMP[priv], PRIV_PASSWORD]
            lines += [" ".join(create), f"rouser {name} {_LEVEL[auth != 'none', priv != 'none']}"]
        (directory / "agent.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                shutil.which("snmpd") or "/usr/sbin/snmpd",
                "-f",
                "-I",
                "-smux",
                *([] if self.keeps_state else ["-C"]),
                "-c",
                "agent.conf",
                "-Lf",
                "snmpd.log",
                "-p",
                "snmpd.pid",
            ],
            cwd=self.directory,
            env={
                "SNMP_PERSISTENT_DIR": str(self.directory / "state"),
                "MIBS": "",
                "SNMPCONFPATH": "state",
                "PATH": "/usr/sbin:/usr/bin",
            },
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError((self.directory / "snmpd.log").read_text())
            if self.snmpget("1.3.6.1.2.1.1.3.0"):
                return
        self.stop()
        raise RuntimeError("snmpd does not answer")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(10)

    def snmpget(self, oid: str) -> str:
        command = ["snmpget", "-v2c", "-c", self.community, "-r0", "-t0.5", "-Oqnt", f"127.0.0.1:{self.port}", oid]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def walk(self, oid: str) -> dict[str, str]:
        """What net-snmp's own client reads: numeric OID -> value, numbers plain."""
        command = ["snmpbulkwalk", "-v2c", "-c", self.community, "-OqntUe", f"127.0.0.1:{self.port}", oid]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        return {oid.lstrip("."): value.strip().strip('"') for oid, _, value in (line.partition(" ") for line in lines)}
