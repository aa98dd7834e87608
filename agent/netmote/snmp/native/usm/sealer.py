"""Requests written and sealed: context, encryption, digest, at the price of what changes (RFC 3412 section 7.1, RFC 3414 section 3.1).

Owns the templates of one channel. Refuses deciding to which engine, and whether.
"""

from typing import Final, NamedTuple

from netmote.snmp.native.ber import OCTET_STRING, SEQUENCE, element, integer
from netmote.snmp.native.pdu import GET_REQUEST
from netmote.snmp.native.usm.authentication import AuthProtocol
from netmote.snmp.native.usm.engine import AuthoritativeEngine
from netmote.snmp.native.usm.message import AUTH_FLAG, PRIV_FLAG, REPORTABLE_FLAG, MessageTemplate, octets_of
from netmote.snmp.native.usm.privacy import SALT_OCTETS, PrivProtocol, SaltCounter

_MOST_SHAPES: Final = 64  # templates; when full they are made anew


class _Shape(NamedTuple):
    template: MessageTemplate
    scope: bytes  # what precedes the PDU in its ScopedPDU


class Sealer:
    """Writes the messages of one user in one context."""

    def __init__(
        self, user_name: bytes, context_name: bytes, *, auth: AuthProtocol | None, priv: PrivProtocol | None, salts: SaltCounter
    ) -> None:
        self._user_name, self._context_name, self._auth, self._priv, self._salts = user_name, context_name, auth, priv, salts
        self._flags = REPORTABLE_FLAG | (AUTH_FLAG if auth else 0) | (PRIV_FLAG if priv else 0)
        self._shapes: dict[tuple[bytes, int, int, int, int], _Shape] = {}

    def request(self, engine: AuthoritativeEngine, pdu: bytes, message_id: int, now: float) -> bytes:
        """The datagram that carries `pdu` to an engine, whose keys are the user's."""
        auth, privacy = self._auth, engine.keys.privacy
        boots, time = 0, 0  # without authentication (RFC 3414 section 3.1 step 6)
        if auth is not None:
            boots, time = engine.boots, engine.time_at(now)
        key = (engine.engine_id, boots, octets_of(time), octets_of(message_id), len(pdu))
        template, scope = self._shapes.get(key) or self._shape(*key)
        data, salt = scope + pdu, b""
        if privacy is not None:
            salt = self._salts.salt()
            data = privacy.encrypt(data, boots, time, salt)
        octets, digest_at = template.fill(message_id, time, salt, data)
        if auth is None:
            return octets
        digest = auth.mac(engine.keys.auth, octets)
        return b"".join((octets[:digest_at], digest, octets[digest_at + len(digest) :]))

    def probe(self, message_id: int) -> bytes:
        """A discovery message: no engine, no user, no names (RFC 3414 section 4)."""
        pdu = element(GET_REQUEST, integer(message_id) + integer(0) * 2 + element(SEQUENCE, b""))
        scope = scope_of(b"", b"", len(pdu))
        template = MessageTemplate(
            id_octets=octets_of(message_id),
            flags=REPORTABLE_FLAG,
            engine_id=b"",
            boots=0,
            time_octets=1,
            user_name=b"",
            digest_length=0,
            salt_length=0,
            data_length=len(scope) + len(pdu),
        )
        return template.fill(message_id, 0, b"", scope + pdu)[0]

    def forget_shapes(self) -> None:
        """The engine is another: its templates are of no use any more."""
        self._shapes.clear()

    def _shape(self, engine_id: bytes, boots: int, time_octets: int, id_octets: int, pdu_length: int) -> _Shape:
        if len(self._shapes) >= _MOST_SHAPES:
            self._shapes.clear()
        scope = scope_of(engine_id, self._context_name, pdu_length)
        data_length = len(scope) + pdu_length
        if self._priv is not None:
            data_length += -data_length % self._priv.block_length
        template = MessageTemplate(
            id_octets=id_octets,
            flags=self._flags,
            engine_id=engine_id,
            boots=boots,
            time_octets=time_octets,
            user_name=self._user_name,
            digest_length=0 if self._auth is None else self._auth.mac_length,
            salt_length=0 if self._priv is None else SALT_OCTETS,
            data_length=data_length,
        )
        shape = self._shapes[engine_id, boots, time_octets, id_octets, pdu_length] = _Shape(template, scope)
        return shape


def scope_of(engine_id: bytes, context_name: bytes, pdu_length: int) -> bytes:
    """What precedes a PDU in its ScopedPDU (RFC 3412 section 6.8)."""
    context = element(OCTET_STRING, engine_id) + element(OCTET_STRING, context_name)
    whole = element(SEQUENCE, context + bytes(pdu_length))
    return whole[: len(whole) - pdu_length]
