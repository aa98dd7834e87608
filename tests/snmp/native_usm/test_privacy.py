"""Ciphers against published vectors and pysnmp, and salts that never repeat."""

import random

import pytest
from pyasn1.type import univ
from usm_engine import PRIV_SERVICES

from netmote.snmp.native.usm.privacy import AesPrivacy, DesPrivacy, SaltCounter, Undecipherable

# NIST SP 800-38A, F.3.13, F.3.15 and F.3.17: CFB128; the IV 00 01 .. 0f is boots, time and salt.
BOOTS, TIME, SALT = 0x00010203, 0x04050607, bytes(range(8, 16))
PLAIN = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
CFB128 = [
    ("2b7e151628aed2a6abf7158809cf4f3c", "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b"),
    ("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b", "cdc80d6fddf18cab34c25909c99a417467ce7f7f81173621961a2b70171d3d7a"),
    (
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        "dc7e84bfda79164b7ecd8486985d386039ffed143b28b1c832113c6331e5407b",
    ),
]


@pytest.mark.parametrize(("key", "secret"), CFB128, ids=["128", "192", "256"])
def test_aes(key: str, secret: str) -> None:
    """NIST's vectors both ways, and a text that ends within a block."""
    cipher = AesPrivacy(bytes.fromhex(key))
    assert cipher.encrypt(PLAIN, BOOTS, TIME, SALT).hex() == secret
    assert cipher.decrypt(bytes.fromhex(secret), BOOTS, TIME, SALT) == PLAIN
    assert cipher.decrypt(cipher.encrypt(PLAIN[:21], BOOTS, TIME, SALT), BOOTS, TIME, SALT) == PLAIN[:21]


def test_des_is_single_des() -> None:
    """The textbook vector of FIPS 46, the mask and the salt cancelling out; and CBC as pysnmp has it, padding included."""
    cipher = DesPrivacy(bytes.fromhex("133457799bbcdff1") + SALT)
    assert cipher.encrypt(bytes.fromhex("0123456789abcdef"), BOOTS, TIME, SALT).hex() == "85e813540f0ab405"
    key = univ.OctetString(bytes(range(100, 116)))
    for length in range(1, 40):
        text = bytes(range(length))
        secret, salt = PRIV_SERVICES["des"].encrypt_data(key, (BOOTS, TIME, None), text)
        assert DesPrivacy(bytes(key)).decrypt(bytes(secret), 0, 0, bytes(salt))[:length] == text
        ours = univ.OctetString(DesPrivacy(bytes(key)).encrypt(text, BOOTS, TIME, SALT))
        assert len(ours) == (length + 7) // 8 * 8
        assert PRIV_SERVICES["des"].decrypt_data(key, (BOOTS, TIME, univ.OctetString(SALT)), ours)[:length] == text


@pytest.mark.parametrize("cipher", [AesPrivacy(bytes(16)), DesPrivacy(bytes(16))], ids=["aes", "des"])
@pytest.mark.parametrize("salt", [b"", bytes(7), bytes(9)])
def test_a_salt_has_eight_octets(cipher: AesPrivacy | DesPrivacy, salt: bytes) -> None:
    """RFC 3414 section 8.3.2, RFC 3826 section 3.3.2: otherwise it cannot be decrypted."""
    with pytest.raises(Undecipherable):
        cipher.decrypt(bytes(16), 1, 1, salt)


def test_des_has_whole_blocks() -> None:
    """RFC 3414 section 8.1.1.3."""
    with pytest.raises(Undecipherable):
        DesPrivacy(bytes(16)).decrypt(bytes(15), 1, 1, SALT)


def test_salts_never_repeat_and_runs_begin_apart() -> None:
    """A counter from a random start, through its wrap; two processes do not meet."""
    salts = SaltCounter(random.Random(1))
    salts._next = 2**64 - 1_000
    drawn = {salts.salt() for _ in range(10_000)}
    assert len(drawn) == 10_000
    assert {len(salt) for salt in drawn} == {8}
    assert SaltCounter(random.Random(1)).salt() == SaltCounter(random.Random(1)).salt()
    assert len({SaltCounter(random.Random(seed)).salt()[:4] for seed in range(1_000)}) == 1_000
