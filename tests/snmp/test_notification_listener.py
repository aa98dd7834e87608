"""Debian's snmptrap and snmpinform, as processes, to a listener: every version and level, and what is not believed."""

import asyncio
import json
import random
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from snmp_agent_process import AgentProcess

from netmote.clock import SystemClock
from netmote.errors import Unavailable
from netmote.snmp.backends import Backends
from netmote.snmp.config import SnmpConfig, TargetConfig, UsmConfig
from netmote.snmp.credentials import UsmUser
from netmote.snmp.mib import SNMP_ENGINE_ID, SYS_UP_TIME
from netmote.snmp.native.ber import element, integer
from netmote.snmp.native.channel import EngineClock
from netmote.snmp.native.notification_pdu import TRAP_V2
from netmote.snmp.notification import LINK_DOWN, SNMP_TRAP_OID, Notification
from netmote.snmp.notification_listener import NotificationListener

AUTH_PASSWORD, PRIV_PASSWORD = "authentication-pass", "privacy-password"
ENGINE = "0x80001f8804aabbccddee01"
LINK_DOWN_TRAP = ("1.3.6.1.6.3.1.1.5.3", "1.3.6.1.2.1.2.2.1.1.7", "i", "7")
V1_LINK_DOWN = ("1.3.6.1.4.1.9.1.1", "127.0.0.1", "2", "0", "", *LINK_DOWN_TRAP[1:])
AUTH = {"md5": "MD5", "sha": "SHA", "sha224": "SHA-224", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}
PRIV = {"des": "DES", "aes128": "AES", "aes192": "AES-192", "aes256": "AES-256", "aes256c": "AES-256-C"}
LEVELS = [
    ("none", "none"), ("md5", "none"), ("sha", "none"), ("sha512", "none"), ("md5", "des"), ("sha", "aes128"), ("sha224", "aes192"),
    ("sha256", "aes128"), ("sha256", "aes256"), ("sha384", "aes192"), ("sha512", "aes256"), ("sha", "aes256c"),
]  # fmt: skip

pytestmark = pytest.mark.skipif(shutil.which("snmptrap") is None, reason="the net-snmp tools are not installed")


def user(auth: str, priv: str) -> dict[str, str]:
    found = {"security_name": f"{auth}-{priv}", "auth_protocol": auth, "priv_protocol": priv}
    if auth != "none":
        found["auth_password"] = "env:NM_TEST_AUTH"
    if priv != "none":
        found["priv_password"] = "env:NM_TEST_PRIV"
    return found


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NM_TEST_AUTH", AUTH_PASSWORD)
    monkeypatch.setenv("NM_TEST_PRIV", PRIV_PASSWORD)


def configuration(port: int = 0, *, rate: float = 1000.0, users: tuple[tuple[str, str], ...] = (), **more: Any) -> SnmpConfig:
    return SnmpConfig.model_validate(
        {
            "targets": [{"name": "sw1", "address": "127.0.0.1"}],
            "notifications": {
                "address": "127.0.0.1",
                "port": port or free_port(),
                "rate": rate,
                "users": [user(auth, priv) for auth, priv in users],
            },
            **more,
        }
    )


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Heard(list[tuple[str, Notification]]):
    """Whom a listener told of what."""

    def take(self, name: str, notification: Notification) -> bool:
        self.append((name, notification))
        return True

    @property
    def traps(self) -> list[bytes]:
        return [notification.trap_oid for _, notification in self]


@asynccontextmanager
async def listening(
    config: SnmpConfig, state_dir: Path, heard: Heard, clocks_of: Callable[[bytes], Sequence[EngineClock]] = lambda _: ()
) -> AsyncIterator[NotificationListener]:
    listener = NotificationListener(
        config, state_dir=state_dir, clock=SystemClock(), random=random.Random(1), notify=heard.take, clocks_of=clocks_of
    )
    task = asyncio.ensure_future(listener.run())
    try:
        await until(lambda: listener.port is not None or task.done())
        yield listener
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come in time"
        await asyncio.sleep(0.01)


