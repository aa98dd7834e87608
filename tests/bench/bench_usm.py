"""What SNMPv3 costs beside v2c: one authPriv exchange sealed and opened, SHA-1 and AES-128, an answer of 14 columns of 10 rows.

Limit: 100 us for both, without the varbinds. Beside it pysnmp's message processing and security model (RFC 3412 section 7, RFC 3414)
on the very octets, without its decoder of PDUs; and what every algorithm costs.

Then whole exchanges over sockets with 100 agents, 14 columns of 4 rows each, decoded: v3 authPriv beside v2c, and what 10,000 devices of
48 ports and 14 counters would take of one processor at that price (goal: 5.5 s a cycle).
"""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))

from manual_clock import ManualClock
from pyasn1.codec.ber import decoder
from pysnmp.proto.api import v2c
from pysnmp.proto.mpmod.rfc3412 import ScopedPDU, SNMPv3Message
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters
from report import Row, machine, pin, print_table
from snmp_agent_farm import address
from usm_agent_farm import USER as FARM_USER
from usm_engine import AUTH_SERVICES, PRIV_SERVICES, Keys, Request, UsmEngine, keys_of

from netmote.clock import SystemClock
from netmote.snmp import mib
from netmote.snmp.config import TargetConfig, UsmConfig
from netmote.snmp.credentials import Community, Credentials, UsmUser
from netmote.snmp.native.channel import Verdict
from netmote.snmp.native.native_session import NativeBackend
from netmote.snmp.native.pdu import FIRST_ID, GET_BULK_REQUEST, build_request
from netmote.snmp.native.usm.authentication import AUTH_PROTOCOLS, password_to_key
from netmote.snmp.native.usm.keys import KeyRing
from netmote.snmp.native.usm.privacy import SaltCounter
from netmote.snmp.native.v3_channel import V3Channel

COLUMNS, ROWS = 14, 10
EXCHANGES, ROUNDS = 200, 15
PYSNMP_EXCHANGES = 20
LIMIT_US = 100.0
AGENTS, PORT, SHORT_ROWS = 100, 20_261, 4
COUNTERS = [mib.COLUMN[name] for name in mib.COLUMN if name.startswith(("ifHC", "ifIn", "ifOut"))][:COLUMNS]
USER = UsmUser("bench", "sha", "aes128", "authpass123", "privpass123")
ALGORITHMS = [
    ("none", "none"),
    ("md5", "none"),
    ("sha", "none"),
    ("md5", "des"),
    ("sha", "aes128"),
    ("sha256", "aes128"),
    ("sha512", "aes256"),
]


class Exchange:
    """A channel in step with its engine, and the answer to each of a run of requests made beforehand."""

    def __init__(self, user: UsmUser, exchanges: int) -> None:
        clock = ManualClock()
        clock.advance(1.0)
        self.engine = UsmEngine(user, clock.monotonic)
        self.channel = V3Channel(
            user, keys=KeyRing(), salts=SaltCounter(random.Random(1)), monotonic=clock.monotonic, notice=print
        )
        columns = [mib.COLUMN["ifHCInOctets"][:-1] + bytes([number]) for number in range(1, COLUMNS + 1)]
        self.request = build_request(GET_BULK_REQUEST, columns, 0, ROWS)
        self.ids = range(FIRST_ID, FIRST_ID + exchanges)
        self.channel.probe(FIRST_ID)
        pdu = v2c.ReportPDU()
        v2c.apiPDU.set_defaults(pdu)
        v2c.apiPDU.set_varbinds(pdu, [((1, 3, 6, 1, 6, 3, 15, 1, 1, 4, 0), v2c.Counter32(1))])
        discovery = Request(FIRST_ID, 0, b"", 0, 0, "")
        assert self.channel.open(self.engine.message(discovery, pdu, flags=0)).verdict is Verdict.SEAL_AGAIN
        flags = (user.auth_protocol != "none") | (user.priv_protocol != "none") << 1
        self.answers = [self._answer(number, flags) for number in self.ids]

    def _answer(self, number: int, flags: int) -> bytes:
        pdu = v2c.ResponsePDU()
        v2c.apiPDU.set_defaults(pdu)
        v2c.apiPDU.set_request_id(pdu, number)
        names = [(1, 3, 6, 1, 2, 1, 31, 1, 1, 1, column, row) for row in range(1, ROWS + 1) for column in range(1, COLUMNS + 1)]
        v2c.apiPDU.set_varbinds(pdu, [(name, v2c.Counter64(1_234_567_890_123)) for name in names])
        return self.engine.message(Request(number, flags, b"", 0, 0, self.engine.user.security_name), pdu, flags=flags)

    def ours(self) -> tuple[float, float]:
        """Microseconds to seal one request, and to open one answer."""
        pdus = [self.request.pdu(number) for number in self.ids]
        began = time.process_time()
        for number, pdu in zip(self.ids, pdus, strict=True):
            self.channel.seal(pdu, number)
        sealed = time.process_time() - began
        began = time.process_time()
        for answer in self.answers:
            if self.channel.open(answer).verdict is not Verdict.ANSWER:
                raise AssertionError("an answer was not believed")
        return sealed / len(pdus) * 1e6, (time.process_time() - began) / len(pdus) * 1e6

    def pysnmp(self) -> tuple[float, float, float]:
        """Microseconds of pysnmp's own steps: to write a request; to verify and decrypt an answer; to decode the scoped PDU of it."""
        keys, auth, priv = keys_of(USER, self.engine.engine_id), AUTH_SERVICES["sha"], PRIV_SERVICES["aes128"]
        asked = v2c.GetBulkRequestPDU()
        v2c.apiBulkPDU.set_defaults(asked)
        v2c.apiBulkPDU.set_varbinds(asked, [((1, 3, 6, 1, 2, 1, 31, 1, 1, 1, number), v2c.null) for number in range(COLUMNS)])
        answers = self.answers[:PYSNMP_EXCHANGES]
        began = time.process_time()
        for number in range(len(answers)):
            self.engine.message(Request(number, 3, b"", 0, 0, USER.security_name), asked, flags=3)
        written = time.process_time() - began
        began = time.process_time()
        plain = [_opened_by_pysnmp(answer, keys, auth, priv) for answer in answers]
        opened = time.process_time() - began
        began = time.process_time()
        for octets in plain:
            decoder.decode(octets, asn1Spec=ScopedPDU())
        decoded = time.process_time() - began
        return tuple(seconds / len(answers) * 1e6 for seconds in (written, opened, decoded))  # type: ignore[return-value]


