"""Forgetting: exactly one address, in every spelling and place, and nothing else."""

from ipaddress import ip_address

import pytest
from sink_alerts import committed_alert
from store_samples import flow_batch

from netmote.alerts.encoding import encode_alert
from netmote.privacy.announcements import treated
from netmote.privacy.forgetting import Forgetting
from netmote.privacy.observations import concealed_batch
from netmote.records.flow import address_text


def test_text_keeps_its_neighbours() -> None:
    """A longer address that begins alike is another one; hardware addresses and other spellings stay."""
    forgetting = Forgetting([ip_address("192.0.2.7"), ip_address("2001:db8::7")])
    said = "192.0.2.7 and host:192.0.2.7, not 192.0.2.70; 2001:DB8:0:0::7 not 2001:db8::71, aa:bb:cc:dd:ee:ff"
    assert forgetting.prose(said) == "0.0.0.0 and host:0.0.0.0, not 192.0.2.70; :: not 2001:db8::71, aa:bb:cc:dd:ee:ff"
    assert forgetting.text("::ffff:192.0.2.7") == "0.0.0.0"
    assert forgetting.text("2001:DB8::8") == "2001:DB8::8"


def test_records_lose_one_address() -> None:
    """Its slices stay with their counts; all others are as they were."""
    batch = flow_batch(rows=50)
    address = address_text(batch.slices["source_address"].tolist()[3])
    forgetting = Forgetting([ip_address(address)])
    after = concealed_batch(batch, forgetting)
    texts = [address_text(value) for value in after.slices["source_address"].tolist()]
    assert texts[3] == "0.0.0.0"
    changed = after.slices != batch.slices
    assert changed.sum() == sum(octets == forgetting.record_octets[0] for octets in batch.slices["source_address"].tolist())
    assert (after.slices["initiator_octets"] == batch.slices["initiator_octets"]).all()


def test_alerts_keep_their_ids() -> None:
    """Upstream can still be told how one ended."""
    alert = committed_alert(1).alert
    after = treated(alert, Forgetting([ip_address("192.0.2.7")]))
    assert (after.alert_id, after.fingerprint) == (alert.alert_id, alert.fingerprint)
    assert b"192.0.2.7" not in encode_alert(after)
    assert b"192.0.2.1" in encode_alert(after)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "127.0.0.1", "224.0.0.1"])
def test_nobody_cannot_be_forgotten(address: str) -> None:
    """Such an address names no one."""
    with pytest.raises(ValueError, match="nobody"):
        Forgetting([ip_address(address)])
