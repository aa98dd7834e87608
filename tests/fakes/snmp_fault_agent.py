"""A real UDP agent of v1 and v2c that lies as ordered: each misbehaviour is a function from a request to what is sent back.

It reads requests by pyasn1 and writes answers by hand, so that neither side shares code with what is tested, and every odd form of
BER can be written.
"""

import asyncio
import functools
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from pyasn1.codec.ber import decoder
from pysnmp.proto.api import v1, v2c

from netmote.snmp import mib
from netmote.snmp.oid import decode_oid, encode_arcs, encode_oid

Arcs = tuple[int, ...]
Bound = tuple[bytes, int, bytes]  # OID content, tag, value content

GET, GET_NEXT, RESPONSE, GET_BULK = 0xA0, 0xA1, 0xA2, 0xA5
IN_OCTETS, HC_IN_OCTETS = mib.COLUMN["ifInOctets"], mib.COLUMN["ifHCInOctets"]
UP_TIME = mib.SYS_UP_TIME[:-1]
ROWS = 20


def short(length: int) -> bytes:
    """A length in its shortest form."""
    if length < 0x80:
        return bytes([length])
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets


def long(length: int) -> bytes:
    """A length in four octets, as some agents write always."""
    return b"\x84" + length.to_bytes(4, "big")


@dataclass(frozen=True)
class Answer:
    """An answer, field by field; `octets` writes it, in whatever way it is told to."""

    version: int
    community: bytes
    request_id: int
    varbinds: tuple[Bound, ...]
    status: int = 0
    index: int = 0
    tag: int = RESPONSE
    length: Callable[[int], bytes] = short
    is_indefinite: bool = False  # X.690 section 8.1.3.6, which RFC 3417 section 8 forbids

    def octets(self) -> bytes:
        tlv = functools.partial(_tlv, length=self.length, is_indefinite=self.is_indefinite)
        bound = b"".join(tlv(0x30, tlv(0x06, oid) + tlv(tag, value)) for oid, tag, value in self.varbinds)
        numbers = b"".join(_tlv(0x02, _integer(number)) for number in (self.request_id, self.status, self.index))
        head = _tlv(0x02, _integer(self.version)) + tlv(0x04, self.community)
        return tlv(0x30, head + tlv(self.tag, numbers + tlv(0x30, bound)))


def _tlv(tag: int, content: bytes, *, length: Callable[[int], bytes] = short, is_indefinite: bool = False) -> bytes:
    if is_indefinite and tag & 0x20:
        return bytes([tag, 0x80]) + content + b"\0\0"
    return bytes([tag]) + length(len(content)) + content


