"""What anyone on the path to an SNMPv3 device can write without its keys."""

from pysnmp.proto.api import v2c
from usm_engine import COUNTERS, Request, UsmEngine
from usm_exchange import USER, Polled, read_id
from usm_matrix import NOBODY


def forged(polled: Polled, kind: str, *, engine_id: bytes | None = None, boots: int = 1, time: int = 1) -> bytes:
    """A report without a digest to the message sent last: what anyone on the path can write."""
    liar = UsmEngine(NOBODY, polled.clock.monotonic, engine_id=engine_id or polled.engine.engine_id)
    sent = read_id(polled.sent[-1])
    pdu = v2c.ReportPDU()
    v2c.apiPDU.set_defaults(pdu)
    v2c.apiPDU.set_varbinds(pdu, [(COUNTERS[kind], v2c.Counter32(1))])
    request = Request(sent, 0, liar.engine_id, 0, 0, USER.security_name)
    return liar.message(request, pdu, flags=0, boots=boots, time=time)
