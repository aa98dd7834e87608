"""Traps received a second: v3 authPriv (SHA-1, AES-128) and v2c, each a linkDown of five varbinds, from the socket to the meaning.

Another process sends as fast as it is told, from one engine, every trap another one. The figure is what one processor could take, by
processor time; beside it the fastest of a few rates at which none of the traps was lost. Goal: 30,000 v3 a second. In the same run
pysnmp's receiver (its decoder, USM and notification receiver on the same octets), and Debian's snmptrapd where it is installed.
"""

import asyncio
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))

from report import Row, machine, pin, print_table, say

from netmote.clock import SystemClock
from netmote.records.entity import Entity, EntityKind
from netmote.snmp import mib
from netmote.snmp.config import SnmpConfig
from netmote.snmp.credentials import UsmUser
from netmote.snmp.native.ber import element, integer
from netmote.snmp.native.notification_pdu import TRAP_V2
from netmote.snmp.native.usm.engine import AuthoritativeEngine
from netmote.snmp.native.usm.keys import KeyRing, protocols
from netmote.snmp.native.usm.privacy import SaltCounter
from netmote.snmp.native.usm.sealer import Sealer
from netmote.snmp.notification import LINK_DOWN, SNMP_TRAP_OID, Notification
from netmote.snmp.notification_listener import NotificationListener
from netmote.snmp.notifications import interpret
from netmote.snmp.oid import encode_arcs, parse_oid

TRAPS = 60_000
RATES = (10_000, 20_000, 30_000, 40_000)
GOAL = 30_000
ENGINE = bytes.fromhex("80001f880454524150")
USER = UsmUser("bench", "sha", "aes128", "authpass123", "privpass123")
IF_INDEX = 10_101


def trap_pdu(number: int) -> bytes:
    """The linkDown of RFC 2863 with the two varbinds before it."""
    index = encode_arcs((IF_INDEX,))
    varbinds = (
        element(0x06, mib.SYS_UP_TIME) + element(mib.TIME_TICKS, (0x112233).to_bytes(3, "big")),
        element(0x06, SNMP_TRAP_OID) + element(0x06, LINK_DOWN),
        element(0x06, parse_oid("1.3.6.1.2.1.2.2.1.1") + index) + integer(IF_INDEX),
        element(0x06, mib.COLUMN["ifAdminStatus"] + index) + integer(1),
        element(0x06, mib.COLUMN["ifOperStatus"] + index) + integer(2),
    )
    return element(
        TRAP_V2, integer(0x10000000 + number) + integer(0) * 2 + element(0x30, b"".join(element(0x30, each) for each in varbinds))
    )


def messages(version: str, count: int) -> list[bytes]:
    """Traps of one sender, each of its own request-id."""
    if version == "2c":
        return [element(0x30, integer(1) + element(0x04, b"public") + trap_pdu(number)) for number in range(count)]
    ring = KeyRing()
    ring.prepare(USER)
    engine = AuthoritativeEngine(ENGINE, ring.local_keys(USER, ENGINE), boots=4, time=1000, now=0.0)
    auth, priv = protocols(USER)
    sealer = Sealer(b"bench", b"", auth=auth, priv=priv, salts=SaltCounter(random.Random(1)))
    return [sealer.request(engine, trap_pdu(number), 0x10000000 + number, 0.0) for number in range(count)]


def send(port: int, version: str, count: int, rate: float) -> None:
    """The other process: all made first, then sent at the rate, in groups of a millisecond."""
    processors = set(range(os.cpu_count() or 1))
    os.sched_setaffinity(0, processors - {max(processors)} or processors)  # the receiver has the last one
    made = messages(version, count)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.perf_counter()
        for number, message in enumerate(made):
            if number % 16 == 0:
                while (wait := began + number / rate - time.perf_counter()) > 0:
                    time.sleep(min(wait, 0.001))
            sender.send(message)


