"""What stands for an address: stable, valid, unguessable without the key, and the same everywhere it occurs."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.privacy.config import Treatment
from netmote.privacy.treatment import LOCAL_PREFIX, REMOTE_PREFIX, AddressTreatment
from netmote.windows.config import WindowsConfig

LOCAL = WindowsConfig().local_networks
KEY = bytes(range(32))


def treating(kind: Treatment, *, key: bytes = KEY, **prefixes: int) -> AddressTreatment:
    return AddressTreatment(kind, key=key, local_networks=LOCAL, **prefixes)


@given(st.ip_addresses())
def test_pseudonyms_are_stable_valid_and_on_their_side(address: IPv4Address | IPv6Address) -> None:
    """Two treatments with one key agree, another key gives another address; a pseudonym is not treated twice."""
    one, same, other = treating("hash"), treating("hash"), treating("hash", key=bytes(32))
    treated = one.address(address)
    assert treated == same.address(address)
    assert one.address(treated) == treated
    if treated not in (address, getattr(address, "ipv4_mapped", None)):
        mapped = getattr(address, "ipv4_mapped", None) or address
        is_ours = any(mapped in network for network in LOCAL if network.version == mapped.version)
        assert treated in (LOCAL_PREFIX if is_ours else REMOTE_PREFIX)
        assert treated != other.address(address)


def test_pseudonyms_of_local_hosts_are_local() -> None:
    """By the default of `windows.local_networks`, so that windows of hosts go on at rest."""
    assert any(treating("hash").address(ip_address("10.1.2.3")) in network for network in LOCAL if network.version == 6)
    assert not any(treating("hash").address(ip_address("198.51.100.9")) in network for network in LOCAL if network.version == 6)


@pytest.mark.parametrize("address", ["224.0.0.251", "255.255.255.255", "127.0.0.1", "0.0.0.0", "::", "::1", "ff02::fb"])
@pytest.mark.parametrize("kind", ["truncate", "hash"])
def test_addresses_that_name_nobody_stay(kind: Treatment, address: str) -> None:
    """Groups, loopback and the unspecified address."""
    assert treating(kind).text(address) == address


def test_truncation_leaves_the_network() -> None:
    """Of the configured length, also of IPv4-mapped addresses."""
    assert treating("truncate").text("198.51.100.77") == "198.51.100.0"
    assert treating("truncate", ipv4_prefix=20).text("198.51.100.77") == "198.51.96.0"
    assert treating("truncate").text("2001:db8:1:2::5") == "2001:db8:1::"
    assert treating("truncate").text("::ffff:198.51.100.77") == "198.51.100.0"


def test_text_is_treated_wherever_an_address_stands() -> None:
    """Titles, annotations: every address in them, and nothing that only looks like one."""
    treatment = treating("truncate")
    said = "198.51.100.7:443 and [2001:db8::7]:80, 10.1.2.3, fe80::1%eth0; at 12:30:05, version 1.2.3.4.5, 300.1.1.1, aa:bb:cc:dd:ee:0f"
    assert treatment.prose(said) == (
        "198.51.100.0:443 and [2001:db8::]:80, 10.1.2.0, fe80::%eth0; at 12:30:05, version 1.2.3.4.5, 300.1.1.1, aa:bb:cc:00:00:00"
    )
    assert treatment.prose("ends with 10.1.2.3.") == "ends with 10.1.2.0."


def test_hardware_addresses_are_hashed_into_local_ones() -> None:
    """Individual, locally administered, stable; groups stay."""
    treatment = treating("hash")
    hidden = treatment.prose("02:00:5e:00:53:01")
    assert hidden == treatment.prose("02:00:5e:00:53:01")
    assert hidden != "02:00:5e:00:53:01"
    assert int(hidden[:2], 16) & 3 == 2
    assert treatment.prose("01:00:5e:00:00:fb and 33-33-00-00-00-01") == "01:00:5e:00:00:fb and 33-33-00-00-00-01"


@given(st.ip_addresses(), st.sampled_from(["keep", "truncate", "hash"]))
def test_records_and_text_agree(address: IPv4Address | IPv6Address, kind: Treatment) -> None:
    """The 16 octets of a flow record stand for the same address as its text."""
    treatment = treating(kind)
    octets = address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed
    treated = IPv6Address(treatment.packed(octets))
    assert str(treated.ipv4_mapped or treated) == treatment.text(str(address))


@given(st.text())
def test_any_text_passes(text: str) -> None:
    """No text makes it fail, and keeping keeps."""
    treating("hash").prose(text)
    assert treating("keep").prose(text) == text


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses pass."""
    monkeypatch.setattr("netmote.privacy.treatment._REMEMBERED", 10)
    treatment = treating("hash")
    for number in range(100):
        address = ip_network("10.0.0.0/8")[number]
        treatment.packed(b"\0" * 10 + b"\xff\xff" + address.packed)
    assert len(treatment._known) == len(treatment._known_octets) == 10


def test_entities_in_text_are_treated() -> None:
    """`host:<address>` is an address behind a word, of either family."""
    treatment = treating("truncate")
    assert treatment.prose("host:198.51.100.7 and host:2001:db8:1:2::7") == "host:198.51.100.0 and host:2001:db8:1::"
