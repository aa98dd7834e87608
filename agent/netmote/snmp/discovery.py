"""Who answers SNMP in a network: each address asked for what names a device, at a bounded pace. Never part of the daemon.

Owns the bounds, the pace, and which answers are one device. Refuses writing anything (`proposal`) and every choice of credentials:
one set is tried, none is guessed.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from netmote.errors import NetmoteError
from netmote.snmp import mib
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Credentials
from netmote.snmp.device_line import Backend
from netmote.snmp.oid import oid_text, parse_oid
from netmote.snmp.session import CREDENTIAL_ERRORS, Reply, RequestTimedOut, SnmpSession

MOST_ADDRESSES: Final = 4_096
_NAMING: Final = (mib.SYS_OBJECT_ID, mib.SYS_NAME, mib.SYS_UP_TIME, mib.SYS_DESCR)
_ENGINE_ID: Final = parse_oid("1.3.6.1.6.3.10.2.1.1.0")  # snmpEngineID.0 (RFC 3411 section 5)
_SERIAL: Final = parse_oid("1.3.6.1.2.1.47.1.1.1.1.11.1")  # entPhysicalSerialNum of the first entity, which is the chassis
_PACKETS_OF_V3: Final = 2  # who is there, then the question
_LONGEST_TEXT: Final = 255


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """An agent that answered."""

    address: str
    sys_name: str
    sys_object_id: str  # dotted; "" where it has none
    sys_descr: str
    up_seconds: float | None
    engine_id: str  # hexadecimal; "" where it tells none
    serial: str
    also_at: tuple[str, ...] = ()  # other addresses of the same device
    refusal: str = ""  # it answers, but refuses our credentials: the error's name and sentence


@dataclass(slots=True)
class Progress:
    """What came of the search so far; whole at every moment, so that an interrupted one keeps what it found."""

    addresses: int
    asked: int = 0
    found: list[FoundDevice] = field(default_factory=list)


def addresses_in(networks: Iterable[str]) -> list[str]:
    """The host addresses of networks and addresses, each once, in their order. Raises ValueError: none, or more than MOST_ADDRESSES."""
    found: dict[str, None] = {}
    for text in networks:
        network = ipaddress.ip_network(text, strict=False)
        if network.num_addresses > MOST_ADDRESSES + 2:
            raise ValueError(f"{text} has more than {MOST_ADDRESSES:,} addresses: search in parts")
        found |= dict.fromkeys(map(str, network.hosts()))
    if len(found) > MOST_ADDRESSES:
        raise ValueError(f"{len(found):,} addresses are more than {MOST_ADDRESSES:,}: search in parts")
    return list(found)


class Pace:
    """Turns at most `rate` a second, none saved up."""

    def __init__(self, rate: float) -> None:
        self._gap, self._next = 1.0 / rate, 0.0

    async def turn(self, packets: int = 1) -> None:
        """Wait for a turn of this many packets."""
        now = asyncio.get_running_loop().time()
        begin = max(now, self._next)
        self._next = begin + packets * self._gap
        await asyncio.sleep(begin - now)


class Discovery:
    """One search with one set of credentials."""

    def __init__(
        self,
        pattern: TargetConfig,
        credentials: Credentials,
        *,
        backend: Backend,
        packets_per_second: float,
        at_once: int = 256,
        on_step: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        """`pattern` gives port, version, timeout and retries; its name and address are replaced. `on_step` follows every address."""
        self._pattern, self._credentials, self._backend, self._on_step = pattern, credentials, backend, on_step
        self._pace = Pace(packets_per_second)
        self._at_once = asyncio.Semaphore(at_once)
        self._packets = _PACKETS_OF_V3 if pattern.version == "3" else 1

    async def search(self, addresses: Sequence[str], progress: Progress) -> None:
        """Ask every address; `progress` is filled as it goes."""
        async with asyncio.TaskGroup() as group:
            for address in addresses:
                await self._at_once.acquire()
                await self._pace.turn(self._packets)
                group.create_task(self._step(address, progress), name=f"discover:{address}")

    async def _step(self, address: str, progress: Progress) -> None:
        try:
            device = await self._ask(address)
        finally:
            self._at_once.release()
        progress.asked += 1
        if device is not None:
            progress.found.append(device)
        self._on_step(progress)

    async def _ask(self, address: str) -> FoundDevice | None:
        target = self._pattern.model_copy(update={"name": address.replace(":", "-"), "address": address})
        try:
            session = await self._backend.open(target, self._credentials)
        except NetmoteError as error:
            return _refused(address, error) if isinstance(error, CREDENTIAL_ERRORS) else None
        try:
            return await self._describe(address, session)
        except CREDENTIAL_ERRORS as error:
            return _refused(address, error)
        except NetmoteError:
            return None  # silent, or no SNMP
        finally:
            await session.close()

    async def _describe(self, address: str, session: SnmpSession) -> FoundDevice:
        values: dict[bytes, tuple[int, bytes]] = {}
        for attempt in range(self._pattern.retries + 1):
            if attempt:
                await self._pace.turn()
            try:
                values = _values(await session.get(_NAMING))
                break
            except RequestTimedOut:
                if attempt == self._pattern.retries:
                    raise
        for oid in (_ENGINE_ID, _SERIAL):  # each alone: an agent of v1 refuses a request as a whole
            await self._pace.turn()
            try:
                values |= _values(await session.get([oid]))
            except NetmoteError:
                continue  # not known then
        tag, object_id = values.get(mib.SYS_OBJECT_ID, (0, b""))
        up_time = values.get(mib.SYS_UP_TIME)
        return FoundDevice(
            address=address,
            sys_name=_text(values, mib.SYS_NAME),
            sys_object_id=oid_text(object_id) if tag == mib.OBJECT_IDENTIFIER and object_id and object_id[-1] < 0x80 else "",
            sys_descr=_text(values, mib.SYS_DESCR),
            up_seconds=None if up_time is None else int.from_bytes(up_time[1], "big") / 100,
            engine_id=values.get(_ENGINE_ID, (0, b""))[1].hex(),
            serial=_text(values, _SERIAL),
        )


def _values(reply: Reply) -> dict[bytes, tuple[int, bytes]]:
    if reply.error_status:
        return {}
    return {varbind.oid: (varbind.tag, varbind.value) for varbind in reply.varbinds if varbind.tag not in mib.EXCEPTIONS}


def _text(values: dict[bytes, tuple[int, bytes]], oid: bytes) -> str:
    """Octets as one line of printable text."""
    octets = values.get(oid, (0, b""))[1][:_LONGEST_TEXT]
    return "".join(c if c.isprintable() else " " for c in octets.decode(errors="replace")).strip()


def _refused(address: str, error: NetmoteError) -> FoundDevice:
    return FoundDevice(address, "", "", "", None, "", "", refusal=f"{type(error).__name__}: {error}")


def joined(found: Sequence[FoundDevice]) -> list[FoundDevice]:
    """Each device once, by its lowest address: equal engine id and name, or equal serial number and name, are one device.

    Cloned machines share an engine id under different names: those are two.
    """
    ordered = sorted(
        found, key=lambda device: (ipaddress.ip_address(device.address).version, ipaddress.ip_address(device.address))
    )
    groups: list[list[FoundDevice]] = []
    place: dict[tuple[str, str, str], int] = {}
    for device in ordered:
        marks = [
            (kind, mark, device.sys_name)
            for kind, mark in (("engine", device.engine_id), ("serial", device.serial))
            if mark and not device.refusal and (kind == "engine" or device.sys_name)
        ]
        at = next((place[mark] for mark in marks if mark in place), None)
        if at is None:
            at = len(groups)
            groups.append([])
        groups[at].append(device)
        place |= dict.fromkeys(marks, at)
    return [replace(group[0], also_at=tuple(device.address for device in group[1:])) for group in groups]