async def net_snmp(
    tool: str, listener: NotificationListener, *arguments: str, directory: Path, what: tuple[str, ...] = ("", *LINK_DOWN_TRAP)
) -> str:
    """Run snmptrap or snmpinform; its messages. Its state, with the engine's boots, is kept in `directory`."""
    (directory / "cert_indexes").mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        tool, *arguments, f"127.0.0.1:{listener.port}", *what,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={"SNMP_PERSISTENT_DIR": str(directory), "SNMPCONFPATH": str(directory), "MIBS": "", "PATH": "/usr/bin"},
    )  # fmt: skip
    out, _ = await process.communicate()
    return out.decode() + (f"\nexit {process.returncode}" if process.returncode else "")


def v3_arguments(auth: str, priv: str, **changed: str) -> list[str]:
    arguments = ["-v3", "-u", changed.get("name", f"{auth}-{priv}"), "-l"]
    arguments += [
        {(False, False): "noAuthNoPriv", (True, False): "authNoPriv", (True, True): "authPriv"}[auth != "none", priv != "none"]
    ]
    if auth != "none":
        arguments += ["-a", AUTH[auth], "-A", changed.get("auth_password", AUTH_PASSWORD)]
    if priv != "none":
        arguments += ["-x", PRIV[priv], "-X", changed.get("priv_password", PRIV_PASSWORD)]
    return arguments


@pytest.mark.parametrize(("version", "what"), [("1", V1_LINK_DOWN), ("2c", ("", *LINK_DOWN_TRAP))])
async def test_traps_of_v1_and_v2c_are_heard(version: str, what: tuple[str, ...], tmp_path: Path) -> None:
    """A v1 linkDown has the name that v2 gives it (RFC 3584), and its agent-addr as snmpTrapAddress."""
    heard = Heard()
    async with listening(configuration(), tmp_path, heard) as listener:
        said = await net_snmp("snmptrap", listener, f"-v{version}", "-c", "public", directory=tmp_path / "s", what=what)
        assert said == ""
        await until(lambda: heard)
        (name, notification), *_ = heard
        assert (name, notification.trap_oid, len(heard)) == ("sw1", LINK_DOWN, 1)
        assert notification.trap_address == ("127.0.0.1" if version == "1" else "")
        assert notification.varbinds[0].value == b"\x07"
        assert listener.received == {"trap": 1}


async def test_an_inform_of_v2c_is_answered(tmp_path: Path) -> None:
    """The process ends well at once, without another try."""
    heard = Heard()
    async with listening(configuration(), tmp_path, heard) as listener:
        said = await net_snmp("snmpinform", listener, "-v2c", "-c", "public", "-r0", "-t2", directory=tmp_path / "s")
        assert said == ""
        assert heard.traps == [LINK_DOWN]
        assert listener.received == {"inform": 1}
        assert listener.dropped == {}


async def test_another_community_is_not_believed_nor_answered(tmp_path: Path) -> None:
    """Counted; the inform's sender hears nothing."""
    heard = Heard()
    async with listening(configuration(), tmp_path, heard) as listener:
        said = await net_snmp("snmpinform", listener, "-v2c", "-c", "private", "-r0", "-t0.3", directory=tmp_path / "s")
        assert "Timeout" in said
        assert heard == []
        assert listener.dropped == {"wrong_community": 1}


@pytest.mark.parametrize(("auth", "priv"), LEVELS)
async def test_traps_of_v3_are_heard_at_every_level(auth: str, priv: str, tmp_path: Path) -> None:
    """The sender's engine id stands nowhere in our configuration."""
    heard = Heard()
    async with listening(configuration(users=((auth, priv),)), tmp_path, heard) as listener:
        said = await net_snmp("snmptrap", listener, "-e", ENGINE, *v3_arguments(auth, priv), directory=tmp_path / "s")
        assert said == ""
        await until(lambda: heard or listener.dropped)
        assert heard.traps == [LINK_DOWN], listener.dropped


@pytest.mark.parametrize(("auth", "priv"), LEVELS)
async def test_informs_of_v3_find_our_engine_and_are_answered(auth: str, priv: str, tmp_path: Path) -> None:
    """Snmpinform discovers our engine, is in time, and verifies our answer."""
    heard = Heard()
    async with listening(configuration(users=((auth, priv),)), tmp_path, heard) as listener:
        said = await net_snmp("snmpinform", listener, "-r1", "-t2", *v3_arguments(auth, priv), directory=tmp_path / "s")
        assert said == ""
        assert heard.traps == [LINK_DOWN], listener.dropped
        assert listener.received == {"inform": 1}


