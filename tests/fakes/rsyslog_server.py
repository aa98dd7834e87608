"""A real rsyslogd on loopback that takes RFC 5424 messages over TCP, TLS or RELP and syncs each to a file before it goes on."""

import re
import shutil
from pathlib import Path

import pytest
from server_process import ServerProcess, low_port
from sink_certificates import Pair

_EVENT_ID = re.compile(rb'\[alert@\d+ id="([^"]+)"')


class RsyslogServer(ServerProcess):
    """One daemon with one input. `module` is imrelp or imtcp."""

    def __init__(
        self, folder: Path, module: str, *, port: int = 0, authority: Path | None = None, pair: Pair | None = None
    ) -> None:
        program = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
        if not Path(program).exists():
            pytest.skip("rsyslog is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        port = port or low_port()
        self.output = folder / "received.log"
        self._pid = folder / "rsyslogd.pid"
        configuration = folder / "rsyslog.conf"
        configuration.write_text(_configuration(folder, module, port, authority, pair))
        # -C: no other working directory; the pid file of a killed one would keep the next from starting.
        super().__init__([program, "-n", "-f", str(configuration), "-i", str(self._pid)], port=port, log=folder / "rsyslogd.log")

    def start_process(self) -> None:
        self._pid.unlink(missing_ok=True)
        super().start_process()

    @property
    def messages(self) -> list[bytes]:
        """What it wrote, as it came over the wire; a line that a kill cut is left out."""
        content = self.output.read_bytes() if self.output.exists() else b""
        return [line for line in content.split(b"\n")[:-1] if line]

    @property
    def event_ids(self) -> list[str]:
        """Ids of the alerts, in order of arrival, with repetitions."""
        return [match[1].decode() for message in self.messages if (match := _EVENT_ID.search(message))]


def _configuration(folder: Path, module: str, port: int, authority: Path | None, pair: Pair | None) -> str:
    tls, inside, defaults = "", "", ""
    if pair is not None:
        defaults = (
            f'global(defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{authority}"'
            f' defaultNetstreamDriverCertFile="{pair.certificate}" defaultNetstreamDriverKeyFile="{pair.key}")'
        )
        if module == "imtcp":
            tls = ' streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/certvalid"'
        else:
            tls = ' tls.tlslib="openssl"'
            inside = (
                f' tls="on" tls.caCert="{authority}" tls.myCert="{pair.certificate}" tls.myPrivKey="{pair.key}"'
                ' tls.authMode="certvalid"'
            )
    return f"""
global(workDirectory="{folder}" maxMessageSize="64k")
{defaults}
module(load="{module}"{tls})
template(name="raw" type="string" string="%rawmsg%\\n")
input(type="{module}" port="{port}" address="127.0.0.1" ruleset="r"{inside})
ruleset(name="r" queue.type="Direct") {{
    action(type="omfile" file="{folder}/received.log" template="raw" sync="on" flushOnTXEnd="on")
}}
"""
