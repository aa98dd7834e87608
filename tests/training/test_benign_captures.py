"""Every capture has a use and a sentence."""

from pathlib import Path

import pytest

from netmote.training.benign_captures import select


def test_first_rule_decides(tmp_path: Path) -> None:
    """Crafted before ordinary, content attacks apart, unknown places left out, other files not seen; sorted by path."""
    names = {
        "pcap/zeek/traces/smtp.pcap": "benign",
        "pcap/zeek/traces/snmp/snmp-crash-1.pcap": "excluded",
        "pcap/suricata-verify/alert-max/input.pcap": "content-attack",
        "pcap/suricata-verify/dns/input.pcap": "benign",
        "pcap/suricata-verify/weird/input.pcap": "excluded",
        "pcap/elsewhere/x.pcapng": "excluded",
    }
    for name in [*names, "pcap/zeek/INDEX.csv"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    chosen = select(tmp_path)
    assert {one.path: one.use for one in chosen} == names
    assert [one.path for one in chosen] == sorted(names)
    assert all(one.reason for one in chosen)


@pytest.mark.realdata
def test_the_real_folder(data: Path) -> None:
    """More than a hundred ordinary captures; no file is of unknown origin."""
    chosen = select(data)
    assert sum(one.use == "benign" for one in chosen) > 100
    assert not [one.path for one in chosen if one.reason == "unknown"]