async def receive(version: str, rate: float, count: int = TRAPS) -> tuple[int, float]:
    """Traps that were passed on, and processor seconds a trap."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ["NM_BENCH_AUTH"], os.environ["NM_BENCH_PRIV"] = "authpass123", "privpass123"
    user = {"security_name": "bench", "auth_protocol": "sha", "auth_password": "env:NM_BENCH_AUTH"}
    user |= {"priv_protocol": "aes128", "priv_password": "env:NM_BENCH_PRIV"}
    config = SnmpConfig.model_validate(
        {
            "targets": [{"name": "sw", "address": "127.0.0.1"}],
            "notifications": {"address": "127.0.0.1", "port": port, "rate": 100_000.0, "users": [user]},
        }
    )
    heard, device, clock = 0, Entity(EntityKind.DEVICE, "sw"), SystemClock()

    def notify(_: str, notification: Notification) -> bool:
        nonlocal heard
        heard += interpret(notification, device, clock.now_ns()).link is not None
        return True

    with tempfile.TemporaryDirectory() as directory:
        listener = NotificationListener(config, state_dir=Path(directory), clock=clock, random=random.Random(1), notify=notify)
        task = asyncio.ensure_future(listener.run())
        sender = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "send", str(port), version, str(count), str(rate),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert sender.stdin is not None
        assert sender.stdout is not None
        await sender.stdout.readline()
        before = _processor_seconds()
        sender.stdin.write(b"go\n")
        await sender.stdin.drain()
        await sender.wait()
        while True:  # until nothing more comes
            seen = heard
            await asyncio.sleep(0.3)
            if heard == seen:
                break
        used = _processor_seconds() - before
        if listener.dropped:
            say(f"not passed on: {dict(listener.dropped)}")
        task.cancel()
        await asyncio.wait([task])
    return heard, used / max(1, heard)


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def pysnmp_seconds(count: int = 300) -> float:
    """Processor seconds a v3 trap of pysnmp: messages through its transport dispatcher's callback, no socket."""
    from pysnmp.carrier.asyncio.dgram import udp
    from pysnmp.entity import config, engine
    from pysnmp.entity.rfc3413 import ntfrcv
    from pysnmp.proto.api import v2c

    made = messages("3", count)

    async def run() -> float:
        snmp = engine.SnmpEngine()
        config.add_transport(snmp, udp.DOMAIN_NAME, udp.UdpTransport().open_server_mode(("127.0.0.1", 0)))
        config.add_v3_user(
            snmp,
            "bench",
            config.USM_AUTH_HMAC96_SHA,
            "authpass123",
            config.USM_PRIV_CFB128_AES,
            "privpass123",
            securityEngineId=v2c.OctetString(ENGINE),
        )
        heard: list[object] = []
        ntfrcv.NotificationReceiver(snmp, lambda *arguments: heard.append(arguments[4]))
        began = time.process_time()
        for message in made:
            snmp.message_dispatcher.receive_message(snmp, udp.DOMAIN_NAME, ("127.0.0.1", 9), message)
        used = time.process_time() - began
        if len(heard) != count:
            raise RuntimeError(f"pysnmp took {len(heard)} of {count}")
        return used / count

    return asyncio.run(run())


def snmptrapd_seconds(version: str, count: int = 20_000) -> float | None:
    """Processor seconds a trap of Debian's snmptrapd, which prints each to a file; None where it is not installed."""
    program = shutil.which("snmptrapd") or shutil.which("/usr/sbin/snmptrapd")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        Path(directory, "d.conf").write_text(
            f"createUser -e 0x{ENGINE.hex()} bench SHA authpass123 AES privpass123\nauthUser log bench priv\nauthCommunity log public\n"
        )
        command = [program, "-f", "-C", "-c", "d.conf", "-On", "-m", "", "-Lf", "out", f"udp:127.0.0.1:{port}"]
        environment = {"SNMP_PERSISTENT_DIR": directory, "PATH": "/usr/bin:/usr/sbin"}
        daemon = subprocess.Popen(command, cwd=directory, env=environment)
        time.sleep(1.0)
        sender = subprocess.run(
            [sys.executable, __file__, "send", str(port), version, str(count), "5000"],
            input=b"go\n",
            capture_output=True,
            check=True,
        )
        del sender
        time.sleep(1.0)
        fields = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
        used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        daemon.terminate()
        daemon.wait()
        logged = Path(directory, "out").read_text(errors="replace").count("1.3.6.1.6.3.1.1.5.3")
        return used / max(1, logged)


def main() -> int:
    """Run all and print the table; 1 when a goal is missed."""
    pin()
    rows: list[Row] = []
    costs: dict[str, float] = {}
    for version, name in (("3", "v3 authPriv"), ("2c", "v2c")):
        best = 0
        for rate in RATES:
            heard, cost = asyncio.run(receive(version, rate))
            say(f"{name} at {rate:,} /s: {heard:,} of {TRAPS:,}, {cost * 1e6:.1f} us a trap")
            costs[version] = min(costs.get(version, cost), cost)
            if heard != TRAPS:
                break
            best = rate
        rows += [
            Row(f"{name}: traps that one processor takes", 1 / costs[version], "/s", at_least=GOAL),
            Row(f"{name}: {TRAPS:,} traps sent, none lost up to", best, "/s"),
        ]
    theirs = pysnmp_seconds()
    beside = f"{theirs / costs['3']:.0f} times ours"
    rows.append(Row("pysnmp's receiver, v3 authPriv, without a socket", 1 / theirs, "/s", beside=beside))
    daemon = snmptrapd_seconds("3")
    if daemon is None:
        say("snmptrapd is not installed (Debian: snmptrapd)")
    else:
        beside = f"{daemon / costs['3']:.2g} times ours a trap"
        rows.append(Row("snmptrapd, v3 authPriv, printing to a file", 1 / daemon, "/s", beside=beside))
    print_table(rows)
    return int(any(row.is_met is False for row in rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["send"]:
        send(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
    else:
        print(machine())
        raise SystemExit(main())