def _integer(number: int) -> bytes:
    return number.to_bytes((number if number >= 0 else ~number).bit_length() // 8 + 1, "big", signed=True)


class Request(NamedTuple):
    """What came."""

    octets: bytes
    version: int
    community: bytes
    tag: int
    request_id: int
    first: int  # non-repeaters of GETBULK
    second: int  # max-repetitions
    oids: list[Arcs]
    number: int  # of the request at this agent, from 1


class Sent(NamedTuple):
    """A datagram to send."""

    octets: bytes
    after: float = 0.0  # seconds
    is_from_elsewhere: bool = False


Behaviour = Callable[["Table", Request], Iterable[Sent]]


@dataclass
class Table:
    """The objects of an agent that tells the truth: a system group and ROWS rows of two columns."""

    objects: dict[Arcs, tuple[int, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.put(mib.SYS_UP_TIME, mib.TIME_TICKS, b"\x01\x02\x03")
        self.put(mib.SYS_DESCR, mib.OCTET_STRING, b"an agent that may lie")
        for row in range(1, ROWS + 1):
            self.put(IN_OCTETS + encode_arcs([row]), mib.COUNTER32, bytes([1, 2, 3, row]))
            self.put(HC_IN_OCTETS + encode_arcs([row]), mib.COUNTER64, bytes([1, 2, 3, 4, row]))

    def put(self, oid: bytes, tag: int, value: bytes) -> None:
        self.objects[decode_oid(oid)] = (tag, value)
        self._known = sorted(self.objects)

    def next(self, oid: Arcs) -> Bound:
        at = bisect_right(self._known, oid)
        if at == len(self._known):
            return (encode_oid(oid), mib.END_OF_MIB_VIEW, b"")
        return (encode_oid(self._known[at]), *self.objects[self._known[at]])

    def truth(self, request: Request, step: Callable[[Arcs], Bound] | None = None) -> Answer:
        """The right answer (RFC 3416 section 4.2, RFC 1157 section 4.1); with `step`, GETNEXT and GETBULK go on by that."""
        step = step or self.next
        found: list[Bound] = []
        if request.tag == GET:
            missing = (mib.NO_SUCH_INSTANCE, b"")
            found = [(encode_oid(oid), *self.objects.get(oid, missing)) for oid in request.oids]
        elif request.tag == GET_NEXT:
            found = [step(oid) for oid in request.oids]
        else:
            found = [step(oid) for oid in request.oids[: request.first]]
            cursors = request.oids[request.first :]
            for _ in range(request.second):
                row = [step(oid) for oid in cursors]
                found += row
                cursors = [decode_oid(oid) for oid, _, _ in row]
        answer = Answer(request.version, request.community, request.request_id, tuple(found))
        absent = [place for place, (_, tag, _) in enumerate(found, 1) if tag in (mib.NO_SUCH_INSTANCE, mib.END_OF_MIB_VIEW)]
        if request.version == 0 and absent:
            nulls = tuple((encode_oid(oid), mib.NULL, b"") for oid in request.oids)
            return replace(answer, status=mib.NO_SUCH_NAME, index=absent[0], varbinds=nulls)
        return answer


class FaultAgent(asyncio.DatagramProtocol):
    """Listens on loopback while the block lasts."""

    def __init__(self, behaviour: Behaviour, *, host: str = "127.0.0.1") -> None:
        self.table = Table()
        self.requests = 0
        self._behaviour, self._host = behaviour, host

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self._host, 0))
        self._elsewhere, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(self._host, 0))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()
        self._elsewhere.close()
        await asyncio.sleep(0)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.requests += 1
        for sent in self._behaviour(self.table, _read(data, self.requests)):
            port = self._elsewhere if sent.is_from_elsewhere else self._transport
            asyncio.get_running_loop().call_later(sent.after, self._send, port, sent.octets, address)

    def _send(self, port: asyncio.DatagramTransport, octets: bytes, address: tuple[str, int]) -> None:
        if not port.is_closing():
            port.sendto(octets, address)


def _read(octets: bytes, number: int) -> Request:
    version = octets[octets.index(b"\x02\x01") + 2]
    module = v2c if version else v1
    message, _ = decoder.decode(octets, asn1Spec=module.Message())
    pdu = module.apiMessage.get_pdu(message)
    tag = pdu.tagSet[-1]
    return Request(
        octets=octets,
        version=version,
        community=bytes(module.apiMessage.get_community(message)),
        tag=0xA0 | tag.tagId,
        request_id=int(pdu[0]),
        first=int(pdu[1]),
        second=int(pdu[2]),
        oids=[tuple(varbind[0]) for varbind in pdu[3]],
        number=number,
    )


def honest(table: Table, request: Request) -> list[Sent]:
    return [Sent(table.truth(request).octets())]


def changed(**fields: object) -> Behaviour:
    """The truth with other fields."""
    return lambda table, request: [Sent(replace(table.truth(request), **fields).octets())]


def bitten(bite: Callable[[bytes], bytes]) -> Behaviour:
    """The truth, its octets spoilt."""
    return lambda table, request: [Sent(bite(table.truth(request).octets()))]


def valued(value: Callable[[int, bytes], tuple[int, bytes]]) -> Behaviour:
    """The truth with other values in the columns: (tag, content) -> (tag, content)."""

    def behave(table: Table, request: Request) -> list[Sent]:
        truth = table.truth(request)
        columns = (IN_OCTETS, HC_IN_OCTETS)
        varbinds = tuple(
            (oid, *value(tag, content)) if oid.startswith(columns) and content else (oid, tag, content)
            for oid, tag, content in truth.varbinds
        )
        return [Sent(replace(truth, varbinds=varbinds).octets())]

    return behave


def listed(choose: Callable[[Sequence[Bound]], Sequence[Bound]]) -> Behaviour:
    """The truth with another list of varbinds."""
    return lambda table, request: [
        Sent(replace(table.truth(request), varbinds=tuple(choose(table.truth(request).varbinds))).octets())
    ]


def stepping(step: Callable[[Table, Arcs], Bound]) -> Behaviour:
    """An agent whose GETNEXT goes elsewhere."""
    return lambda table, request: [Sent(table.truth(request, functools.partial(step, table)).octets())]


def noise(_: Table, __: Request) -> list[Sent]:
    return [Sent(os.urandom(200))]


def loop(_: Table, oid: Arcs) -> Bound:
    """A step to where it was."""
    return (encode_oid(oid), mib.COUNTER32, b"\x05")
