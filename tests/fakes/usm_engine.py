"""An authoritative SNMPv3 engine without sockets: a datagram in, the answer out. Its clock, its id and its manners can be changed.

Written from RFC 3414 section 3.2 as the *agent's* side, and apart from the code under test: messages are taken apart and put together
by pyasn1, keys and ciphers are pysnmp's. Only what the tests compare is shared: octets.
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from pyasn1.codec.ber import decoder, encoder
from pyasn1.error import PyAsn1Error
from pyasn1.type import univ
from pysnmp.entity import config as pysnmp_config
from pysnmp.proto.api import v2c
from pysnmp.proto.mpmod.rfc3412 import ScopedPDU, SNMPv3Message
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters

from netmote.snmp.credentials import UsmUser

AUTH_IDS = {
    "md5": pysnmp_config.USM_AUTH_HMAC96_MD5,
    "sha": pysnmp_config.USM_AUTH_HMAC96_SHA,
    "sha224": pysnmp_config.USM_AUTH_HMAC128_SHA224,
    "sha256": pysnmp_config.USM_AUTH_HMAC192_SHA256,
    "sha384": pysnmp_config.USM_AUTH_HMAC256_SHA384,
    "sha512": pysnmp_config.USM_AUTH_HMAC384_SHA512,
}
PRIV_IDS = {
    "des": pysnmp_config.USM_PRIV_CBC56_DES,
    "aes128": pysnmp_config.USM_PRIV_CFB128_AES,
    "aes192": pysnmp_config.USM_PRIV_CFB192_AES_BLUMENTHAL,
    "aes256": pysnmp_config.USM_PRIV_CFB256_AES_BLUMENTHAL,
    "aes192c": pysnmp_config.USM_PRIV_CFB192_AES,
    "aes256c": pysnmp_config.USM_PRIV_CFB256_AES,
}
AUTH_SERVICES = {name: pysnmp_config.AUTH_SERVICES[number] for name, number in AUTH_IDS.items()}
PRIV_SERVICES = {name: pysnmp_config.PRIV_SERVICES[number] for name, number in PRIV_IDS.items()}
HASHES = {"md5": "md5", "sha": "sha1", "sha224": "sha224", "sha256": "sha256", "sha384": "sha384", "sha512": "sha512"}
# usmStats (RFC 3414 section 5) and snmpUnknownContexts (RFC 3413): OID of the counter
COUNTERS = {
    "unsupportedSecLevels": (1, 3, 6, 1, 6, 3, 15, 1, 1, 1, 0),
    "notInTimeWindows": (1, 3, 6, 1, 6, 3, 15, 1, 1, 2, 0),
    "unknownUserNames": (1, 3, 6, 1, 6, 3, 15, 1, 1, 3, 0),
    "unknownEngineIDs": (1, 3, 6, 1, 6, 3, 15, 1, 1, 4, 0),
    "wrongDigests": (1, 3, 6, 1, 6, 3, 15, 1, 1, 5, 0),
    "decryptionErrors": (1, 3, 6, 1, 6, 3, 15, 1, 1, 6, 0),
    "unknownContexts": (1, 3, 6, 1, 6, 3, 12, 1, 5, 0),
    "unknownPDUHandlers": (1, 3, 6, 1, 6, 3, 11, 2, 1, 3, 0),
}
UP_TIME = (1, 3, 6, 1, 2, 1, 1, 3, 0)
LONGEST_BOOTS = 2**31 - 1


@dataclass(frozen=True)
class Keys:
    """A user's keys at an engine, by pysnmp."""

    auth: univ.OctetString | None
    priv: univ.OctetString | None


@cache
def keys_of(user: UsmUser, engine_id: bytes) -> Keys:
    auth = priv = None
    engine = univ.OctetString(engine_id)
    if user.auth_protocol != "none":
        service = AUTH_SERVICES[user.auth_protocol]
        secret = service.hash_passphrase(univ.OctetString((user.auth_password or "").encode()))
        auth = service.localize_key(secret, engine)
    if user.priv_protocol != "none":
        service, auth_id = PRIV_SERVICES[user.priv_protocol], AUTH_IDS[user.auth_protocol]
        secret = service.hash_passphrase(auth_id, univ.OctetString((user.priv_password or "").encode()))
        priv = service.localize_key(auth_id, secret, engine)
    return Keys(auth, priv)


@dataclass
class Request:
    """A message as the engine understood it, and what its answer will be made of."""

    message_id: int
    flags: int
    engine_id: bytes
    boots: int
    time: int
    user: str
    scoped: ScopedPDU | None = None