@pytest.mark.parametrize(
    ("changed", "reason", "words"),
    [
        ({"auth_password": "another-password"}, "wrong_digest", "incorrect password"),
        ({"priv_password": "another-password"}, "undecipherable", "ecryption"),
        ({"name": "stranger"}, "unknown_user", "nknown user"),
    ],
)
async def test_a_sender_with_wrong_credentials_is_told_why(
    changed: dict[str, str], reason: str, words: str, tmp_path: Path
) -> None:
    """The inform names the cause that our report gave it; nothing is passed on."""
    heard = Heard()
    async with listening(configuration(users=(("sha", "aes128"),)), tmp_path, heard) as listener:
        arguments = v3_arguments("sha", "aes128", **changed)
        said = await net_snmp("snmpinform", listener, "-r0", "-t1", *arguments, directory=tmp_path / "s")
        assert words in said
        assert heard == []
        assert listener.dropped[reason] >= 1


async def test_our_boots_rise_with_every_start_and_the_engine_stays(tmp_path: Path) -> None:
    """RFC 3414 section 2.3; a sender that knew us before the restart is heard after it."""
    seen = []
    for boots in (1, 2, 3):
        heard = Heard()
        async with listening(configuration(users=(("sha", "aes128"),)), tmp_path, heard) as listener:
            said = await net_snmp("snmpinform", listener, "-r1", "-t2", *v3_arguments("sha", "aes128"), directory=tmp_path / "s")
            assert said == ""
            assert heard.traps == [LINK_DOWN]
        document = json.loads((tmp_path / "snmp-engine.json").read_text())
        assert document["boots"] == boots
        seen.append(document["engine_id"])
    assert len(set(seen)) == 1


async def test_a_device_polled_with_authentication_is_not_believed_without(tmp_path: Path) -> None:
    """A community that another device uses gives no word for a v3 device."""
    heard = Heard()
    targets = [
        {"name": "v3", "address": "127.0.0.1", "version": "3", "user": user("sha", "aes128")},
        {"name": "v2c", "address": "192.0.2.1"},
    ]
    async with listening(configuration(targets=targets), tmp_path, heard) as listener:
        await net_snmp("snmptrap", listener, "-v2c", "-c", "public", directory=tmp_path / "s")
        await until(lambda: listener.dropped)
        assert listener.dropped == {"security_level": 1}
        await net_snmp("snmptrap", listener, "-e", ENGINE, *v3_arguments("sha", "aes128"), directory=tmp_path / "s")
        await until(lambda: heard)
        assert [name for name, _ in heard] == ["v3"]


async def test_a_strangers_trap_is_counted_and_passed_to_nobody(tmp_path: Path) -> None:
    """The right community from an address that is no device's, and a proxy that names a device in snmpTrapAddress."""
    heard = Heard()
    targets = [{"name": "far", "address": "192.0.2.77"}]
    async with listening(configuration(targets=targets), tmp_path, heard) as listener:
        await net_snmp("snmptrap", listener, "-v2c", "-c", "public", directory=tmp_path / "s")
        await until(lambda: listener.dropped)
        assert listener.dropped == {"unknown_device": 1}
        proxied = ("", LINK_DOWN_TRAP[0], "1.3.6.1.6.3.18.1.3.0", "a", "192.0.2.77")
        await net_snmp("snmptrap", listener, "-v2c", "-c", "public", directory=tmp_path / "s", what=proxied)
        await until(lambda: heard)
        assert [name for name, _ in heard] == ["far"]


def trap(number: int) -> bytes:
    up_time = element(0x30, element(0x06, SYS_UP_TIME) + element(0x43, b"\x10"))
    name = element(0x30, element(0x06, SNMP_TRAP_OID) + element(0x06, LINK_DOWN))
    pdu = element(TRAP_V2, integer(number) + integer(0) * 2 + element(0x30, up_time + name))
    return element(0x30, integer(1) + element(0x04, b"public") + pdu)


