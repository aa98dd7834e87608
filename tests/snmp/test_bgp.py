"""BGP peers: who is there, in which state, and who was lost. By the objects of RFC 4273."""

import json
import shutil
from pathlib import Path

import pytest
import typer
from manual_clock import ManualClock
from snmp_scripted import ScriptedDevice, ScriptedSession
from snmp_simulator import Simulator
from typer.testing import CliRunner

from netmote.cli.poll import poll
from netmote.cli.poll_details import details_objects
from netmote.snmp import mib
from netmote.snmp.details.details_reader import DetailsReader
from netmote.snmp.oid import parse_oid
from netmote.snmp.profiles.loader import ProfileSet
from netmote.snmp.reading import DeviceReader

ENTRY = "1.3.6.1.2.1.15.3.1"
IDLE, ACTIVE, ESTABLISHED, STOP, START = 1, 3, 6, 1, 2


class Router:
    """A router whose peers can be set, read by a DetailsReader every minute."""

    def __init__(self) -> None:
        self.clock, self.device = ManualClock(), ScriptedDevice()
        self.ticks = 100_000
        self.device.boot(up_time=self.ticks)
        self.device.put(mib.SYS_OBJECT_ID, mib.OBJECT_IDENTIFIER, parse_oid("1.3.6.1.4.1.9"))
        self.details = DetailsReader("r1", interval=60.0, profiles=ProfileSet(), max_gauges=100, clock=self.clock)

    def peer(
        self,
        address: str,
        state: int,
        *,
        transitions: int = 1,
        admin: int = START,
        updates: int = 0,
        remote_as: int = 65_001,
        error: bytes = b"\0\0",
        seconds: int = 60,
    ) -> None:
        for arc, tag, value in (
            (2, mib.INTEGER, state), (3, mib.INTEGER, admin), (9, mib.INTEGER, remote_as), (10, mib.COUNTER32, updates),
            (11, mib.COUNTER32, 0), (14, mib.OCTET_STRING, error), (15, mib.COUNTER32, transitions), (16, mib.GAUGE32, seconds),
        ):  # fmt: skip
            self.device.put(parse_oid(f"{ENTRY}.{arc}.{address}"), tag, value)

    def without(self, address: str) -> None:
        for arc in (2, 3, 9, 10, 11, 14, 15, 16):
            del self.device.objects[tuple(map(int, f"{ENTRY}.{arc}.{address}".split(".")))]

    async def read(self) -> list[tuple[str, float, str]]:
        session = ScriptedSession(self.device)
        reading = await DeviceReader(clock=self.clock, max_repetitions=20).read(session)
        facts = await self.details.advance(session, reading)
        self.clock.advance(61.0)
        self.ticks += 6_100
        self.device.boot(up_time=self.ticks)
        assert all(str(fact.entity) == "device:r1" for fact in facts)
        return [(fact.name, fact.value, fact.annotations.get("peers", "")) for fact in facts]


async def test_states_have_the_words_of_the_mib_and_updates_are_rates() -> None:
    """A gauge a peer with its state, how many there are and how many are established."""
    router = Router()
    router.peer("192.0.2.1", ESTABLISHED, updates=100)
    router.peer("192.0.2.2", ACTIVE, transitions=0)
    await router.read()
    gauges = {gauge.name: (gauge.value, gauge.state) for gauge in router.details.details.gauges["bgp"]}
    assert gauges == {
        "bgpPeerTable/count": (2.0, ""),
        "bgpPeerTable/established": (1.0, ""),
        "bgpPeerState/192.0.2.1": (6.0, "established"),
        "bgpPeerState/192.0.2.2": (3.0, "active"),
    }
    router.peer("192.0.2.1", ESTABLISHED, updates=710)
    await router.read()
    assert router.details.take_gauges()["bgpPeerInUpdates/192.0.2.1"] == pytest.approx(10.0)
    line = next(each for each in details_objects("r1", router.details.details) if each["type"] == "bgp_peer")
    assert (line["address"], line["state"], line["is_wanted"]) == ("192.0.2.1", "established", True)


async def test_as_numbers_of_four_octets_are_read_however_they_are_sent() -> None:
    """BgpPeerRemoteAs is an Integer32 that outgrew it."""
    router = Router()
    router.peer("192.0.2.1", ESTABLISHED)
    router.device.put(parse_oid(f"{ENTRY}.9.192.0.2.1"), mib.INTEGER, (4_200_000_001 - 2**32).to_bytes(4, "big", signed=True))
    await router.read()
    assert router.details.details.peers[0].remote_as == 4_200_000_001


