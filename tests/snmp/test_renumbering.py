"""A real agent over UDP that renumbers 48 ports, reboots, is replaced, and lies about it."""

from random import Random

from manual_clock import ManualClock
from snmp_fault_agent import FaultAgent, Table, honest
from snmp_scripted import unsigned

from netmote.records.fact import Fact
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch, InvalidReason
from netmote.snmp import mib
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Community
from netmote.snmp.history import DeviceHistory
from netmote.snmp.native.native_session import NativeBackend
from netmote.snmp.oid import decode_oid, encode_arcs
from netmote.snmp.reading import DeviceReader
from netmote.snmp.session import SnmpSession

PORTS = 48
OCTETS = INTERFACE_COUNTERS.index("if_hc_in_octets")


class Switch:
    """48 ports with names, addresses and counters of their own; which ifIndex each has may change."""

    def __init__(self, table: Table, clock: ManualClock) -> None:
        self.table, self.clock, self.history = table, clock, DeviceHistory("sw")
        self.reader = DeviceReader(clock=clock, max_repetitions=20)
        self.ticks = 5_000_000
        self.octets = {port: 1_000_000 * port for port in range(PORTS)}
        self.index_of = {port: port + 1 for port in range(PORTS)}
        self.names = {port: f"ge0/{port}" for port in range(PORTS)}
        self.card, self.engine, self.serial = 0xA0, b"\x80\x00\x1f\x88\x01", "FOC1234X0AA"
        self.write()

    def write(self) -> None:
        table = self.table
        table.objects = {}
        put, cells = table.objects.__setitem__, []

        for oid, tag, value in (
            (mib.SYS_UP_TIME, mib.TIME_TICKS, self.ticks.to_bytes(4, "big")),
            (mib.SNMP_ENGINE_ID, mib.OCTET_STRING, self.engine),
            (mib.ENT_PHYSICAL_CLASS_1, mib.INTEGER, bytes([mib.CHASSIS])),
            (mib.ENT_PHYSICAL_SERIAL_NUM_1, mib.OCTET_STRING, self.serial.encode()),
        ):
            put(decode_oid(oid), (tag, value))
        for port, index in self.index_of.items():
            octets = unsigned(self.octets[port])
            cells += [
                ("ifName", index, mib.OCTET_STRING, self.names[port].encode()),
                ("ifType", index, mib.INTEGER, b"\x06"),
                ("ifHighSpeed", index, mib.GAUGE32, b"\x03\xe8"),
                ("ifPhysAddress", index, mib.OCTET_STRING, bytes([2, 0, 0, 0, self.card, port])),
                ("ifAdminStatus", index, mib.INTEGER, b"\x01"),
                ("ifOperStatus", index, mib.INTEGER, b"\x01"),
                ("ifHCInOctets", index, mib.COUNTER64, octets),
            ]
        for column, index, tag, value in cells:
            put(decode_oid(mib.COLUMN[column] + encode_arcs([index])), (tag, value))
        table.put(mib.SYS_DESCR, mib.OCTET_STRING, b"switch")  # sorts what was put

    def pass_time(self, seconds: int = 10) -> None:
        self.clock.advance(seconds)
        self.ticks += seconds * 100
        for port in self.octets:
            self.octets[port] += 1_000 * (port + 1)
        self.write()

    def reboot(self) -> None:
        self.clock.advance(10)
        self.ticks = 500
        self.octets = dict.fromkeys(self.octets, 7)
        self.write()

    def renumber(self) -> None:
        indexes = [100 + index for index in range(PORTS)]
        Random(5).shuffle(indexes)
        self.index_of = dict(zip(self.index_of, indexes, strict=True))
        self.write()

    async def poll(self, session: SnmpSession) -> tuple[InterfaceBatch, list[Fact]]:
        batch, facts = self.history.observe(await self.reader.read(session))
        return batch, [fact for fact in facts if fact.name != "counters_stuck"]


async def talk(scenario: object) -> None:
    clock = ManualClock()
    async with FaultAgent(honest) as agent:
        backend = NativeBackend(clock=clock, random=Random(1))
        target = TargetConfig(name="sw", address="127.0.0.1", port=agent.port)
        try:
            await scenario(Switch(agent.table, clock), await backend.open(target, Community()))  # type: ignore[operator]
        finally:
            await backend.close()


def deltas(batch: InterfaceBatch) -> dict[str, int]:
    return {
        port.name.partition("/")[2]: int(batch.deltas[row, OCTETS])
        for row, port in enumerate(batch.interfaces)
        if batch.invalid[row, OCTETS] == InvalidReason.VALID
    }


TRUE = {f"ge0/{port}": 1_000 * (port + 1) for port in range(PORTS)}