async def test_a_flood_is_bounded_counted_and_does_not_hold_the_loop(tmp_path: Path) -> None:
    """10,000 traps of one sender: its burst passes, the rest is counted under its reason, the loop turns all the while."""
    heard, longest = Heard(), 0.0
    async with listening(configuration(rate=10.0), tmp_path, heard) as listener:
        flood = await asyncio.create_subprocess_exec(
            shutil.which("python3") or "python3", "-c",
            "import socket,sys,base64\n"
            "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
            f"d=[bytes.fromhex(l) for l in {json.dumps([trap(n).hex() for n in range(100)])}]\n"
            f"[s.sendto(d[n%100],('127.0.0.1',{listener.port})) for n in range(10000)]\n",
        )  # fmt: skip
        last = time.monotonic()
        deadline = last + 15
        while sum(listener.dropped.values()) + len(heard) < 10_000 and time.monotonic() < deadline:
            await asyncio.sleep(0)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
        await flood.wait()
        assert sum(listener.dropped.values()) + len(heard) == 10_000
        assert len(heard) <= 100
        assert listener.dropped["rate"] >= 9_000
        assert longest < 0.1


async def test_a_repeated_inform_counts_once_and_is_answered_twice(tmp_path: Path) -> None:
    """The first answer may have been lost."""
    heard = Heard()
    inform = trap(5).replace(bytes((TRAP_V2,)), b"\xa6", 1)
    async with listening(configuration(), tmp_path, heard) as listener:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.connect(("127.0.0.1", listener.port or 0))
            answers = []
            for _ in range(2):
                sender.send(inform)
                answers.append(await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sender, 2000), 2))
        await until(lambda: heard)
        assert answers[0] == answers[1] == inform.replace(b"\xa6", b"\xa2", 1)
        assert len(heard) == 1
        assert listener.dropped == {"duplicate": 1}


async def test_a_port_that_cannot_be_had_is_said_plainly(tmp_path: Path) -> None:
    """In use: Unavailable names the port and the usual holder."""
    config = configuration()
    async with listening(config, tmp_path, Heard()):
        second = NotificationListener(
            config, state_dir=tmp_path, clock=SystemClock(), random=random.Random(1), notify=lambda *_: True
        )
        with pytest.raises(Unavailable, match="in use"):
            await second.run()


async def test_an_engine_that_went_back_is_followed_by_what_a_poll_was_shown(agent: AgentProcess, tmp_path: Path) -> None:
    """Its traps told higher boots than snmpd has now, as before its configuration was restored. They are refused until snmpd is polled
    with authentication, and then heard, counted, while the trap of before stays refused.
    """
    backends = Backends(clock=SystemClock(), random=random.Random(1))
    heard = Heard()
    v3 = v3_arguments("sha256", "aes128", name="sha256")
    config = configuration()
    users = {**user("sha256", "aes128"), "security_name": "sha256"}
    config = SnmpConfig.model_validate(
        {**config.model_dump(), "notifications": {**config.notifications.model_dump(), "users": [users]}}
    )
    async with listening(config, tmp_path, heard, backends.clocks_of) as listener:

        async def trap(boots: int, seconds: int) -> None:
            before = len(heard) + sum(listener.dropped.values())
            said = await net_snmp(
                "snmptrap", listener, "-e", f"0x{engine_id.hex()}", "-Z", f"{boots},{seconds}", *v3, directory=tmp_path / "s"
            )
            assert said == ""
            await until(lambda: len(heard) + sum(listener.dropped.values()) > before)

        target = TargetConfig(
            name="sw1", address="127.0.0.1", port=agent.port, version="3",
            user=UsmConfig(security_name="sha256", auth_protocol="none", priv_protocol="none"),
        )  # fmt: skip
        session = await backends.open(target, UsmUser("sha256", "sha256", "aes128", AUTH_PASSWORD, PRIV_PASSWORD))
        engine_id = bytes.fromhex(agent.snmpget("1.3.6.1.6.3.10.2.1.1.0").partition(" ")[2].replace(" ", "").strip('"'))
        assert backends.clocks_of(engine_id) == []
        await trap(900, 50)
        await trap(1, 20)
        assert (heard.traps, listener.dropped) == ([LINK_DOWN], {"not_in_time": 1})
        assert (await session.get([SNMP_ENGINE_ID])).varbinds[0].value == engine_id
        (clock,) = backends.clocks_of(engine_id)
        assert backends.clocks_of(b"another") == []
        await asyncio.sleep(1.1)  # it is asked once a second
        await trap(clock.boots, clock.time)
        assert heard.traps == [LINK_DOWN] * 2
        assert listener.engine_changes == {"boots_back": 1}
        await trap(900, 60)
        assert (len(heard), listener.dropped) == (2, {"not_in_time": 2})
    await backends.close()