async def test_a_lost_peer_is_a_condition_until_all_are_back() -> None:
    """Told when the first is lost, anew when it is another set, and ended with the last; who was never there, or is shut, is not lost."""
    router = Router()
    router.peer("192.0.2.1", ESTABLISHED)
    router.peer("192.0.2.2", ESTABLISHED, remote_as=65_002)
    router.peer("192.0.2.3", ACTIVE, transitions=0)
    router.peer("192.0.2.4", IDLE, admin=STOP)
    assert await router.read() == [("bgp_peer_down", 0.0, "")], "an earlier process may have told otherwise"
    assert await router.read() == []
    router.peer("192.0.2.1", ACTIVE, error=b"\4\0", seconds=12)
    assert await router.read() == [("bgp_peer_down", 1.0, "192.0.2.1 (AS 65001) active for 12 s, last error Hold Timer Expired")]
    assert await router.read() == [], "still so, no news"
    router.peer("192.0.2.2", IDLE, remote_as=65_002, error=b"\6\2", seconds=3)
    ((name, value, peers),) = await router.read()
    assert (name, value) == ("bgp_peer_down", 1.0)
    assert peers.endswith("; 192.0.2.2 (AS 65002) idle for 3 s, last error Cease (2)")
    router.peer("192.0.2.1", ESTABLISHED, transitions=2)
    assert [each[:2] for each in await router.read()] == [("bgp_peer_down", 1.0)]
    router.without("192.0.2.2")
    assert await router.read() == [("bgp_peer_down", 0.0, "")]


async def test_a_peer_that_is_lost_at_first_sight_is_told() -> None:
    """The router remembers that it was established, so a restart of ours in between hides nothing."""
    router = Router()
    router.peer("192.0.2.1", IDLE, transitions=5)
    assert [each[:2] for each in await router.read()] == [("bgp_peer_down", 1.0)]


async def test_a_session_that_came_back_between_two_readings_is_told() -> None:
    """By its count of transitions; a router that restarted counts from the beginning, which is no reset."""
    router = Router()
    router.peer("192.0.2.1", ESTABLISHED, transitions=3)
    await router.read()
    router.peer("192.0.2.1", ESTABLISHED, transitions=5)
    assert [each[:2] for each in await router.read()] == [("bgp_session_reset", 1.0)]
    router.peer("192.0.2.1", ESTABLISHED, transitions=1)
    assert await router.read() == []


async def test_many_lost_peers_are_one_fact() -> None:
    """A core router that loses its uplink is one alert that names the first of them."""
    router = Router()
    for number in range(1, 21):
        router.peer(f"192.0.2.{number}", IDLE)
    ((_, value, peers),) = await router.read()
    assert value == 1.0
    assert peers.count("AS") == 8
    assert peers.endswith("and 12 more")


async def test_a_device_without_bgp_says_nothing() -> None:
    """And rows that are none are passed over."""
    router = Router()
    assert await router.read() == []
    assert "bgp" in router.details.details.absent
    odd = Router()
    odd.peer("192.0.2", ESTABLISHED)
    odd.peer("192.0.2.1", 9)
    assert await odd.read() == []
    assert odd.details.details.peers == ()


def test_peers_of_an_agent_are_shown_by_poll(tmp_path: Path) -> None:
    """Over real datagrams, from snmpsim: a line a peer for people, an object a peer for programs."""
    pytest.importorskip("snmpsim")
    if not shutil.which("snmpget"):
        pytest.skip("the snmp tools are not installed")
    rows = {"1.3.6.1.2.1.1.1.0": "4|router", "1.3.6.1.2.1.1.2.0": "6|1.3.6.1.4.1.99999.1", "1.3.6.1.2.1.1.3.0": "67|123456"}
    for address, state, transitions, error in (("192.0.2.1", 6, 3, "0000"), ("192.0.2.200", 3, 1, "0400")):
        cells = {
            2: f"2|{state}",
            3: "2|2",
            9: "2|65001",
            10: "65|7",
            11: "65|8",
            14: f"4x|{error}",
            15: f"65|{transitions}",
            16: "66|99",
        }
        rows |= {f"{ENTRY}.{arc}.{address}": cell for arc, cell in cells.items()}
    ordered = sorted(rows, key=lambda oid: [int(arc) for arc in oid.split(".")])
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "router.snmprec").write_text("".join(f"{oid}|{rows[oid]}\n" for oid in ordered))
    simulator = Simulator(tmp_path / "served", tmp_path / "recordings", ["router"])
    simulator.start()
    try:
        app = typer.Typer()
        app.command()(poll)
        asked = [f"127.0.0.1:{simulator.port}", "--community", "router", "--timeout", "10"]
        shown = CliRunner().invoke(app, asked, env={"COLUMNS": "200"})
        objects = CliRunner().invoke(app, [*asked, "--json"])
    finally:
        simulator.stop()
    assert "192.0.2.200        AS 65001       active       for 99 s         Hold Timer Expired" in shown.stdout
    lines = [json.loads(line) for line in objects.stdout.splitlines()]
    peers = [line for line in lines if line["type"] == "bgp_peer"]
    assert [(peer["address"], peer["state"], peer["transitions"]) for peer in peers] == [
        ("192.0.2.1", "established", 3),
        ("192.0.2.200", "active", 1),
    ]
    facts = [line for line in lines if line["type"] == "fact" and line["name"] == "bgp_peer_down"]
    assert [fact["value"] for fact in facts] == [1.0]