async def test_48_ports_are_renumbered_by_a_reboot() -> None:
    """Each port keeps its name; the interval of the reboot claims nothing, the next one has every port's own traffic."""

    async def scenario(switch: Switch, session: SnmpSession) -> None:
        await switch.poll(session)
        switch.pass_time()
        batch, _ = await switch.poll(session)
        assert deltas(batch) == TRUE
        switch.reboot()
        switch.renumber()
        batch, facts = await switch.poll(session)
        assert deltas(batch) == {}
        assert {fact.name for fact in facts} == {"device_restarted", "interface_renumbered"}
        assert len(facts) == 1 + PORTS
        switch.pass_time()
        batch, facts = await switch.poll(session)
        assert deltas(batch) == TRUE
        assert facts == []

    await talk(scenario)


async def test_48_ports_are_renumbered_while_the_agent_runs_on() -> None:
    """It says nothing of a restart and moves every row: no counter of one port is subtracted from that of another."""

    async def scenario(switch: Switch, session: SnmpSession) -> None:
        await switch.poll(session)
        switch.pass_time()
        switch.renumber()
        batch, facts = await switch.poll(session)
        assert deltas(batch) == {}
        assert (batch.invalid[:, OCTETS] == InvalidReason.DISCONTINUITY).all()
        assert {fact.name for fact in facts} == {"interface_renumbered", "counter_discontinuity"}
        switch.pass_time()
        batch, facts = await switch.poll(session)
        assert deltas(batch) == TRUE
        assert facts == []

    await talk(scenario)


async def test_names_that_wander_to_other_cards_are_told() -> None:
    """The agent gives the names to the ports in another order, at the same indexes: they are new ports, and nothing is claimed."""

    async def scenario(switch: Switch, session: SnmpSession) -> None:
        await switch.poll(session)
        switch.reboot()
        switch.names = {port: f"ge0/{(port + 1) % PORTS}" for port in range(PORTS)}
        switch.write()
        batch, facts = await switch.poll(session)
        assert deltas(batch) == {}
        assert [fact.name for fact in facts].count("interface_ambiguous") == PORTS
        assert "interface_vanished" not in {fact.name for fact in facts}
        assert {port.name[-2:] for port in batch.interfaces} == {"~1"}
        switch.pass_time()
        batch, facts = await switch.poll(session)
        assert len(deltas(batch)) == PORTS
        assert not [fact for fact in facts if fact.name != "interface_down"]

    await talk(scenario)


async def test_a_card_is_swapped_while_running() -> None:
    """Other addresses under the same names: the same ports."""

    async def scenario(switch: Switch, session: SnmpSession) -> None:
        await switch.poll(session)
        switch.card = 0xB0
        switch.reboot()
        _, facts = await switch.poll(session)
        assert {fact.name for fact in facts} == {"device_restarted"}
        switch.pass_time()
        batch, _ = await switch.poll(session)
        assert deltas(batch) == TRUE

    await talk(scenario)


async def test_another_device_takes_the_address() -> None:
    """Another serial number: said once, and nothing of before is compared with it, though its clock would fit by chance."""

    async def scenario(switch: Switch, session: SnmpSession) -> None:
        await switch.poll(session)
        switch.serial = "FOC9999X0ZZ"
        switch.card = 0xC0
        switch.reboot()
        batch, facts = await switch.poll(session)
        replaced = [fact for fact in facts if fact.name == "device_replaced"]
        assert [dict(fact.annotations)["serial"] for fact in replaced] == ["FOC9999X0ZZ"]
        assert "device_restarted" not in {fact.name for fact in facts}
        assert (batch.invalid[:, OCTETS] == InvalidReason.FIRST).all()
        switch.pass_time()
        batch, facts = await switch.poll(session)
        assert deltas(batch) == TRUE
        assert "device_replaced" not in {fact.name for fact in facts}

    await talk(scenario)


async def test_a_new_engine_id_alone_is_no_other_device() -> None:
    """Agents without a serial number and a place to keep their engine id make one at each start; with other addresses too it is another."""

    async def scenario(switch: Switch, session: SnmpSession) -> None:
        switch.serial = ""
        switch.write()
        await switch.poll(session)
        switch.engine = b"\x80\x00\x1f\x88\x02"
        switch.reboot()
        _, facts = await switch.poll(session)
        assert {fact.name for fact in facts} == {"device_restarted"}
        switch.pass_time()
        await switch.poll(session)
        switch.engine, switch.card = b"\x80\x00\x1f\x88\x03", 0xD0
        switch.reboot()
        _, facts = await switch.poll(session)
        assert "device_replaced" in {fact.name for fact in facts}

    await talk(scenario)
