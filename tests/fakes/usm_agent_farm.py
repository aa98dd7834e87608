"""Many SNMPv3 agents in one process, each at its own loopback address with an engine id of its own: for benches.

    python usm_agent_farm.py COUNT PORT PORTS

As `snmp_agent_farm`, whose switch and addresses these have: an answer is computed once and found again by its request, then written,
encrypted and signed anew for each. It uses netmote's own USM so as to be cheap; whether that is right others test.
"""

import select
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from snmp_agent_farm import address, switch
from snmp_fault_agent import _read

from netmote.snmp.credentials import UsmUser
from netmote.snmp.native.ber import OCTET_STRING, SEQUENCE, element, enter, integer
from netmote.snmp.native.usm.authentication import AUTH_PROTOCOLS
from netmote.snmp.native.usm.keys import KeyRing, LocalKeys
from netmote.snmp.native.usm.message import MessageTemplate, V3Message, octets_of, read_message, read_scoped_pdu
from netmote.snmp.native.varbinds import encode_varbinds
from netmote.snmp.oid import parse_oid
from netmote.snmp.session import Varbind

USER = UsmUser("farm", "sha", "aes128", "authpass123", "privpass123")
_AUTH = AUTH_PROTOCOLS[USER.auth_protocol]
_BOOTS = 1
_UNKNOWN_ENGINE_IDS = Varbind(parse_oid("1.3.6.1.6.3.15.1.1.4.0"), 0x41, b"\1")
_ID_OCTETS = 4


def engine_id(number: int) -> bytes:
    return b"\x80\x00\x1f\x88\x05" + number.to_bytes(4, "big")


class UsmFarm:
    """Sockets, keys, and the answers that were computed."""

    def __init__(self, count: int, port: int, ports: int) -> None:
        self._table, self._known, keys = switch(ports), {}, KeyRing()
        self._poll = select.epoll()
        self._agents: dict[int, tuple[socket.socket, bytes, LocalKeys]] = {}
        self._salt = 0
        for number in range(count):
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.setblocking(False)
            opened.bind((address(number), port))
            self._agents[opened.fileno()] = (opened, engine_id(number), keys.local_keys(USER, engine_id(number)))
            self._poll.register(opened.fileno(), select.EPOLLIN)

    def run(self) -> None:
        """Answer until killed."""
        while True:
            for number, _ in self._poll.poll():
                opened, own_id, keys = self._agents[number]
                while True:
                    try:
                        request, source = opened.recvfrom(65_535)
                    except BlockingIOError:
                        break
                    opened.sendto(self._answer(request, own_id, keys), source)

    def _answer(self, request: bytes, own_id: bytes, keys: LocalKeys) -> bytes:
        message = read_message(request)
        if message.engine_id != own_id:
            names = encode_varbinds([_UNKNOWN_ENGINE_IDS])
            return self._sealed(message, own_id, keys, element(0xA8, integer(0) * 3 + names), flags=0)
        assert keys.privacy is not None
        secret = request[message.data_start : message.data_end]
        plain = keys.privacy.decrypt(secret, message.boots, message.time, message.salt)
        asked = read_scoped_pdu(plain, *enter(plain, 0, len(plain), SEQUENCE)).pdu
        id_at = 4 if asked[1] < 0x80 else 4 + (asked[1] & 0x7F)
        key = asked[:id_at] + asked[id_at + _ID_OCTETS :]
        found = self._known.get(key)
        if found is None:
            community = element(SEQUENCE, integer(1) + element(OCTET_STRING, b"public") + asked)
            octets = self._table.truth(_read(community, 0)).octets()
            pdu = octets[octets.index(b"public") + 6 :]
            at = pdu.index(asked[id_at : id_at + _ID_OCTETS])
            found = self._known[key] = (pdu[:at], pdu[at + _ID_OCTETS :])
        pdu = found[0] + asked[id_at : id_at + _ID_OCTETS] + found[1]
        return self._sealed(message, own_id, keys, pdu, flags=3)

    def _sealed(self, message: V3Message, own_id: bytes, keys: LocalKeys, pdu: bytes, *, flags: int) -> bytes:
        now = int(time.monotonic())
        data, salt = element(SEQUENCE, element(OCTET_STRING, own_id) + element(OCTET_STRING, b"") + pdu), b""
        if flags:
            assert keys.privacy is not None
            self._salt += 1
            salt = self._salt.to_bytes(8, "big")
            data = keys.privacy.encrypt(data, _BOOTS, now, salt)
        template = MessageTemplate(
            id_octets=octets_of(message.message_id),
            flags=flags,
            engine_id=own_id,
            boots=_BOOTS,
            time_octets=octets_of(now),
            user_name=message.user_name,
            digest_length=_AUTH.mac_length if flags else 0,
            salt_length=len(salt),
            data_length=len(data),
        )
        octets, at = template.fill(message.message_id, now, salt, data)
        return octets[:at] + _AUTH.mac(keys.auth, octets) + octets[at + _AUTH.mac_length :] if flags else octets


if __name__ == "__main__":
    farm = UsmFarm(*map(int, sys.argv[1:4]))
    print("ready", flush=True)
    farm.run()
