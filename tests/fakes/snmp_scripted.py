"""A small SNMP agent in memory: a real implementation of the session protocol over a table of objects, with faults to order."""

from bisect import bisect_right
from collections.abc import Callable, Sequence

from netmote.snmp import mib
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Credentials
from netmote.snmp.oid import decode_oid, encode_arcs, encode_oid
from netmote.snmp.session import Reply, RequestTimedOut, SessionClosed, Varbind

Arcs = tuple[int, ...]


def unsigned(value: int) -> bytes:
    """Content bytes of a non-negative integer."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


class ScriptedDevice:
    """Objects by OID. GET and GETBULK answer as RFC 3416 says; every knob is a fault of real agents."""

    def __init__(self) -> None:
        self.objects: dict[Arcs, tuple[int, bytes]] = {}
        self.too_big_above: int | None = None  # answers tooBig when a reply would hold more varbinds
        self.refuse: Callable[[Sequence[Arcs]], tuple[int, int] | None] = lambda _: None  # -> (error-status, error-index)
        self.rewrite: Callable[[list[Varbind]], list[Varbind]] = lambda varbinds: varbinds
        self.is_silent = False
        self.fail: Callable[[], Exception | None] = lambda: None
        self.requests: list[tuple[str, int]] = []  # (kind, varbinds asked for)
        self.before_answer: Callable[[], None] = lambda: None

    def put(self, oid: bytes, tag: int, value: int | bytes | str) -> None:
        content = value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else unsigned(value)
        self.objects[decode_oid(oid)] = (tag, content)

    def put_cell(self, column: str, index: int, tag: int, value: int | bytes | str) -> None:
        self.put(mib.COLUMN[column] + encode_arcs([index]), tag, value)

    def remove_row(self, index: int) -> None:
        for column in mib.COLUMN.values():
            self.objects.pop((*decode_oid(column), index), None)

    def boot(self, *, up_time: int, hr_uptime: int | None = None) -> None:
        self.put(mib.SYS_UP_TIME, mib.TIME_TICKS, up_time)
        if hr_uptime is not None:
            self.put(mib.HR_SYSTEM_UPTIME, mib.TIME_TICKS, hr_uptime)

    def port(
        self,
        index: int,
        name: str,
        *,
        octets: int = 0,
        oper: int = 1,
        admin: int = 1,
        speed: int = 1000,
        descr: str | None = None,
    ) -> None:
        """A port as a modern switch shows it: 64-bit counters, all of them `octets`."""
        for column, tag, value in (
            ("ifDescr", mib.OCTET_STRING, descr or f"port {index}"),
            ("ifName", mib.OCTET_STRING, name),
            ("ifAlias", mib.OCTET_STRING, f"to {name}"),
            ("ifType", mib.INTEGER, 6),
            ("ifSpeed", mib.GAUGE32, min(speed * 1_000_000, 2**32 - 1)),
            ("ifHighSpeed", mib.GAUGE32, speed),
            ("ifAdminStatus", mib.INTEGER, admin),
            ("ifOperStatus", mib.INTEGER, oper),
            ("ifLastChange", mib.TIME_TICKS, 0),
            ("ifCounterDiscontinuityTime", mib.TIME_TICKS, 0),
        ):
            self.put_cell(column, index, tag, value)
        self.count(index, octets)

    def count(self, index: int, octets: int) -> None:
        """Set every counter of a port."""
        for source in mib.COUNTER_SOURCES:
            if source.wide:
                self.put_cell(source.wide, index, mib.COUNTER64, octets)
            if source.narrow:
                self.put_cell(source.narrow, index, mib.COUNTER32, octets % 2**32)

    def get(self, oids: Sequence[bytes]) -> Reply:
        asked = [decode_oid(oid) for oid in oids]
        found = [Varbind(encode_oid(oid), *self.objects.get(oid, (mib.NO_SUCH_INSTANCE, b""))) for oid in asked]
        return self._reply("get", asked, found)

    def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        known = sorted(self.objects)
        scalars, cursors = [decode_oid(oid) for oid in non_repeaters], [decode_oid(oid) for oid in columns]
        found = [self._next(known, oid) for oid in scalars]
        for _ in range(max_repetitions):
            row = [self._next(known, oid) for oid in cursors]
            found.extend(row)
            cursors = [decode_oid(varbind.oid) for varbind in row]
        return self._reply("bulk", [*scalars, *(decode_oid(oid) for oid in columns)], found)

    def get_next(self, oids: Sequence[bytes]) -> Reply:
        known, asked = sorted(self.objects), [decode_oid(oid) for oid in oids]
        return self._reply("get_next", asked, [self._next(known, oid) for oid in asked])

    def _next(self, known: list[Arcs], oid: Arcs) -> Varbind:
        at = bisect_right(known, oid)
        if at == len(known):
            return Varbind(encode_oid(oid), mib.END_OF_MIB_VIEW, b"")
        return Varbind(encode_oid(known[at]), *self.objects[known[at]])

    def _reply(self, kind: str, asked: Sequence[Arcs], found: list[Varbind]) -> Reply:
        self.requests.append((kind, len(found)))
        self.before_answer()
        failure = self.fail()
        if failure is not None:
            raise failure
        if self.is_silent:
            raise RequestTimedOut("no answer (scripted)")
        refused = self.refuse(asked)
        if refused is not None:
            return Reply(*refused, [], 0.001)
        if self.too_big_above is not None and len(found) > self.too_big_above:
            return Reply(mib.TOO_BIG, 0, [], 0.001)
        return Reply(0, 0, self.rewrite(found), 0.001)


class ScriptedSession:
    """The session protocol over a ScriptedDevice."""

    backend = "scripted"
    fallback_reason = ""

    def __init__(self, device: ScriptedDevice) -> None:
        self.device = device
        self.is_closed = False

    async def get(self, oids: Sequence[bytes]) -> Reply:
        self._check()
        return self.device.get(oids)

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        self._check()
        return self.device.bulk(non_repeaters, columns, max_repetitions)

    async def get_next(self, oids: Sequence[bytes]) -> Reply:
        self._check()
        return self.device.get_next(oids)

    async def close(self) -> None:
        self.is_closed = True

    def _check(self) -> None:
        if self.is_closed:
            raise SessionClosed("the session is closed")


class ScriptedBackend:
    """Opens sessions with the devices it was given, by target name."""

    def __init__(self, devices: dict[str, ScriptedDevice]) -> None:
        self.devices = devices
        self.sessions: list[ScriptedSession] = []
        self.is_closed = False

    async def open(self, target: TargetConfig, credentials: Credentials) -> ScriptedSession:
        session = ScriptedSession(self.devices[target.name])
        self.sessions.append(session)
        return session

    async def close(self) -> None:
        self.is_closed = True