@dataclass
class UsmEngine:
    """An SNMP engine with one user. `now` is seconds on whatever clock the test drives."""

    user: UsmUser
    now: Callable[[], float]
    engine_id: bytes = b"\x80\x00\x1f\x88\x04engine"
    boots: int = 3
    clock_offset: float = 5_000.0  # engineTime is now plus this
    contexts: frozenset[bytes] = frozenset({b""})
    value: int = 4_386
    answers_undecryptable: bool = False  # net-snmp is silent; the RFC wants a report
    response_flags: int | None = None  # answer at another level than asked
    speaks_as: bytes | None = None  # contextEngineID of answers
    tamper: Callable[[bytes], bytes] | None = None  # of Responses, digest included
    log: list[str] = field(default_factory=list)

    def engine_time(self) -> int:
        return int(self.now() + self.clock_offset)

    def reboot(self) -> None:
        self.boots += 1
        self.clock_offset = -self.now()

    def answer(self, datagram: bytes) -> bytes | None:  # noqa: PLR0911 - the steps of the RFC, each with its report
        """RFC 3414 section 3.2, in its order."""
        message, _ = decoder.decode(datagram, asn1Spec=SNMPv3Message())
        header = message["msgGlobalData"]
        security, _ = decoder.decode(bytes(message["msgSecurityParameters"]), asn1Spec=UsmSecurityParameters())
        request = Request(
            int(header["msgID"]),
            bytes(header["msgFlags"])[0],
            bytes(security["msgAuthoritativeEngineId"]),
            int(security["msgAuthoritativeEngineBoots"]),
            int(security["msgAuthoritativeEngineTime"]),
            bytes(security["msgUserName"]).decode(),
        )
        digest, salt = security["msgAuthenticationParameters"], security["msgPrivacyParameters"]
        if request.engine_id != self.engine_id:  # step 3
            return self.report(request, "unknownEngineIDs")
        if request.user != self.user.security_name:  # step 4
            return self.report(request, "unknownUserNames")
        level = (1 if self.user.auth_protocol != "none" else 0) | (2 if self.user.priv_protocol != "none" else 0)
        if request.flags & 3 & ~level:  # step 5
            return self.report(request, "unsupportedSecLevels")
        keys = keys_of(self.user, self.engine_id)
        if request.flags & 1:
            if not self._is_authentic(datagram, bytes(digest), bytes(keys.auth or b"")):  # step 6
                return self.report(request, "wrongDigests")
            off = abs(request.time - self.engine_time())
            if self.boots == LONGEST_BOOTS or request.boots != self.boots or off > 150:  # step 7
                return self.report(request, "notInTimeWindows", flags=1)
        data = message["msgData"]
        if request.flags & 2:  # step 8
            try:
                plain = PRIV_SERVICES[self.user.priv_protocol].decrypt_data(
                    keys.priv, (request.boots, request.time, salt), data["encryptedPDU"]
                )
                request.scoped, _ = decoder.decode(plain, asn1Spec=ScopedPDU())
            except (PyAsn1Error, ValueError):
                self.log.append("decryptionErrors")
                return self.report(request, "decryptionErrors") if self.answers_undecryptable else None
        else:
            request.scoped = data["plaintext"]
        if bytes(request.scoped["contextName"]) not in self.contexts:
            return self.report(request, "unknownContexts", flags=request.flags & 3)
        return self._respond(request)

    def report(self, request: Request, kind: str, *, flags: int = 0) -> bytes:
        """A Report-PDU; unauthenticated unless told otherwise (RFC 3414 section 3.2)."""
        self.log.append(kind)
        pdu = v2c.ReportPDU()
        v2c.apiPDU.set_defaults(pdu)
        v2c.apiPDU.set_varbinds(pdu, [(COUNTERS[kind], v2c.Counter32(7))])
        return self.message(request, pdu, flags=flags)

    def _respond(self, request: Request) -> bytes:
        assert request.scoped is not None
        self.log.append("ok")
        asked = request.scoped["data"].getComponent()
        pdu = v2c.ResponsePDU()
        v2c.apiPDU.set_defaults(pdu)
        v2c.apiPDU.set_request_id(pdu, v2c.apiPDU.get_request_id(asked))
        v2c.apiPDU.set_varbinds(pdu, [(name, v2c.TimeTicks(self.value)) for name, _ in v2c.apiPDU.get_varbinds(asked)])
        flags = request.flags & 3 if self.response_flags is None else self.response_flags
        octets = self.message(request, pdu, flags=flags)
        return self.tamper(octets) if self.tamper is not None else octets

    def message(self, request: Request, pdu: object, *, flags: int, boots: int | None = None, time: int | None = None) -> bytes:
        """A whole message of this engine, to the request."""
        boots, time = self.boots if boots is None else boots, self.engine_time() if time is None else time
        keys = keys_of(self.user, self.engine_id)
        scoped = ScopedPDU()
        scoped["contextEngineId"] = self.engine_id if self.speaks_as is None else self.speaks_as
        scoped["contextName"] = b"" if request.scoped is None else request.scoped["contextName"]
        scoped["data"].setComponentByType(pdu.tagSet, pdu, verifyConstraints=False)  # type: ignore[attr-defined]
        salt: bytes | univ.OctetString = b""
        message = SNMPv3Message()
        message["msgVersion"] = 3
        header = message["msgGlobalData"]
        header["msgID"], header["msgMaxSize"], header["msgSecurityModel"] = request.message_id, 65_507, 3
        header["msgFlags"] = bytes([flags])
        if flags & 2:
            secret, salt = PRIV_SERVICES[self.user.priv_protocol].encrypt_data(
                keys.priv, (boots, time, univ.OctetString(secrets.token_bytes(8))), encoder.encode(scoped)
            )
            message["msgData"]["encryptedPDU"] = secret
        else:
            message["msgData"]["plaintext"] = scoped
        security = UsmSecurityParameters()
        security["msgAuthoritativeEngineId"] = self.engine_id
        security["msgAuthoritativeEngineBoots"], security["msgAuthoritativeEngineTime"] = boots, time
        security["msgUserName"], security["msgPrivacyParameters"] = request.user, salt
        length = AUTH_SERVICES[self.user.auth_protocol].digest_length if flags & 1 else 0
        security["msgAuthenticationParameters"] = bytes(length)
        message["msgSecurityParameters"] = encoder.encode(security)
        octets = encoder.encode(message)
        if not flags & 1:
            return octets
        return AUTH_SERVICES[self.user.auth_protocol].authenticate_outgoing_message(keys.auth, octets)

    def _is_authentic(self, datagram: bytes, digest: bytes, key: bytes) -> bool:
        blank = datagram.replace(digest, bytes(len(digest)), 1)
        return hmac.new(key, blank, HASHES[self.user.auth_protocol]).digest()[: len(digest)] == digest