def _opened_by_pysnmp(octets: bytes, keys: Keys, auth: Any, priv: Any) -> bytes:
    """As its processIncomingMsg does (RFC 3414 section 3.2): message, parameters, digest, text."""
    message, _ = decoder.decode(octets, asn1Spec=SNMPv3Message())
    security, _ = decoder.decode(bytes(message["msgSecurityParameters"]), asn1Spec=UsmSecurityParameters())
    auth.authenticate_incoming_message(keys.auth, security["msgAuthenticationParameters"], octets)
    parameters = (
        security["msgAuthoritativeEngineBoots"],
        security["msgAuthoritativeEngineTime"],
        security["msgPrivacyParameters"],
    )
    return priv.decrypt_data(keys.priv, parameters, message["msgData"]["encryptedPDU"])


def _cost(user: UsmUser) -> tuple[float, float]:
    """Medians of sealing and opening, in microseconds."""
    exchange = Exchange(user, EXCHANGES)
    rounds = [exchange.ours() for _ in range(ROUNDS)]
    return median(sealed for sealed, _ in rounds), median(opened for _, opened in rounds)


def main() -> None:
    pin()
    print(machine())
    costs = {pair: _cost(UsmUser("bench", *pair, "authpass123", "privpass123")) for pair in ALGORITHMS}
    exchange = Exchange(USER, PYSNMP_EXCHANGES)
    written, opened, decoded = exchange.pysnmp()
    sealed, read = costs["sha", "aes128"]
    size = len(exchange.answers[0])
    rows = [
        Row(
            f"seal and open, SHA-1 and AES-128, {COLUMNS * ROWS} varbinds in {size} octets", sealed + read, "us", at_most=LIMIT_US
        ),
        Row("pysnmp's steps for the same, varbinds not decoded", written + opened, "us"),
        Row("ratio to pysnmp", (written + opened) / (sealed + read), at_least=10.0),
        Row("pysnmp's decoding of the scoped PDU on top", decoded, "us"),
        *(
            Row(f"{auth}, {priv}: seal + open", sum(cost), "us", beside=f"{cost[0]:.1f} + {cost[1]:.1f}")
            for (auth, priv), cost in costs.items()
        ),
        *(
            Row(f"key of a password, {protocol.name}", _key_cost(protocol.digest), "ms", beside="once a password")
            for protocol in AUTH_PROTOCOLS.values()
        ),
    ]
    print_table(rows + _whole_exchanges())


@contextlib.contextmanager
def _farm(script: str, port: int) -> Iterator[None]:
    """Agents in a process of their own, on another processor."""
    path = Path(__file__).parents[1] / "fakes" / script
    with subprocess.Popen(
        [sys.executable, str(path), str(AGENTS), str(port), "48"], stdout=subprocess.PIPE, text=True
    ) as process:
        os.sched_setaffinity(process.pid, {0})
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.kill()


async def _exchanges(credentials: Credentials, port: int) -> float:
    """Microseconds of processor time a varbind, from the request to its values."""
    backend = NativeBackend(clock=SystemClock(), random=random.Random(1))
    version = "2c" if isinstance(credentials, Community) else "3"
    user = UsmConfig(security_name="farm", auth_protocol="none", priv_protocol="none") if version == "3" else None
    targets = [
        TargetConfig(name=f"d{number}", address=address(number), port=port, timeout=5.0, version=version, user=user)
        for number in range(AGENTS)
    ]
    sessions = [await backend.open(target, credentials) for target in targets]
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for begin in range(0, AGENTS, 20):
            asked = [session.bulk([], COUNTERS, SHORT_ROWS) for session in sessions[begin : begin + 20]]
            for reply in await asyncio.gather(*asked):
                assert len(reply.varbinds) == len(COUNTERS) * SHORT_ROWS
        spent.append((time.process_time() - began) / AGENTS / len(COUNTERS) / SHORT_ROWS * 1e6)
    await backend.close()
    return median(spent[1:])  # the first discovers


def _whole_exchanges() -> list[Row]:
    with _farm("snmp_agent_farm.py", PORT):
        plain = asyncio.run(_exchanges(Community(), PORT))
    with _farm("usm_agent_farm.py", PORT + 1):
        sealed = asyncio.run(_exchanges(FARM_USER, PORT + 1))
    values = 10_000 * 48 * len(COUNTERS) / 1e6
    return [
        Row("v2c, a varbind, whole exchange", plain, "us"),
        Row("v3 authPriv, a varbind, whole exchange", sealed, "us", beside=f"{sealed / plain:.2f} of v2c"),
        Row("v3 authPriv, 10,000 devices x 48 ports x 14 counters", sealed * values, "s", at_most=5.5, beside="without rates"),
    ]


def _key_cost(digest: str) -> float:
    began = time.process_time()
    for _ in range(5):
        password_to_key(b"authpass123", digest)
    return (time.process_time() - began) / 5 * 1e3


if __name__ == "__main__":
    main()
