"""The layout of SNMPv3 messages: what is accepted, and each way of being wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyasn1.codec.ber import encoder
from pysnmp.proto.api import v2c
from pysnmp.proto.mpmod.rfc3412 import SNMPv3Message
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters

from netmote.snmp.native.ber import BerError, element, integer
from netmote.snmp.native.usm.message import MessageTemplate, V3Message, octets_of, read_message, read_scoped_pdu

PDU = element(0xA2, integer(7) + integer(0) * 2 + element(0x30, b""))
SCOPED = element(0x04, b"\x80\0\0\0\x04x") + element(0x04, b"ctx") + PDU


def octet_string(content: bytes) -> bytes:
    return element(0x04, content)


PARTS = {
    "version": integer(3),
    "message_id": integer(0x0123_4567),
    "max_size": integer(65_507),
    "flags": octet_string(b"\x05"),
    "model": integer(3),
    "engine_id": octet_string(b"\x80\0\0\0\x04x"),
    "boots": integer(3),
    "time": integer(5_000),
    "user": octet_string(b"user"),
    "digest": octet_string(b"d" * 12),
    "salt": octet_string(b""),
    "data": element(0x30, SCOPED),
}
"""A message in its parts, in order."""


def built(*, header: bytes = b"", security: bytes = b"", inner: bytes = b"", end: bytes = b"", **changes: bytes) -> bytes:
    """The message with some parts replaced, and octets put behind those of one of its sequences."""
    part = PARTS | changes
    globals_ = element(0x30, b"".join(part[name] for name in ("message_id", "max_size", "flags", "model")) + header)
    names = ("engine_id", "boots", "time", "user", "digest", "salt")
    parameters = element(0x30, b"".join(part[name] for name in names) + inner)
    return element(0x30, part["version"] + globals_ + octet_string(parameters + security) + part["data"] + end)


def fields(message: V3Message) -> tuple[object, ...]:
    return message.message_id, message.flags, message.engine_id, message.boots, message.time, message.user_name, message.salt


def test_a_message_is_read() -> None:
    """Each field where it belongs, the digest and the data by position."""
    octets = built()
    message = read_message(octets)
    assert fields(message) == (0x0123_4567, 5, b"\x80\0\0\0\x04x", 3, 5_000, b"user", b"")
    assert octets[message.digest_start : message.digest_end] == b"d" * 12
    scoped = read_scoped_pdu(octets, message.data_start, message.data_end)
    assert scoped == (b"\x80\0\0\0\x04x", b"ctx", 0xA2, PDU)
    assert read_message(octets + b"behind it").octets == octets


def test_lengths_may_be_written_long() -> None:
    """Some agents write every length in four octets (X.690 section 8.1.3.5)."""

    def long(tag: int, content: bytes) -> bytes:
        return bytes([tag, 0x84]) + len(content).to_bytes(4, "big") + content

    octets = built(user=long(0x04, b"user"), boots=long(0x02, b"\3"), data=long(0x30, SCOPED))
    assert fields(read_message(octets)) == fields(read_message(built()))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x30\x00",
        built(version=integer(1)),
        built(version=octet_string(b"\3")),
        built(message_id=integer(-1)),
        built(message_id=integer(2**31)),
        built(message_id=element(0x02, b"")),
        built(max_size=integer(483)),
        built(max_size=integer(2**31)),
        built(flags=octet_string(b"")),
        built(flags=octet_string(b"\1\1")),
        built(flags=octet_string(b"\2"), data=octet_string(b"secret")),
        built(model=integer(2)),
        built(header=integer(1)),
        built(engine_id=octet_string(b"x" * 33)),
        built(engine_id=integer(1)),
        built(boots=integer(-1)),
        built(boots=integer(2**31)),
        built(time=integer(-1)),
        built(time=integer(2**31)),
        built(user=octet_string(b"u" * 33)),
        built(digest=b""),
        built(salt=b""),
        built(inner=b"\5\0"),
        built(security=b"\5\0"),
        built(data=octet_string(SCOPED)),
        built(data=b""),
        built(flags=octet_string(b"\3")),
        built(end=b"\5\0"),
        built()[:-1],
    ],
)
def test_what_is_not_right_is_refused(octets: bytes) -> None:
    """RFC 3412 section 6 and RFC 3414 section 2.4, clause by clause."""
    with pytest.raises(BerError):
        read_message(octets)


@pytest.mark.parametrize("octets", [b"", SCOPED[:-1], SCOPED + b"\0", element(0x04, b"x"), element(0x02, b"\1") + SCOPED])
def test_a_scoped_pdu_is_whole(octets: bytes) -> None:
    """Two names and one PDU, nothing behind it."""
    with pytest.raises(BerError):
        read_scoped_pdu(octets, 0, len(octets))


@settings(max_examples=200, deadline=None)
@given(
    message_id=st.integers(0, 2**31 - 1),
    boots=st.integers(0, 2**31 - 1),
    time=st.integers(0, 2**31 - 1),
    flags=st.sampled_from([0, 1, 3, 4, 5, 7]),
    engine_id=st.binary(max_size=32),
    user=st.binary(max_size=32),
    digest_length=st.sampled_from([0, 12, 48]),
    data=st.binary(min_size=1, max_size=300),
)
def test_a_template_writes_what_pyasn1_would(  # noqa: PLR0917 - hypothesis fills them
    message_id: int, boots: int, time: int, flags: int, engine_id: bytes, user: bytes, digest_length: int, data: bytes
) -> None:
    """At every width of every number and length: the very octets of another encoder, and the digest where it says."""
    salt = b"saltsalt" if flags & 2 else b""
    message = SNMPv3Message()
    header = message["msgGlobalData"]
    message["msgVersion"], header["msgID"], header["msgMaxSize"] = 3, message_id, 65_507
    header["msgFlags"], header["msgSecurityModel"] = bytes([flags]), 3
    security = UsmSecurityParameters()
    security["msgAuthoritativeEngineId"], security["msgUserName"] = engine_id, user
    security["msgAuthoritativeEngineBoots"], security["msgAuthoritativeEngineTime"] = boots, time
    security["msgAuthenticationParameters"], security["msgPrivacyParameters"] = bytes(digest_length), salt
    message["msgSecurityParameters"] = encoder.encode(security)
    if flags & 2:
        message["msgData"]["encryptedPDU"] = data
    else:
        pdu = v2c.GetRequestPDU()
        v2c.apiPDU.set_defaults(pdu)
        scoped = message["msgData"]["plaintext"]
        scoped["contextEngineId"], scoped["contextName"] = engine_id, data
        scoped["data"].setComponentByType(pdu.tagSet, pdu, verifyConstraints=False)
        data = encoder.encode(scoped)
    template = MessageTemplate(
        id_octets=octets_of(message_id),
        flags=flags,
        engine_id=engine_id,
        boots=boots,
        time_octets=octets_of(time),
        user_name=user,
        digest_length=digest_length,
        salt_length=len(salt),
        data_length=len(data),
    )
    octets, digest_at = template.fill(message_id, time, salt, data)
    assert octets == encoder.encode(message)
    assert octets[digest_at - 2 : digest_at] == bytes([0x04, digest_length])
    assert read_message(octets).digest_start == digest_at
